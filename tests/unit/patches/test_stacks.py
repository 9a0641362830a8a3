from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fedlung.config import TaskConfig
from fedlung.errors import StoreError
from fedlung.patches.archive import PatchArchive
from fedlung.patches.stacks import build_from_stacks, consensus_diameter_mm, malignancy_label, resample_stack


def test_a_stack_on_the_new_grid_already_stays_as_it_is() -> None:
    stack_SHW = np.random.default_rng(0).integers(0, 256, size=(8, 8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(resample_stack(stack_SHW, 1.5, 1.5, edge=8, spacing_mm=1.5), stack_SHW)


def test_outside_the_stack_its_border_is_repeated() -> None:
    slices_S = np.array([10, 20, 30, 40], dtype=np.uint8)
    cube_DHW = resample_stack(slices_S[:, None, None].repeat(64, 1).repeat(64, 2), 1.5, 0.5, edge=32, spacing_mm=1.5)
    expected_D = np.array([10] * 14 + [10, 20, 30, 40] + [40] * 14)
    np.testing.assert_array_equal(cube_DHW, np.broadcast_to(expected_D[:, None, None], (32, 32, 32)))


@pytest.mark.parametrize("pixel_mm", [0.46, 0.7, 0.98])
@pytest.mark.parametrize("slice_mm", [0.6, 1.25, 2.5])
def test_a_ball_keeps_its_true_volume_whatever_its_spacing(pixel_mm: float, slice_mm: float) -> None:
    num_slices, radius_mm = round(28 / slice_mm), 9.0
    z = (np.arange(num_slices) - (num_slices - 1) / 2) * slice_mm
    y = (np.arange(64) - 31.5) * pixel_mm
    ball_SHW = z[:, None, None] ** 2 + y[:, None] ** 2 + y**2 <= radius_mm**2
    cube_DHW = resample_stack(np.uint8(255 * ball_SHW), slice_mm, pixel_mm, edge=32, spacing_mm=1.5)
    assert cube_DHW.sum() / 255 * 1.5**3 == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.03)


def test_the_diameter_is_that_of_the_volume_which_half_of_the_readers_marked() -> None:
    votes_SHW = np.zeros((4, 8, 8), dtype=np.uint8)
    votes_SHW[:2, :4, :4] = 2  # 32 voxels of 2.5 x .5 x .5 mm
    votes_SHW[2:, :4, :4] = 1
    assert consensus_diameter_mm(votes_SHW, 4, 2.5, 0.5) == pytest.approx(np.cbrt(6 * 20 / np.pi))
    assert consensus_diameter_mm(votes_SHW, 2, 2.5, 0.5) == pytest.approx(np.cbrt(6 * 40 / np.pi))
    assert consensus_diameter_mm(votes_SHW * 0, 4, 2.5, 0.5) == 0


def test_a_rating_of_three_and_none_at_all_are_undecided() -> None:
    assert malignancy_label(np.float32([1, 2.5, 3, 3.5, np.nan])).tolist() == [0, 0, -1, 1, -1]


def test_the_rows_of_a_shuffled_table_find_their_images(tmp_path: Path) -> None:
    images_SHW = np.arange(1, 7, dtype=np.uint8)[:, None, None] * np.ones((1, 64, 64), dtype=np.uint8)
    order = [5, 2, 0, 3, 1, 4]
    table = pd.DataFrame(
        {"patient_id": ["a", "a", "a", "b", "b", "b"], "nodule": 0, "slice": [0, 1, 2] * 2, "manufacturer": "Philips"}
    ).assign(median_malignancy=4.0, n_readers=4, slice_spacing_mm=1.5, pixel_spacing_mm=1.5)
    table.iloc[order].to_csv(tmp_path / "slices.csv", index=False)
    np.savez(tmp_path / "slices_center64_uint8.npz", images=images_SHW[order], reader_votes=images_SHW[order] * 0)
    archive = build_from_stacks(tmp_path, edge=3)
    assert archive.cubes_NDHW[:, :, 1, 1].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert archive.sites == ("Philips",)


def test_a_folder_without_stacks_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"slices_center64_uint8\.npz is not there"):
        build_from_stacks(tmp_path)


@pytest.fixture(scope="module")
def lidc_archive(shared_data: Path) -> PatchArchive:
    return build_from_stacks(shared_data / "nodule-stacks-8bit")


@pytest.mark.lidc
def test_lidc_gives_872_nodules_of_three_readers_with_a_median_that_is_not_three(lidc_archive: PatchArchive) -> None:
    kept, unused = lidc_archive.for_task(TaskConfig(name="malignancy", readers=3))
    assert (len(lidc_archive), len(kept), int(kept.label_N.sum())) == (2630, 872, 424)
    assert unused == {"readers-below-k": 1252, "malignancy-undecided": 506}


@pytest.mark.lidc
@pytest.mark.parametrize(("site", "auc"), [("TOSHIBA", 0.945), ("Philips", 0.955), ("SIEMENS", 0.859), ("GE", 0.927)])
def test_size_alone_has_the_known_auc_at_each_manufacturer(lidc_archive: PatchArchive, site: str, auc: float) -> None:
    kept = lidc_archive.for_task(TaskConfig(name="malignancy", readers=3))[0].of_site(site)
    assert roc_auc_score(kept.label_N, kept.diameter_mm_N) == pytest.approx(auc, abs=5e-4)
