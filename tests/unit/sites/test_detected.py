"""Scans of a site: what is counted, what is kept back, and where hard negatives are mined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlung.config import RunConfig
from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.preprocess.case import Case
from fedlung.protocol import DETECTION
from sites.detected import MeanLogit, detected, mined

CPU = torch.device("cpu")
CONFIG = RunConfig.from_run_config({"patches.size": 8, "patches.mined": 1})
GEOMETRY = Geometry((40, 40, 40), (1.25, 1.25, 1.25), (0.0, 0.0, 0.0))
NODULE, VESSEL = (12, 12, 12), (26, 26, 26)


class Middle(nn.Module):
    """The logit is how bright a window's middle is, times ``gain``."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        return self.gain * x_BCDHW[:, 0, 3:5, 3:5, 3:5].mean(dim=(1, 2, 3))


def scan(name: str, *, off_grid: tuple[Nodule, ...] = ()) -> Case:
    """Even lung with a nodule of 5 mm and something as large that is none, and brighter."""
    image_DHW = np.full(GEOMETRY.shape_DHW, -860, dtype=np.int16)
    for (z, y, x), hu in ((NODULE, 0), (VESSEL, 200)):
        image_DHW[z - 1 : z + 3, y - 1 : y + 3, x - 1 : x + 3] = hu
    lung_DHW = np.zeros(image_DHW.shape, dtype=bool)
    lung_DHW[5:-5, 5:-5, 5:-5] = True
    center_mm = tuple(GEOMETRY.index_to_world([np.array(NODULE) + 0.5])[0])
    nodules = (Nodule(center_mm, 5.0, readers=4),)
    return Case(name, f"patient-{name}", image_DHW, lung_DHW, GEOMETRY, nodules, off_grid=off_grid)


def found(models, cases, *, fewest: int = 1):
    return detected(models, cases, CONFIG, num_replicates=4, bootstrap_seed=3, fewest=fewest, device=CPU)


def test_a_scans_nodule_is_found_and_the_brighter_vessel_is_a_false_positive() -> None:
    counts, why = found([Middle(5.0)], [scan("a"), scan("b")])
    one = counts[DETECTION]
    assert why == ""
    assert (one.num_scans, one.num_patients, one.num_nodules, one.num_missed) == (2, 2, 2, 0)
    false_K, found_K = one.histogram_CK
    assert false_K.sum() == 2 and np.flatnonzero(false_K).min() > np.flatnonzero(found_K).max()


def test_a_nodule_off_the_grid_is_missed() -> None:
    away = Nodule((500.0, 0.0, 0.0), 9.0, readers=4)
    assert found([Middle(5.0)], [scan("a", off_grid=(away,))])[0][DETECTION].num_missed == 1


@pytest.mark.parametrize(
    ("gain", "num_scans", "fewest", "reason"),
    [(1.0, 0, 1, "no-scans"), (1.0, 2, 3, "few-patients"), (float("nan"), 1, 1, "scores-not-finite")],
)
def test_where_nothing_can_be_told_the_reason_is(gain: float, num_scans: int, fewest: int, reason: str) -> None:
    assert found([Middle(gain)], [scan(name) for name in "ab"[:num_scans]], fewest=fewest) == ({}, reason)


def test_several_models_search_by_their_mean_logit() -> None:
    x_BCDHW = torch.rand(3, 1, 8, 8, 8)
    torch.testing.assert_close(MeanLogit([Middle(1.0), Middle(4.0)])(x_BCDHW), Middle(2.5)(x_BCDHW))
    together, _ = found([Middle(1.0), Middle(4.0)], [scan("a")])
    alone, _ = found([Middle(2.5)], [scan("a")])
    np.testing.assert_array_equal(together[DETECTION].histogram_CK, alone[DETECTION].histogram_CK)


def test_a_patient_weighs_alike_in_the_scans_of_every_model() -> None:
    one, other = (found([Middle(gain)], [scan("a"), scan("b")])[0][DETECTION] for gain in (1.0, 4.0))
    np.testing.assert_array_equal(one.num_scans_R, other.num_scans_R)


def test_the_hardest_place_is_the_vessel_and_never_the_nodule() -> None:
    places = mined(Middle(5.0), [scan("a")], CONFIG, device=CPU)
    assert list(places) == ["a"]
    assert np.abs(places["a"] - np.array(VESSEL)).max() <= 1
