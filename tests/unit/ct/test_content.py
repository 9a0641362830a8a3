"""Checks on pixels: each kind of damage by its code, and images that look like damage and are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from fedlung.ct.audit.content import ContentAudit
from fedlung.ct.audit.smoothness import distances, other_order
from fedlung.ct.dicom.headers import Header, PixelSpan
from fedlung.errors import SeriesError

D, H, W = 12, 48, 64
OFFSET = -1024.0
SLICE, ROW, COLUMN = np.meshgrid(np.arange(D), np.arange(H), np.arange(W), indexing="ij")
SMOOTH = 300.0 * np.sin(COLUMN / 17) + 200.0 * np.cos(ROW / 11) + 25.0 * SLICE
NOISE = np.random.default_rng(5).normal(0, 20, (D, H, W))


def chest() -> np.ndarray:
    """A body with noise in air that was cut off at -1024 HU: 0 as stored, above, below and beside the body."""
    radius = np.hypot((ROW - H / 2) / (0.3 * H), (COLUMN - W / 2) / (0.4 * W + SLICE))
    return np.where(radius < 1, np.where(radius < 0.6, -850 + 8 * SLICE, 40) + NOISE, -1024.0)


def header(number: int = 0, **changes: object) -> Header:
    slice_header = Header(
        path=Path(f"{number}.dcm"), transfer_syntax=ExplicitVRLittleEndian, pixels=PixelSpan(0, 2 * H * W, 2 * H * W),
        file_class="", series_uid="1.2", study_uid="1.3", patient_id="P", frame_uid="1.4", modality="CT", image_type=(),
        photometric="MONOCHROME2", manufacturer="", scanner_model="", kernel="", comments="", shape_HW=(H, W),
        num_samples=1, num_frames=1, bits_allocated=16, bits_stored=16, signed=False,
        position_mm=(0.0, 0.0, 2.5 * number), orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), pixel_spacing_mm=(1.0, 1.0),
        slope=1.0, intercept=OFFSET, padding=None, slice_thickness_mm=2.5, kvp=120.0, tube_current_ma=100.0,
    )  # fmt: skip
    return replace(slice_header, **changes)


def audit(hu_DHW: np.ndarray, damage: Callable[[np.ndarray], None] = lambda stored: None, **changes: object) -> str:
    """The code by which a volume is refused after its stored values were damaged, or an empty text."""
    headers = [header(number, **changes) for number in range(len(hu_DHW))]
    first = headers[0]
    stored = np.rint((hu_DHW - first.intercept) / first.slope).astype(np.int32)
    stored = stored.astype(np.int16 if first.signed else np.uint16)
    damage(stored)
    return audit_stored(stored, headers)


def audit_stored(stored: np.ndarray, headers: list[Header]) -> str:
    content = ContentAudit(headers)
    hu_DHW = np.stack([values * h.slope + h.intercept for values, h in zip(stored, headers, strict=True)])
    try:
        for values, one in zip(stored, headers, strict=True):
            content.check_slice(values, one)
        content.check_volume(np.maximum(hu_DHW, -1024).astype(np.float32))
    except SeriesError as error:
        return error.code
    return ""


# --- what is no damage ----------------------------------------------------------------------------

SOUND = {
    "smooth": SMOOTH,
    "noisy": SMOOTH + NOISE,
    "pure noise": 10 * NOISE,
    "a chest in air that was cut off": chest(),
    "a chest without noise": np.maximum(np.rint(chest() / 400) * 400, -1024),
    "the same below and above": 200.0 * np.cos((SLICE - (D - 1) / 2) / 4) + SMOOTH - 25 * SLICE,
    "constant along the patient": SMOOTH - 25 * SLICE,
    "each slice of one value": 30.0 * SLICE + 0 * ROW,
    "one small lesion": np.where((SLICE - 6) ** 2 * 6 + (ROW - 20) ** 2 + (COLUMN - 30) ** 2 < 30, 50.0, -850.0),
    "zeros below a line that moves": np.maximum(1500.0 - 60 * ROW - 50 * SLICE, -1024),
    "water around a smooth body": np.where(np.hypot(ROW - 24, COLUMN - 32) < 18 + SLICE / 2, SMOOTH, 0.0),
}


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_volume_is_not_refused(name: str, signed: bool) -> None:
    assert audit(SOUND[name], signed=signed, intercept=0.0 if signed else OFFSET) == ""


@pytest.mark.parametrize("seed", range(12))
def test_tiny_volumes_of_any_smooth_function_are_not_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((int(rng.integers(5, 20)), int(rng.integers(6, 30)), int(rng.integers(6, 30))))
    waves = rng.uniform(6, 40, 3)
    hu_DHW = 300 * np.sin(x / waves[0]) + 200 * np.cos(y / waves[1]) + 300 * np.sin(z / waves[2] + seed)
    assert audit(hu_DHW) == ""
    assert audit(hu_DHW + rng.normal(0, 30, hu_DHW.shape)) == ""


def test_values_outside_the_field_of_view_are_not_implausible() -> None:
    outside = np.hypot(ROW - H / 2, COLUMN - W / 2) > 30
    for value in (-2000, -3024):
        assert audit(np.where(outside, value, SMOOTH + NOISE), signed=True, intercept=0.0) == ""


def test_air_of_one_value_beyond_the_body_is_not_refused() -> None:
    hu_DHW = np.where(SLICE >= D - 3, -1000.0, SMOOTH + NOISE)
    assert audit(hu_DHW) == ""
    assert audit(hu_DHW[::-1]) == ""


def test_a_phantom_that_is_its_own_mirror_image_has_no_copies() -> None:
    hu_DHW = SMOOTH - 25 * SLICE + 10.0 * np.abs(2 * SLICE - D + 1)
    hu_DHW[np.hypot(ROW - 20, COLUMN - 30) < 9] = -800
    assert audit(np.rint(hu_DHW)) == ""


def test_one_bright_slice_among_few_is_no_second_scan() -> None:
    bright = np.where((SLICE == 5) & (np.hypot(ROW - 20, COLUMN - 30) < 8), 900.0, SMOOTH - 25 * SLICE)
    assert audit(bright[:10] + NOISE[:10]) == ""


def test_a_table_that_ends_on_one_side_first_is_no_mirrored_slice() -> None:
    """Coronal slices: its left edge ends, then its right edge, and what follows changes as much."""
    hu_DHW = np.full((D, H, W), -900.0)
    hu_DHW[:4], hu_DHW[4:6, :, :16], hu_DHW[6:8, :, 48:], hu_DHW[8:, :, 16:48] = 60.0, 60.0, 60.0, 60.0
    assert audit(hu_DHW + NOISE / 4) == ""


@pytest.mark.parametrize("intercept", [-1000.0, -1024.0])
def test_noise_that_is_cut_off_at_zero_is_no_tear(intercept: float) -> None:
    rng = np.random.default_rng(3)
    body = np.hypot(ROW - H / 2, COLUMN - W / 2) < 18
    noisy = np.where(body, SMOOTH, -1000.0) + rng.normal(0, 40, (D, H, W))
    noisy[:, -2:] = intercept
    assert audit(np.maximum(noisy, intercept), intercept=intercept) == ""


def test_a_rescale_that_differs_from_slice_to_slice_is_not_refused() -> None:
    rng = np.random.default_rng(4)
    slopes = rng.uniform(0.05, 0.2, D)
    headers = [header(n, slope=float(slope), intercept=0.0, signed=True) for n, slope in enumerate(slopes)]
    stored = np.rint((SMOOTH + NOISE) / slopes[:, None, None]).astype(np.int16)
    assert audit_stored(stored, headers) == ""


def test_air_that_was_cut_off_may_jump_where_the_intercept_changes() -> None:
    headers = [header(n, intercept=-1024.0 if n < 6 else -900.0) for n in range(D)]
    floors = np.array([h.intercept for h in headers])[:, None, None]
    assert audit_stored((np.maximum(chest(), floors) - floors).astype(np.uint16), headers) == ""


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_zero", [1, H * W // 3, H * W // 2 + 17, H * W - 9 * W // 2])
@pytest.mark.parametrize("number", [0, 5, D - 1])
def test_a_tail_of_zeros_is_refused_wherever_it_begins(first_zero: int, number: int) -> None:
    def tear(stored: np.ndarray) -> None:
        stored[number].reshape(-1)[first_zero:] = 0

    assert audit(SMOOTH, tear) == "TRAILING_ZERO_ROWS"
    assert audit(SMOOTH + NOISE, tear, signed=True, intercept=0.0) == "TRAILING_ZERO_ROWS"


def test_a_tear_through_the_body_is_refused_though_air_is_zero_as_well() -> None:
    def tear(stored: np.ndarray) -> None:
        stored[5, H // 2, W // 2 :] = 0
        stored[5, H // 2 + 1 :] = 0

    assert audit(chest(), tear) == "TRAILING_ZERO_ROWS"


def test_several_torn_slices_in_a_row_are_refused() -> None:
    def tear(stored: np.ndarray) -> None:
        for number, first_zero in ((4, 700), (5, 2100), (6, 1300), (7, 2600)):
            stored[number].reshape(-1)[first_zero:] = 0

    assert audit(SMOOTH + NOISE, tear) == "TRAILING_ZERO_ROWS"


@pytest.mark.parametrize("value", [0, 1024, 0x7FF])
def test_an_empty_slice_is_refused(value: int) -> None:
    def empty(stored: np.ndarray) -> None:
        stored[4] = value

    assert audit(SMOOTH, empty) == "EMPTY_SLICE"


def test_a_series_of_nothing_is_refused() -> None:
    assert audit(np.full((D, H, W), -1024.0)) == "EMPTY_SLICE"


def test_a_block_that_repeats_one_value_is_refused() -> None:
    def stick(stored: np.ndarray) -> None:
        stored[6, 20:28] = 0x0707

    assert audit(SMOOTH + NOISE, stick) == "STUCK_PIXELS"


@pytest.mark.parametrize(("to", "source"), [(5, 6), (3, 9), (0, 1), (11, 2)])
def test_a_slice_with_the_pixels_of_another_is_refused(to: int, source: int) -> None:
    def overwrite(stored: np.ndarray) -> None:
        stored[to] = stored[source]

    assert audit(SMOOTH + NOISE, overwrite) == "DUPLICATE_PIXELS"
    if 0 < to < D - 1:
        assert audit(SMOOTH, overwrite) == "DUPLICATE_PIXELS"


def test_one_slice_with_another_intercept_in_its_numbers_is_refused() -> None:
    def shift(stored: np.ndarray) -> None:
        stored[6] += 1024

    assert audit(SMOOTH, shift) == "INTENSITY_JUMP"


def test_a_rescale_that_changes_where_the_stored_values_do_not_is_refused() -> None:
    headers = [header(number, intercept=OFFSET if number < 6 else 0.0) for number in range(D)]
    assert audit_stored((SMOOTH + 1024).astype(np.uint16), headers) == "RESCALE_CONTRADICTED"


def test_a_rescale_of_each_slice_is_read() -> None:
    headers = [header(number, slope=0.5 + number / 10, intercept=-1024.0 - number) for number in range(D)]
    stored = [np.rint((SMOOTH[i] - h.intercept) / h.slope) for i, h in enumerate(headers)]
    assert audit_stored(np.array(stored).astype(np.uint16), headers) == ""


# --- signs and limits -----------------------------------------------------------------------------

WIDE = 1.6 * SMOOTH - 400  # from air to bone, through 0 and through 1024 HU


@pytest.mark.parametrize("bits", [12, 16])
def test_signed_pixels_that_are_declared_unsigned_are_refused(bits: int) -> None:
    stored = np.rint(WIDE).astype(np.int16).view(np.uint16) & np.uint16((1 << bits) - 1)
    headers = [header(number, bits_stored=bits, intercept=0.0) for number in range(D)]
    assert audit_stored(stored, headers) == "WRONG_SIGN"


def test_signed_pixels_in_12_bits_that_fill_16_with_their_sign_are_refused() -> None:
    stored = np.rint(SMOOTH + NOISE).astype(np.int16).view(np.uint16)
    assert audit_stored(stored, [header(n, bits_stored=12, intercept=0.0) for n in range(D)]) == "WRONG_SIGN"


def test_unsigned_pixels_in_12_bits_that_are_declared_signed_are_refused() -> None:
    stored = np.clip(np.rint(WIDE + 700 + 1024), 0, 4095).astype(np.uint16)
    assert audit_stored(stored, [header(n, bits_stored=12, signed=True) for n in range(D)]) == "WRONG_SIGN"


def test_pixels_that_never_pass_the_edge_are_the_same_both_ways() -> None:
    stored = np.rint(SMOOTH / 2 + 1200).astype(np.uint16)
    for signed in (False, True):
        assert audit_stored(stored, [header(n, bits_stored=12, signed=signed) for n in range(D)]) == ""


@pytest.mark.parametrize("signed", [False, True])
def test_values_that_need_more_bits_than_are_said_to_be_stored_are_refused(signed: bool) -> None:
    stored = np.rint(SMOOTH + 1024).astype(np.uint16)
    assert audit_stored(stored, [header(n, bits_stored=10, signed=signed) for n in range(D)]) == "UNSUPPORTED_BITS"


@pytest.mark.parametrize("signed", [False, True])
def test_a_dirty_nibble_above_the_stored_bits_says_nothing(signed: bool) -> None:
    stored = (np.rint(SMOOTH / 2 + 1200).astype(np.uint16) & 0x0FFF) | 0x5000
    assert audit_stored(stored, [header(n, bits_stored=12, signed=signed) for n in range(D)]) == ""


def test_a_rescale_that_was_applied_twice_is_implausible() -> None:
    assert audit(chest() - 1024 + 5 * NOISE, signed=True, intercept=0.0) == "IMPLAUSIBLE_HU"


def test_a_volume_above_any_tissue_is_implausible() -> None:
    assert audit(SMOOTH + 4000) == "IMPLAUSIBLE_HU"


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(5, 6), (2, 9), (0, 7), (0, 2)])
def test_exchanged_slices_are_refused(first: int, second: int) -> None:
    def exchange(stored: np.ndarray) -> None:
        stored[[first, second]] = stored[[second, first]]

    assert audit(SMOOTH + 20 * SLICE, exchange) == "SLICES_OUT_OF_ORDER"
    assert audit(SMOOTH + 20 * SLICE + NOISE / 4, exchange) == "SLICES_OUT_OF_ORDER"


def test_two_scans_between_one_another_are_refused() -> None:
    assert audit(SMOOTH + 120 * (SLICE % 2)) == "SLICES_OUT_OF_ORDER"


def test_two_phases_between_one_another_are_refused_though_the_body_changes_more_than_they_differ() -> None:
    assert audit(SMOOTH + 40 * SLICE + 45 * (SLICE % 2) + NOISE / 4) == "SLICES_OUT_OF_ORDER"


@pytest.mark.parametrize("turn", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]])
def test_one_slice_that_is_mirrored_or_turned_is_refused(turn: tuple[slice, ...]) -> None:
    def flip(stored: np.ndarray) -> None:
        stored[7] = stored[7][turn].copy()

    assert audit(SMOOTH, flip) == "FLIPPED_SLICE"
    assert audit(SMOOTH + NOISE, flip) == "FLIPPED_SLICE"


@pytest.mark.parametrize("shape_HW", [(W, H), (2 * H, W // 2), (H // 2, 2 * W)])
def test_a_matrix_of_other_rows_is_refused(shape_HW: tuple[int, int]) -> None:
    assert audit((SMOOTH + NOISE / 4).reshape(D, *shape_HW)) == "WRONG_MATRIX"


@pytest.mark.parametrize("intercept", [0.0, -102.0])
def test_unsigned_numbers_with_an_intercept_that_lets_none_be_air_are_refused(intercept: float) -> None:
    assert audit(SMOOTH + 1024, intercept=intercept) == "IMPLAUSIBLE_HU"


def test_an_exchange_in_pure_noise_cannot_be_told_and_is_not_guessed() -> None:
    order = np.random.default_rng(0).permutation(D)
    assert other_order((10 * NOISE[order])[:, ::2, ::2].reshape(D, -1).astype(np.float32)) is None


def test_distances_are_root_mean_squares() -> None:
    hu_NS = np.random.default_rng(0).normal(0, 100, (6, 50)).astype(np.float32)
    expected = [[np.sqrt(np.mean((a.astype(float) - b) ** 2)) for b in hu_NS] for a in hu_NS]
    np.testing.assert_allclose(distances(hu_NS), expected, atol=1e-4)


@pytest.mark.parametrize("rows", [slice(0, H // 2), slice(16, 28)])
def test_rows_of_zeros_between_two_images_are_refused(rows: slice) -> None:
    def clear(stored: np.ndarray) -> None:
        stored[6, rows] = 0

    assert audit(SMOOTH + NOISE, clear) == "STUCK_PIXELS"
    assert audit(SMOOTH, clear, signed=True, intercept=-1024.0) == "STUCK_PIXELS"


@pytest.mark.parametrize("bits", [12, 16])
def test_exchanged_bytes_are_refused(bits: int) -> None:
    def exchange(stored: np.ndarray) -> None:
        stored[:] = stored.byteswap()

    assert audit(SMOOTH + NOISE, exchange, bits_stored=bits) == "WRONG_BYTE_ORDER"


@pytest.mark.parametrize("bits", [8, 9, 10])
def test_values_far_beyond_the_bits_that_are_said_to_be_stored_are_refused(bits: int) -> None:
    assert audit(SMOOTH + NOISE, bits_stored=bits) == "UNSUPPORTED_BITS"
    assert audit(2 * SMOOTH, bits_stored=bits) == "UNSUPPORTED_BITS"


def test_a_slope_by_which_all_is_one_value_is_refused() -> None:
    headers = [header(number, slope=1e-6) for number in range(D)]
    assert audit_stored((SMOOTH + 1024).astype(np.uint16), headers) == "IMPLAUSIBLE_HU"


@pytest.mark.parametrize(("wrong", "intercept"), [((6,), -2048.0), (range(0, D, 2), -1000.0)])
def test_an_intercept_that_the_stored_values_do_not_follow_is_refused(wrong: tuple[int, ...], intercept: float) -> None:
    headers = [header(number, intercept=intercept if number in wrong else OFFSET) for number in range(D)]
    stored = (SMOOTH + NOISE - 25 * SLICE - OFFSET).astype(np.uint16)
    assert audit_stored(stored, headers) == "RESCALE_CONTRADICTED"
