"""What was mended because the site asked for it: in the case's remarks, and made anew when the site asks otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedlung.config import PrepareConfig
from fedlung.ct.annotations import AnnotationSource
from fedlung.preprocess import pipeline
from fedlung.preprocess.prepare import store_fingerprint
from fedlung.preprocess.store import CaseStore

CFG = PrepareConfig(spacing_mm=8.0)


@pytest.fixture
def prepared(dicom_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Prepares one series that the reader mends as it is told; gives the ledger and how often the series was read."""
    reads: list[str] = []
    find, read = pipeline.find_series, pipeline.read_series

    def found(folder: Path, *, repair, progress):
        series, rows = find(folder, progress=progress)
        return [replace(one, repairs=tuple(sorted(repair))) for one in series[:1]], rows

    def mended(series):
        reads.append(series.series_uid)
        return replace(read(replace(series, repairs=())), repairs=series.repairs)

    monkeypatch.setattr(pipeline, "find_series", found)
    monkeypatch.setattr(pipeline, "read_series", mended)
    store = CaseStore.open(tmp_path / "store", store_fingerprint(CFG))

    def prepare(*words: str) -> tuple[list[str], int]:
        ledger = pipeline.prepare_series(
            dicom_template,
            AnnotationSource({}),
            CFG,
            store,
            site_key=b"a site's own key",
            device=torch.device("cpu"),
            repair=frozenset(words),
        )
        assert ledger.num_prepared == 1
        return [remark.code for remark in ledger.remarks], len(reads)

    return prepare


def test_each_repair_is_a_remark_that_stays_with_the_case(prepared) -> None:
    expected = ["REPAIRED_MISSING_SLICES", "REPAIRED_TILT"]
    assert prepared("missing-slices", "tilt") == (expected, 1)
    assert prepared("missing-slices", "tilt") == (expected, 1), "kept, not read again"


def test_a_site_that_asks_otherwise_has_the_case_made_anew(prepared) -> None:
    assert prepared("tilt") == (["REPAIRED_TILT"], 1)
    assert prepared() == ([], 2)
    assert prepared("tilt") == (["REPAIRED_TILT"], 3)
