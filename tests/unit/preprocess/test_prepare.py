from __future__ import annotations

import hashlib
import hmac
import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from fedlung.config import PrepareConfig
from fedlung.ct.nodule import Nodule
from fedlung.preprocess.prepare import (
    keyed_name,
    place_nodules,
    prepare_case,
    prepare_with_remarks,
    store_fingerprint,
)
from fedlung.preprocess.resample import resample

CPU = torch.device("cpu")
KEY = b"a site's own key"
COARSE = PrepareConfig(spacing_mm=3.0)


def prepared(volume, nodules=(), cfg: PrepareConfig = COARSE):
    return prepare_with_remarks(volume, nodules, cfg, site_key=KEY, device=CPU)


def codes(remarks) -> list[str]:
    return [remark.code for remark in remarks]


def test_a_case_is_isotropic_windowed_int16_with_its_lungs_inside(chest) -> None:
    case, remarks = prepared(chest().volume)
    assert case.image_DHW.dtype == np.int16
    assert case.lung_DHW.dtype == np.bool_
    assert case.image_DHW.shape == case.lung_DHW.shape == tuple(case.geometry.shape_DHW)
    assert case.geometry.spacing_mm == (3.0, 3.0, 3.0)
    assert case.image_DHW.min() >= -1000
    assert case.image_DHW.max() <= 400
    assert abs(np.median(case.image_DHW[case.lung_DHW]) + 860) < 3
    assert remarks == ()


def test_the_lung_crop_loses_no_lung_and_keeps_the_uncropped_grids_voxels(chest) -> None:
    volume = chest().volume
    small, _ = prepared(volume)
    whole, _ = prepared(volume, cfg=COARSE.model_copy(update={"lung_crop": False}))
    assert small.image_DHW.size < 0.75 * whole.image_DHW.size
    assert small.lung_DHW.sum() == whole.lung_DHW.sum()
    start = np.rint(whole.geometry.world_to_index([small.geometry.origin_mm])[0]).astype(int)
    part = whole.image_DHW[tuple(slice(a, a + n) for a, n in zip(start, small.image_DHW.shape, strict=True))]
    assert np.abs(part.astype(int) - small.image_DHW).max() <= 1  # the order of a sum may turn a rounding


def test_a_ball_of_soft_tissue_is_where_its_millimetres_say(chest) -> None:
    phantom = chest((4.0, 2.0, 2.0))
    voxels = np.where(phantom.ball_DHW | ~phantom.lung_DHW, np.int16(-860), phantom.volume.voxels_DHW)
    voxels[phantom.ball_DHW] = 100
    case, _ = prepared(replace(phantom.volume, voxels_DHW=voxels), cfg=PrepareConfig(spacing_mm=2.0, lung_crop=False))
    weights = np.clip(case.image_DHW.astype(float) + 700, 0, None)
    middle = [np.average(index, weights=weights) for index in np.indices(weights.shape)]
    np.testing.assert_allclose(case.geometry.index_to_world([middle])[0], phantom.ball_mm, atol=0.5)


