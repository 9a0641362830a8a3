"""A slice that does not fit between those beside it: refused where no body does that, named where one may."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpus.scan import scan
from corpus.suspicious import sphere_hu

from fedlung.ct import find_series, read_series
from fedlung.ct.audit.stray import Stray, stray_slice
from fedlung.errors import SeriesError

D, H, W = 14, 32, 32
SLICE, ROW, COLUMN = np.meshgrid(np.arange(D), np.arange(H), np.arange(W), indexing="ij")
NOISE = np.random.default_rng(3).normal(0, 20, (D, H, W))


def chest() -> np.ndarray:
    """A body wider than deep that grows, with one lung larger than the other, in air."""
    radius = np.hypot((ROW - 14) / (9 + SLICE / 4), (COLUMN - 15) / (12 + SLICE / 4))
    left, right = (np.hypot((ROW - 13) / 6, (COLUMN - at) / size) for at, size in ((9, 4), (21, 3)))
    return np.where(radius < 1, np.where(np.minimum(left, right) < 1, -850.0, 40.0), -1000.0)


def found(hu_DHW: np.ndarray) -> Stray | None:
    return stray_slice(hu_DHW.reshape(len(hu_DHW), -1).astype(np.float32))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shifted by half its rows": lambda image: np.roll(image, H // 2, 0),
    "shifted by an eighth of its columns": lambda image: np.roll(image, W // 8, 1),
    "transposed": lambda image: image.T,
    "turned by a quarter": np.rot90,
    "even rows first": lambda image: np.concatenate([image[::2], image[1::2]]),
}


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("name", CHANGES)
def test_an_image_in_another_place_is_sure_and_counted_from_one(name: str, noise: float) -> None:
    hu_DHW = chest() + noise * NOISE
    assert found(hu_DHW) is None
    hu_DHW[6] = CHANGES[name](hu_DHW[6])
    assert found(hu_DHW) == Stray(number=7, is_sure=True)


@pytest.mark.parametrize("number", [1, D])
def test_at_an_end_a_slice_is_named_and_not_refused(number: int) -> None:
    hu_DHW = chest() + NOISE
    hu_DHW[number - 1] = np.roll(hu_DHW[number - 1], H // 2, 0)
    assert found(hu_DHW) == Stray(number, is_sure=False)


def test_a_plate_in_one_slice_is_brighter_only_and_named() -> None:
    hu_DHW = chest() + NOISE
    hu_DHW[6, 8:24, 8:24] += 900
    assert found(hu_DHW) == Stray(number=7, is_sure=False)


SOUND = {
    "pure noise": 10 * NOISE,
    "a slope": 30.0 * SLICE + 5.0 * ROW + COLUMN,
    "slices that turn round": 800 * np.sin(ROW / 5) * np.cos(COLUMN / 7) * np.sin(SLICE / 3),
    "the same below and above": np.concatenate([chest()[: D // 2], chest()[: D // 2][::-1]]),
    "one image at every height": np.repeat(chest()[:1], D, axis=0),
    "a body that begins": np.where(SLICE < 5, -1000.0, chest()),
    "four slices": chest()[:4],
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_volumes_have_no_stray_slice(name: str) -> None:
    assert found(SOUND[name]) is None


def test_the_reader_warns_of_a_doubtful_slice_by_its_number(tmp_path: Path) -> None:
    scan(10, hu=sphere_hu).write(tmp_path)
    (series,), _ = find_series(tmp_path)
    (warning,) = read_series(series).warnings
    assert warning.startswith("STRAY_SLICE: slice 6 of 10, counted along the normal, ")


def test_the_reader_refuses_a_slice_that_fits_nowhere(tmp_path: Path) -> None:
    whole = scan(shape_HW=(32, 32))
    whole.edit(7, lambda one: one.store(np.roll(one.stored_HW, 16, 0))).write(tmp_path)
    (series,), _ = find_series(tmp_path)
    with pytest.raises(SeriesError, match="slice 8 of 16") as raised:
        read_series(series)
    assert raised.value.code == "STRAY_SLICE"
