"""Of free text only what is known passes."""

from __future__ import annotations

import pytest

from fedlung.ct.scanners import known_kernel, known_maker


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("GE MEDICAL SYSTEMS", "GE"), ("Siemens Healthineers", "SIEMENS"), ("Philips", "Philips"),
        ("CANON_MEC", "Canon"), ("TOSHIBA", "TOSHIBA"), (" ", ""), ("", ""),
        ("Dr. Smith's PC", "other"), ("DOE^GEORGE", "other"),
    ],
)  # fmt: skip
def test_a_maker_has_one_name_and_another_text_none(written: str, kept: str) -> None:
    assert known_maker(written) == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("B30f", "B30f"),
        (" LUNG ", "LUNG"),
        ("FC08-H", "FC08-H"),
        ("", ""),
        ("DR SMITH", "other"),
        ("FC01-SMITH", "other"),
    ],
)
def test_a_kernel_that_is_known_keeps_its_name_and_another_text_none(written: str, kept: str) -> None:
    assert known_kernel(written) == kept