def test_metal_and_padding_do_not_ring(chest) -> None:
    """A voxel of 30000 HU or -30000 does no more than one at the end of the scanner's range."""
    volume = chest().volume
    z, y, x = (num // 2 for num in volume.voxels_DHW.shape)
    for extreme, end in ((30000, 3071), (-30000, -1024)):
        cases = []
        for value in (extreme, end):
            voxels = volume.voxels_DHW.copy()
            voxels[z, y, x] = value
            cases.append(prepared(replace(volume, voxels_DHW=voxels))[0])
        np.testing.assert_array_equal(cases[0].image_DHW, cases[1].image_DHW)


def test_a_cube_has_the_whole_extent_and_the_asked_edge(chest) -> None:
    volume = chest().volume
    case, _ = prepared(volume, cfg=PrepareConfig(cube=32))
    assert case.image_DHW.shape == (32, 32, 32)
    extent = np.multiply(volume.geometry.shape_DHW, volume.spacing_mm)
    np.testing.assert_allclose(np.multiply(case.geometry.spacing_mm, 32), extent)


def test_names_are_keyed_hashes_and_equal_for_a_patients_series(chest) -> None:
    one, _ = prepared(chest().volume)
    other, _ = prepared(replace(chest().volume, series_uid="1.2.3.5"))
    assert one.case_id == hmac.new(KEY, b"1.2.3.4", hashlib.sha256).hexdigest()[:32]
    assert one.patient_key == other.patient_key == keyed_name(KEY, "PATIENT^PLANTED")
    assert one.case_id != other.case_id
    assert keyed_name(b"another key", "1.2.3.4") != one.case_id


def test_a_series_without_a_patient_is_a_patient_of_its_own_and_says_so(chest) -> None:
    cases = [prepared(replace(chest().volume, patient_id="", series_uid=uid)) for uid in ("1.2", "1.3")]
    assert cases[0][0].patient_key != cases[1][0].patient_key
    assert [codes(remarks) for _, remarks in cases] == [["PATIENT_UNKNOWN"]] * 2


def test_what_was_mended_or_odd_is_a_remark_each_once(chest) -> None:
    warnings = (
        "REPAIRED: slices at uneven steps were interpolated to even ones.",
        "NUMBERS_WITH_GAPS: 3 instance numbers are not there.",
        "7 slices call a value padding that tissue has as well.",
    )
    _, remarks = prepared(replace(chest().volume, repairs=("uneven-steps",), warnings=warnings))
    assert codes(remarks) == ["REPAIRED_UNEVEN_STEPS", "NUMBERS_WITH_GAPS", "READ_WITH_WARNING"]
    assert remarks[0].sentence == "resampled along the true positions to mend uneven-steps, as the site asked for."
    assert [remark.sentence for remark in remarks[1:]] == [warnings[1].partition(": ")[2], warnings[2]]


def test_nodules_keep_their_millimetres_and_those_off_the_grid_are_rows(chest) -> None:
    phantom = chest()
    inside = Nodule(phantom.ball_mm, 16.0, readers=4)
    in_the_heart = Nodule((0.0, 0.0, 0.0), 5.0)
    far_away = Nodule((500.0, 0.0, 0.0), 5.0)
    case, remarks = prepared(phantom.volume, [inside, in_the_heart, far_away])
    assert case.nodules == (inside, in_the_heart)
    assert codes(remarks) == ["NODULE_OFF_GRID", "NODULE_OUTSIDE_LUNG"]
    assert all(remark.sentence.startswith("1 of 3 nodules") for remark in remarks)
    index = tuple(np.rint(case.nodule_centers_N3[0]).astype(int))
    assert case.image_DHW[index] > -100


def test_annotations_change_no_voxel(chest) -> None:
    phantom = chest()
    bare, _ = prepared(phantom.volume)
    annotated, _ = prepared(phantom.volume, [Nodule((0.0, 0.0, 0.0), 30.0)])
    np.testing.assert_array_equal(bare.image_DHW, annotated.image_DHW)
    np.testing.assert_array_equal(bare.lung_DHW, annotated.lung_DHW)


def test_without_lungs_nothing_is_cropped_and_a_row_and_the_log_say_so(chest, caplog) -> None:
    phantom = chest()
    solid = replace(
        phantom.volume, voxels_DHW=np.where(phantom.lung_DHW, np.int16(40), phantom.volume.voxels_DHW), patient_id="P"
    )
    case, remarks = prepared(solid)
    assert codes(remarks) == ["LUNGS_NOT_FOUND"]
    assert case.geometry.shape_DHW == (80, 107, 133)
    with caplog.at_level(logging.WARNING):
        prepare_case(solid, [], COARSE, site_key=KEY, device=CPU)
    assert "LUNGS_NOT_FOUND" in caplog.text


def test_two_runs_give_the_same_bits_whatever_the_number_of_threads(chest) -> None:
    volume, before = chest((3.0, 2.5, 2.5)).volume, torch.get_num_threads()
    try:
        cases = []
        for num_threads in (1, 2, 1):
            torch.set_num_threads(num_threads)
            cases.append(prepared(volume, cfg=PrepareConfig(spacing_mm=2.0))[0])
    finally:
        torch.set_num_threads(before)
    for case in cases[1:]:
        np.testing.assert_array_equal(case.image_DHW, cases[0].image_DHW)
        np.testing.assert_array_equal(case.lung_DHW, cases[0].lung_DHW)


def test_the_volume_is_not_written_to_and_may_be_read_only(chest) -> None:
    volume = chest().volume
    voxels = volume.voxels_DHW.copy()
    voxels.setflags(write=False)
    prepared(replace(volume, voxels_DHW=voxels))
    np.testing.assert_array_equal(voxels, volume.voxels_DHW)


@pytest.mark.parametrize(
    "change",
    [
        {"spacing_mm": 1.0},
        {"cube": 64},
        {"hu_min": -1024},
        {"hu_max": 300},
        {"interpolation": "linear"},
        {"antialias": False},
        {"lung_crop": False},
        {"lung_margin_mm": 9.0},
    ],
)
def test_the_fingerprint_changes_with_each_setting_that_changes_a_pixel(change) -> None:
    assert store_fingerprint(PrepareConfig(**change)) != store_fingerprint(PrepareConfig())


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({"lung_crop": False}, {"lung_margin_mm": 3.0}),
        ({"cube": 64}, {"spacing_mm": 2.0}),
        ({"cube": 64}, {"lung_crop": False}),
    ],
)
def test_the_fingerprint_ignores_what_changes_no_pixel(base, change) -> None:
    assert store_fingerprint(PrepareConfig(**base)) == store_fingerprint(PrepareConfig(**base, **change))


