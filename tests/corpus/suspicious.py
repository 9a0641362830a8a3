"""Sound scans whose pixels look like damage: each was once refused by a check that trusts its eyes too much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.kinds import kind, read
from corpus.phantom import CENTRE_MM, Points, chest_hu, ramp_hu
from corpus.scan import STEP_MM, scan

Values = npt.NDArray[np.float64]
MIDDLE_Z_MM = CENTRE_MM[2] - STEP_MM / 2


def mirrored_hu(xyz_mm: Points) -> Values:
    """The chest below the middle slices and its mirror image above."""
    folded_mm = np.array(xyz_mm)
    folded_mm[..., 2] = MIDDLE_Z_MM - np.abs(xyz_mm[..., 2] - MIDDLE_Z_MM)
    return chest_hu(folded_mm)


def prism_hu(xyz_mm: Points) -> Values:
    """The chest's middle plane, the same at every height."""
    flat_mm = np.array(xyz_mm)
    flat_mm[..., 2] = CENTRE_MM[2]
    return chest_hu(flat_mm)


def capped_hu(xyz_mm: Points) -> Values:
    """The chest, and exact air above it."""
    return np.where(xyz_mm[..., 2] > CENTRE_MM[2] + 4 * STEP_MM, -1000.0, chest_hu(xyz_mm))


def sphere_hu(xyz_mm: Points) -> Values:
    """Water, and one bright sphere so flat that a single slice meets it."""
    radius = np.linalg.norm((xyz_mm - CENTRE_MM) / [5.0, 5.0, 1.0], axis=-1)
    return np.where(radius < 1, 900.0, ramp_hu(xyz_mm) - 20.0)


def slope_hu(xyz_mm: Points) -> Values:
    """A slope that runs aslant through rows and columns."""
    return (xyz_mm - CENTRE_MM) @ np.array([3.0, 21.0 * 4 / 3, 0.5])


@kind(read(), hu=mirrored_hu)
def mirror_image_above_and_below(folder: Path) -> None:
    """A phantom without noise that is the same above and below its middle: every slice has a twin."""
    scan(hu=mirrored_hu).write(folder)


@kind(read(), hu=prism_hu)
def the_same_image_at_every_height(folder: Path) -> None:
    """A prism without noise: all slices are one image."""
    scan(hu=prism_hu).write(folder)


@kind(read(), hu=capped_hu)
def exact_air_above_the_body(folder: Path) -> None:
    """The topmost slices are -1000 HU in every pixel."""
    scan(hu=capped_hu).write(folder)


@kind(read(10), hu=sphere_hu)
def one_bright_slice(folder: Path) -> None:
    """One slice among ten meets a bright sphere."""
    scan(10, hu=sphere_hu).write(folder)


@kind(read(), hu=slope_hu)
def slope_aslant_in_a_matrix_that_is_nearly_square(folder: Path) -> None:
    """Pixels of the next row are more alike one row and seven columns on than straight below."""
    scan(hu=slope_hu, shape_HW=(23, 30)).write(folder)
