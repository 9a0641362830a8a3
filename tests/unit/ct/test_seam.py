"""Two images joined in one volume are told by the slice after which the second begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpus.joined import halves_exchanged, second_half_moved_sideways
from corpus.metaimages import voxels, write_metaimage
from corpus.scan import scan
from corpus.suspicious import exact_air_above_the_body

from fedlung.ct import find_series, read_series
from fedlung.ct.audit.seam import seam_after
from fedlung.ct.audit.stray import rms_steps

D, H, W = 20, 32, 32
SLICE, ROW, COLUMN = np.meshgrid(np.arange(D), np.arange(H), np.arange(W), indexing="ij")
NOISE = np.random.default_rng(5).normal(0, 20, (D, H, W))


def chest(shift: float = 0.0) -> np.ndarray:
    """A body that grows upwards, with two unequal lungs."""
    up = SLICE + shift
    radius = np.hypot((ROW - 14) / (8 + up / 4), (COLUMN - 15) / (10 + up / 4))
    left, right = (np.hypot((ROW - 13) / 6, (COLUMN - at) / size) for at, size in ((9, 4), (21, 3)))
    lungs = np.minimum(left, right) - up / 60
    return np.clip(40 + 900 * np.minimum(np.clip(lungs - 1, -1, 0), np.clip(2 * (1 - radius), -1, 0)), -1000, 40)


def found(hu_DHW: np.ndarray) -> int | None:
    noisy_NS = (hu_DHW + NOISE[: len(hu_DHW)]).reshape(len(hu_DHW), -1).astype(np.float32)
    return seam_after(rms_steps(noisy_NS, 1))


JOINED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "halves exchanged": lambda hu: np.roll(hu, D // 2, axis=0),
    "moved by an eighth": lambda hu: np.where(SLICE >= 10, np.roll(hu, W // 8, axis=2), hu),
    "upside down": lambda hu: np.where(SLICE >= 10, hu[:, ::-1], hu),
    "five hundred HU more": lambda hu: np.where(SLICE >= 10, hu + 500, hu),
    "another scan": lambda hu: np.where(SLICE >= 10, chest(24.0), hu),
}


@pytest.mark.parametrize("name", JOINED)
def test_two_joined_images_are_told_by_the_last_slice_of_the_first(name: str) -> None:
    assert found(JOINED[name](chest())) == 10


SOUND = {
    "a chest": chest(),
    "no image at all": np.zeros((D, H, W)),
    "a slope": 30.0 * SLICE + 5.0 * ROW,
    "one slice that is another": np.where(SLICE == 9, chest()[:, ::-1], chest()),
    "a plate of three slices": np.where(abs(SLICE - 9) <= 1, 900.0, chest()),
    "too few slices": np.roll(chest(), 3, axis=0)[:5],
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_one_image_has_no_seam(name: str) -> None:
    assert found(SOUND[name]) is None


@pytest.mark.parametrize("write", [halves_exchanged, second_half_moved_sideways])
def test_the_reader_warns_of_a_seam(write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path)
    (series,), _ = find_series(tmp_path)
    (warning,) = read_series(series).warnings
    assert warning.startswith("SEAM: after slice 8 of 16, counted along the normal, ")


def test_a_body_that_ends_in_exact_air_has_no_seam(tmp_path: Path) -> None:
    exact_air_above_the_body(tmp_path)
    (series,), _ = find_series(tmp_path)
    assert read_series(series).warnings == ()


def test_a_seam_of_a_file_without_slices_is_told_as_well(tmp_path: Path) -> None:
    joined_DHW = np.roll(voxels(scan(signed=True, intercept=0.0)), 8, axis=0)
    write_metaimage(tmp_path, joined_DHW.tobytes())
    (series,), _ = find_series(tmp_path)
    (warning,) = read_series(series).warnings
    assert warning.startswith("SEAM: after slice 8 of 16, counted in the file's order, ")
