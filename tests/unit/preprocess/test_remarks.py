"""One table of mends: what check says and what prepare says about a volume is the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from fedlung.config import PrepareConfig
from fedlung.ct.geometry import Geometry
from fedlung.ct.volume import Volume
from fedlung.preflight.volume import check_volume
from fedlung.preprocess.prepare import prepare_with_remarks
from fedlung.preprocess.remarks import REMEDIES, reading_remarks

WATER = Volume(
    np.zeros((12, 16, 16), dtype=np.int16), Geometry((12, 16, 16), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0)), "1.2.3", ""
)


def test_a_warning_keeps_its_code_and_one_without_is_told_whole() -> None:
    volume = replace(WATER, warnings=("BURNED_IN: text.", "Something else: odd.", "REPAIRED: x."), repairs=("tilt",))
    remarks = {remark.code: remark for remark in reading_remarks(volume)}
    assert set(remarks) == {"REPAIRED_TILT", "BURNED_IN", "READ_WITH_WARNING"}
    assert remarks["BURNED_IN"].remedy == REMEDIES["BURNED_IN"]
    assert remarks["READ_WITH_WARNING"].sentence == "Something else: odd."


def test_check_and_prepare_say_the_same_of_a_volume() -> None:
    volume = replace(WATER, warnings=("BURNED_IN: text.", "LOSSY: lossy."))
    config = PrepareConfig(spacing_mm=5.0)
    _, remarks = prepare_with_remarks(volume, (), config, site_key=b"k", device=torch.device("cpu"))
    prepared = {(one.code, one.sentence, one.remedy) for one in remarks}
    checked = {(one.code, one.sentence, one.remedy) for one in check_volume(volume, ()).findings}
    assert {"BURNED_IN", "LOSSY", "LUNGS_NOT_FOUND", "PATIENT_UNKNOWN"} <= {code for code, _, _ in prepared}
    assert prepared <= checked
