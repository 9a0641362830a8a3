"""An error has two texts, and the public one tells nothing of a patient or a path."""

from __future__ import annotations

import inspect

from fedlung import errors


def test_without_a_public_text_nothing_of_the_error_is_public() -> None:
    error = errors.StoreError("/data/MUELLER^HANS/cases is damaged")
    assert "MUELLER" in str(error)
    assert "MUELLER" not in error.public and "/data" not in error.public
    assert error.public == errors.NOT_PUBLIC


def test_of_a_series_error_only_the_code_is_public() -> None:
    error = errors.SeriesError("DUPLICATE_POSITION", "1.2.3 has two slices at 4 mm.", remedy="Export it again.")
    assert error.public == "DUPLICATE_POSITION"
    assert str(error) == "DUPLICATE_POSITION: 1.2.3 has two slices at 4 mm. Export it again."


def test_everything_raised_by_fedlung_is_one_family() -> None:
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) >= 10
    assert all(issubclass(cls, errors.FedlungError) for cls in classes)