def test_place_nodules_of_nothing_is_nothing(chest) -> None:
    phantom = chest()
    assert place_nodules([], phantom.volume.geometry, phantom.lung_DHW) == ((), (), ())


@pytest.mark.gpu
def test_cuda_gives_the_cpus_case_within_one_hounsfield_unit(chest) -> None:
    volume = chest((2.5, 1.5, 1.5)).volume
    on_cpu, on_cuda = (
        prepare_case(volume, [], PrepareConfig(), site_key=KEY, device=torch.device(name)) for name in ("cpu", "cuda")
    )
    assert on_cpu.geometry == on_cuda.geometry
    assert np.abs(on_cpu.image_DHW.astype(int) - on_cuda.image_DHW).max() <= 1
    assert np.mean(on_cpu.image_DHW != on_cuda.image_DHW) < 1e-3
    np.testing.assert_array_equal(on_cpu.lung_DHW, on_cuda.lung_DHW)


def test_a_case_is_the_same_bit_by_bit_where_memory_was_short_at_first(chest, monkeypatch, caplog) -> None:
    tries = []

    def allocate(shape: tuple[int, ...], *, device: torch.device) -> torch.Tensor:
        tries.append(shape)
        if len(tries) <= 2:
            raise torch.OutOfMemoryError(f"refused {shape}")
        return torch.empty(shape, device=device)

    volume = chest().volume
    cfg = PrepareConfig(spacing_mm=1.5, lung_crop=False)
    plenty, _ = prepared(volume, cfg=cfg)
    monkeypatch.setattr("fedlung.preprocess.prepare.resample", partial(resample, allocate=allocate))
    short, _ = prepared(volume, cfg=cfg)
    assert "resampling anew in 4 slabs" in caplog.text
    np.testing.assert_array_equal(short.image_DHW, plenty.image_DHW)
    assert short.image_digest == plenty.image_digest


@pytest.mark.gpu
def test_a_gpu_that_is_nearly_full_gives_the_same_case(chest, caplog) -> None:
    volume, cuda = chest((1.0, 0.7, 0.7)).volume, torch.device("cuda")
    cfg = PrepareConfig(spacing_mm=0.7, lung_crop=False)
    plenty = prepare_case(volume, [], cfg, site_key=KEY, device=cuda)
    torch.cuda.empty_cache()
    num_bytes = torch.cuda.memory_reserved() + 3 * plenty.image_DHW.size  # less than the result's 4 bytes a voxel
    torch.cuda.set_per_process_memory_fraction(num_bytes / torch.cuda.get_device_properties(0).total_memory)
    try:
        short = prepare_case(volume, [], cfg, site_key=KEY, device=cuda)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory on cuda" in caplog.text
    assert np.abs(short.image_DHW.astype(int) - plenty.image_DHW).max() <= 1  # at last on the CPU, if need be
    np.testing.assert_array_equal(short.lung_DHW, plenty.lung_DHW)
