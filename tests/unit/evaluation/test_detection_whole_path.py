"""From a scan to its FROC: windows, candidates, hits, statistics, with a scorer that is made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlung.config import PrepareConfig
from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.evaluation.detection import (
    Candidates,
    DetectionStatistics,
    ScanHits,
    Search,
    add_detections,
    detection_statistics,
    edge_for_rate,
    find_candidates,
    froc_estimate,
    froc_points,
    match_candidates,
)
from fedlung.preprocess.case import Case

CPU = torch.device("cpu")
PREPARE = PrepareConfig()
READERS = 3
SIZE = 16
GEOMETRY = Geometry((64, 64, 64), (1.25, 1.25, 1.25), (-40.0, 10.0, 200.0))


class LoneBall(nn.Module):
    """How much brighter a ball in the middle is than the brightest of 26 cones around it; the best of four radii.

    What goes on in any direction, a vessel or the chest wall, has no such contrast. The contrast of soft tissue in lung
    is (40 + 860) / 1400 = .64 of the window; the logit is 0 at .3.
    """

    def __init__(self, radii_mm: Sequence[float] = (2.0, 3.0, 4.5, 6.5), spacing_mm: float = 1.25) -> None:
        super().__init__()
        offset_mm = (np.indices((SIZE,) * 3) - (SIZE - 1) / 2) * spacing_mm
        distance_mm = np.linalg.norm(offset_mm, axis=0)
        directions = np.array([one for one in np.ndindex(3, 3, 3) if one != (1, 1, 1)]) - 1.0
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        balls, cones = [], []
        for radius_mm in radii_mm:
            balls.append(distance_mm <= radius_mm)
            shell = (distance_mm > radius_mm + 1) & (distance_mm <= radius_mm + 4)
            cosines = np.tensordot(directions, offset_mm, axes=1) / distance_mm
            cones += list(shell & (cosines > 0.85))
        self.register_buffer("balls", self._means(balls))  # which go with the model to a device
        self.register_buffer("cones", self._means(cones))

    @staticmethod
    def _means(masks: list[np.ndarray]) -> Tensor:
        flat = np.array(masks, dtype=np.float32).reshape(len(masks), -1)
        return torch.from_numpy(flat / flat.sum(axis=1, keepdims=True))

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        flat = x_BCDHW.flatten(1)
        around = (flat @ self.cones.T).reshape(len(flat), len(self.balls), 26).amax(dim=2)
        return 20 * ((flat @ self.balls.T - around).amax(dim=1) - 0.3)


def virtual_lung(seed: int, diameters_mm: Sequence[float], *, readers: int = 4) -> Case:
    """Lung with noise, four vessels of 2.5 to 5 mm from side to side, and balls of soft tissue far from all of them."""
    rng = np.random.default_rng(seed)
    index = np.indices(GEOMETRY.shape_DHW).astype(float)
    hu = rng.normal(-860.0, 25.0, GEOMETRY.shape_DHW)
    for number, (row, column) in enumerate([(10, 10), (10, 54), (54, 10), (54, 54)]):
        along = np.hypot(index[1] - row - 0.1 * index[0], index[2] - column)
        hu[along < 1.0 + number / 3] = 40.0
    nodules = []
    for number, diameter_mm in enumerate(diameters_mm):
        middle = np.array([12.0 + 13 * number, 32.0, 32.0]) + rng.uniform(-2, 2, 3)
        hu[np.linalg.norm(index - middle.reshape(3, 1, 1, 1), axis=0) * 1.25 < diameter_mm / 2] = 40.0
        nodules.append(Nodule(tuple(GEOMETRY.index_to_world([middle])[0]), diameter_mm, readers=readers))
    lung_DHW = np.zeros(GEOMETRY.shape_DHW, dtype=bool)
    lung_DHW[9:-9, 9:-9, 9:-9] = True  # a vessel that ends at the volume's border would look like a ball there
    image_DHW = np.round(hu).clip(PREPARE.hu_min, PREPARE.hu_max).astype(np.int16)
    return Case(f"case-{seed}", f"patient-{seed}", image_DHW, lung_DHW, GEOMETRY, tuple(nodules))


def search(case: Case, *, stride: int = 2, max_candidates: int = 30) -> Candidates:
    search = Search(size=SIZE, stride=stride, min_distance_mm=6.0, max_candidates=max_candidates)
    return find_candidates(LoneBall(), case, search, prepare=PREPARE, batch_size=256, device=CPU, precision="float32")


def at_blobs(
    case: Case,
    *,
    batch_size: int = 256,
    device: torch.device = CPU,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    return find_candidates(
        LoneBall(),
        case,
        Search(SIZE, stride=9, max_candidates=30, least_curvature_hu=30.0),
        prepare=PREPARE,
        batch_size=batch_size,
        device=device,
        precision="float32",
        progress=progress,
    )


def statistics_of(scans: Sequence[ScanHits], *, num_replicates: int = 0) -> DetectionStatistics:
    rng = np.random.default_rng(0)
    return detection_statistics(scans, range(len(scans)), num_replicates=num_replicates, rng=rng)


def test_lone_balls_are_found_before_any_vessel_and_where_they_are() -> None:
    """A ball of 6 to 12 mm is brighter than all cones around it, and a vessel fills the cone along it: every ball comes
    before every false positive, so that the CPM is 1, for two sites as for one."""
    cases = [virtual_lung(0, (6.0, 8.0, 10.0)), virtual_lung(1, (12.0, 7.0)), virtual_lung(2, ())]
    found = [search(case) for case in cases]
    hits = [match_candidates(one, case.nodules, readers=READERS) for one, case in zip(found, cases, strict=True)]
    best_false = max(scan.logits_N[scan.false_positives_N].max() for scan in hits)
    assert min(scan.nodule_logits_M.min() for scan in hits[:2]) > best_false + 1
    for case, candidates in zip(cases, found, strict=True):
        for nodule in case.nodules:
            apart_mm_N = np.linalg.norm(candidates.center_mm_N3 - nodule.center_mm, axis=1)
            assert apart_mm_N[: len(case.nodules)].min() < 1.25  # half of the 2.5 mm between windows
    one, other = statistics_of(hits[:1]), statistics_of(hits[1:])
    merged = add_detections([one, other])
    assert (merged.num_nodules, merged.num_scans) == (5, 3)
    assert froc_estimate("cpm", merged, None, confidence=0.95).value == 1.0
    frozen = edge_for_rate(other, 0.25)  # no false positive at all in its two scans
    assert froc_estimate("sensitivity", one, frozen, confidence=0.95).value == 1.0
    assert froc_estimate("false_positives_per_scan", one, frozen, confidence=0.95).value == 0.0


def test_windows_at_blobs_alone_find_the_same_balls_with_a_hundredth_of_the_windows() -> None:
    cases, told = [virtual_lung(0, (6.0, 8.0, 10.0)), virtual_lung(1, (12.0, 7.0))], []
    for case in cases:
        found = at_blobs(case, progress=lambda done, all_of_them: told.append(all_of_them))
        hits = match_candidates(found, case.nodules, readers=READERS)
        assert hits.nodule_logits_M.min() > hits.logits_N[hits.false_positives_N].max(initial=-np.inf)
    assert max(told) < 0.01 * cases[0].lung_DHW.sum()


def test_windows_at_blobs_are_at_the_same_places_whatever_the_batch() -> None:
    case = virtual_lung(0, (6.0, 8.0, 10.0))
    one, other = at_blobs(case, batch_size=256), at_blobs(case, batch_size=7)
    assert np.array_equal(one.center_mm_N3, other.center_mm_N3)
    np.testing.assert_allclose(one.logits_N, other.logits_N, rtol=1e-5)


@pytest.mark.gpu
def test_windows_at_blobs_are_at_the_same_places_on_a_gpu() -> None:
    case = virtual_lung(0, (6.0, 8.0, 10.0))
    here, there = at_blobs(case), at_blobs(case, device=torch.device("cuda"))
    assert np.array_equal(here.center_mm_N3, there.center_mm_N3)


def test_a_nodule_outside_of_the_volume_is_missed() -> None:
    case = virtual_lung(1, (12.0, 7.0))
    away = Nodule((900.0, 0.0, 0.0), 8.0, readers=4)
    hits = match_candidates(search(case), (*case.nodules, away), readers=READERS)
    assert statistics_of([hits]).num_missed == 1


def test_balls_that_too_few_readers_marked_are_neither_found_nor_false() -> None:
    case = virtual_lung(0, (6.0, 8.0, 10.0), readers=1)
    hits = match_candidates(search(case), case.nodules, readers=READERS)
    assert hits.ignored_N[:3].all() and not hits.ignored_N[3:].any()
    statistics = statistics_of([hits])
    assert statistics.num_nodules == 0
    assert froc_estimate("cpm", statistics, None, confidence=0.95).reason == "no nodules to be found"
    assert froc_points(statistics) == []


def test_the_same_case_gives_the_same_candidates_and_fewer_of_them_are_the_first() -> None:
    case = virtual_lung(3, (5.0, 9.0))
    one, again, few = search(case), search(case), search(case, max_candidates=4)
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(again, name)), name
        assert np.array_equal(value[:4], getattr(few, name)), name
