"""A sentence of the audit repeats a header's words only where DICOM knows them: any other text may be a name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fedlung.ct.audit.files import _not_ct
from fedlung.ct.audit.pixelformat import _grayscale


@pytest.mark.parametrize(("found", "told"), [("MR", "MR"), ("SMITH", "another value"), ("", "nothing")])
def test_a_modality_is_told_where_it_is_one(found: str, told: str) -> None:
    finding = _not_ct(SimpleNamespace(modality=found))
    assert finding is not None and finding.sentence == f"modality is {told}, expected CT."


@pytest.mark.parametrize(("found", "told"), [("RGB", "RGB"), ("SMITH", "another value"), ("", "nothing")])
def test_a_photometric_interpretation_is_told_where_it_is_one(found: str, told: str) -> None:
    header = SimpleNamespace(photometric=found, num_samples=3)
    finding = _grayscale(SimpleNamespace(headers=[header]))
    assert finding is not None
    assert finding.sentence.startswith(f"photometric interpretation {told} of up to 3 samples a pixel,")
