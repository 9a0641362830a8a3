"""What one volume shows of its lungs and nodules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.volume import Acquisition, Volume
from fedlung.preflight.volume import check_volume


@pytest.fixture(scope="module")
def chest(chest_volume) -> Volume:
    return chest_volume()


def codes(volume: Volume, *nodules: Nodule) -> list[str]:
    return [finding.code for finding in check_volume(volume, nodules).findings]


def cropped(volume: Volume, **box: slice) -> Volume:
    """The part of a volume; ``box`` by axis d, h, w."""
    parts = tuple(box.get(axis, slice(None)) for axis in "dhw")
    starts = [part.start or 0 for part in parts]
    voxels = np.ascontiguousarray(volume.voxels_DHW[parts])
    origin = tuple(volume.index_to_world([starts])[0].tolist())
    return replace(
        volume, voxels_DHW=voxels, geometry=replace(volume.geometry, shape_DHW=voxels.shape, origin_mm=origin)
    )


LEFT_LUNG_MM, SPINE_MM = (90.0, 10.0, 20.0), (0.0, 85.0, 20.0)


def test_a_whole_chest_with_a_nodule_in_a_lung_has_no_finding(chest: Volume) -> None:
    assert codes(chest, Nodule(LEFT_LUNG_MM, 12.0)) == []


@pytest.mark.parametrize(
    ("box", "side"),
    [
        ({"d": slice(0, 18)}, "above"),
        ({"d": slice(18, None)}, "below"),
        ({"w": slice(0, 56)}, "left"),
        ({"w": slice(24, None)}, "right"),
    ],
)
def test_lungs_that_the_image_cuts_are_told_with_the_patients_side(chest: Volume, box: dict, side: str) -> None:
    (found,) = [one for one in check_volume(cropped(chest, **box), ()).findings if one.code == "LUNGS_CUT"]
    assert found.sentence.endswith(f": {side}.")


def test_sides_follow_the_direction_and_not_the_index(chest: Volume) -> None:
    """The same voxels stored from head to foot: what the image cuts at its last slice is now below."""
    upper = cropped(chest, d=slice(0, 18))
    down = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
    turned = replace(upper, geometry=Geometry(upper.geometry.shape_DHW, upper.spacing_mm, upper.origin_mm, down))
    (found,) = [one for one in check_volume(turned, ()).findings if one.code == "LUNGS_CUT"]
    assert found.sentence.endswith(": below.")


def test_a_scan_without_lungs_says_so_and_nothing_of_their_end(chest: Volume) -> None:
    solid = replace(chest, voxels_DHW=np.where(chest.voxels_DHW < -700, np.int16(45), chest.voxels_DHW))
    found = codes(solid)
    assert "LUNGS_NOT_FOUND" in found and "LUNGS_CUT" not in found


def test_nodules_off_the_image_outside_the_lungs_twice_or_too_large_are_told(chest: Volume) -> None:
    assert codes(chest, Nodule(LEFT_LUNG_MM, 12.0), Nodule((900.0, 0.0, 0.0), 8.0)) == ["NODULE_OFF_GRID"]
    assert codes(chest, Nodule(LEFT_LUNG_MM, 12.0), Nodule(SPINE_MM, 8.0)) == ["NODULE_OUTSIDE_LUNG"]
    again = Nodule((91.0, 10.0, 20.0), 12.0)
    assert codes(chest, Nodule(LEFT_LUNG_MM, 12.0), again) == ["NODULE_DUPLICATE"]
    assert codes(chest, Nodule(LEFT_LUNG_MM, 12.0), replace(again, center_mm=(95.0, 10.0, 20.0))) == []
    assert codes(chest, Nodule(LEFT_LUNG_MM, 190.0)) == ["NODULE_TOO_LARGE"]


def test_coordinates_in_ras_are_suspected_where_turned_signs_would_bring_them_into_the_lungs(chest: Volume) -> None:
    shifted = replace(chest, geometry=replace(chest.geometry, origin_mm=(-297.5, -300.0, -87.5)))
    inside = np.array(LEFT_LUNG_MM) + np.array(shifted.origin_mm) - np.array(chest.origin_mm)
    x, y, z = inside.tolist()
    assert codes(shifted, Nodule((x, y, z), 12.0)) == []
    mirrored = codes(shifted, Nodule((-x, -y, z), 12.0))
    assert "ANNOTATIONS_MIRRORED" in mirrored
    assert "ANNOTATIONS_MIRRORED" not in codes(shifted, Nodule((x + 900, y, z), 12.0))


def test_slices_count_as_thick_by_their_thickness_or_their_distance(chest: Volume) -> None:
    assert codes(replace(chest, acquisition=Acquisition(slice_thickness_mm=8.0))) == ["THICK_SLICES"]
    thinned = replace(chest, voxels_DHW=np.ascontiguousarray(chest.voxels_DHW[::2]))
    geometry = replace(chest.geometry, shape_DHW=thinned.voxels_DHW.shape, spacing_mm=(10.0, 5.0, 5.0))
    assert codes(replace(thinned, geometry=geometry)) == ["THICK_SLICES"]


def test_what_the_reader_warns_of_keeps_its_code_and_what_it_mended_is_named(chest: Volume) -> None:
    warned = replace(
        chest, warnings=("LOSSY: compressed.", "Something else: odd.", "REPAIRED: again."), repairs=("missing-slices",)
    )
    found = {finding.code: finding for finding in check_volume(warned, ()).findings}
    assert set(found) == {"LOSSY", "READ_WITH_WARNING", "REPAIRED_MISSING_SLICES"}
    assert "without lossy compression" in found["LOSSY"].remedy
    assert found["READ_WITH_WARNING"].sentence == "Something else: odd."
