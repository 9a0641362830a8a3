"""The virtual patient: tissue levels, trees, tubes and nodules have the sizes that they were given."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import label

from fedlung.ct.phantom import PROFILES, PhantomConfig, Scene, make_scene, scan
from fedlung.ct.phantom.donors import Shape
from fedlung.ct.phantom.field import Field, Grid, fractal_tile
from fedlung.ct.phantom.nodules import PlacedNodule, draw_nodule
from fedlung.ct.phantom.tubes import Tubes, draw_tubes
from fedlung.ct.phantom.vessels import _fork_cosine, grow_tree

CFG = PhantomConfig(matrix=128, coverage_mm=40.0)


def ball(radius_mm: float, *, texture: float = 5.0) -> Shape:
    """A sphere as a donor's shape."""
    z, y, x = np.indices((41, 41, 41)) * 0.5 - 10
    distance = (np.sqrt(z**2 + y**2 + x**2) - radius_mm).astype(np.float32)
    return Shape(distance, (0.5, 0.5, 0.5), 4, 3.0, texture, calcification=6.0, margin=5.0, spiculation=1.0)


@cache
def patient() -> Scene:
    return make_scene(7, (ball(5.0),), coverage_mm=CFG.coverage_mm)


def test_the_same_seed_gives_the_same_patient_and_another_seed_another() -> None:
    grid = Grid.centred((4.0, 300.0, 300.0), (2.0, 3.0, 3.0))
    again, other = (make_scene(seed, (ball(5.0),), coverage_mm=CFG.coverage_mm) for seed in (7, 8))
    assert np.array_equal(patient().render(grid), again.render(grid))
    assert not np.array_equal(patient().render(grid), other.render(grid))


def test_lung_muscle_and_air_have_their_hounsfield_units() -> None:
    scene, grid = patient(), Grid.centred((20.0, 340.0, 340.0), (2.0, 1.5, 1.5))
    hu = scene.render(grid)
    depth = scene.fields.lung.on(grid)
    assert np.median(hu[depth < -8]) == pytest.approx(scene.lung_hu, abs=25)
    assert hu[:, 0].max() == hu[:, -1].min() == -1000
    assert np.median(hu[(depth > 2) & (depth < 4)]) == pytest.approx(50, abs=15)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_one_patient_scanned_by_every_scanner_keeps_its_lung_level(profile) -> None:
    image = scan(patient(), profile, CFG, np.random.default_rng(1))
    depth = patient().fields.lung.on(image.grid)
    lung = np.median(image.hu_DHW[depth < -8])
    assert lung == pytest.approx(patient().lung_hu + profile.offset_hu, abs=35)
    assert image.hu_DHW.shape == (int(40 / image.protocol.increment_mm), 128, 128)


def test_iodine_brightens_blood_and_leaves_the_lung() -> None:
    scene, grid = patient(), Grid.centred((10.0, 340.0, 340.0), (2.0, 1.5, 1.5))
    change = scene.render(grid, iodine_hu=200.0) - scene.render(grid)
    blood = scene.fields.blood.on(grid)
    assert np.median(change[blood > 0.99]) == pytest.approx(200.0)
    assert np.median(change[scene.fields.lung.on(grid) < -8]) == 0


def test_there_are_two_lungs_and_they_do_not_touch_the_outer_air() -> None:
    grid = Grid.centred((4.0, 340.0, 340.0), (2.0, 1.5, 1.5))
    air, _ = label(patient().render(grid)[1] < -400)
    sizes = np.bincount(air.ravel())[1:] * 1.5**2
    assert np.sort(sizes[sizes > 4000])[::-1].shape == (3,), "the room's air and two lungs"
    assert air[0, 0] not in set(air[grid.shape_DHW[1] // 2, 40:-40].tolist())


@pytest.mark.parametrize("radius_mm", [0.5, 0.8, 1.5, 4.0])
def test_a_tube_fills_the_area_of_its_section(radius_mm: float) -> None:
    ends = np.array([[-30.0, 0.3, 0.2]]), np.array([[30.0, 0.3, 0.2]])
    tube = Tubes(*ends, np.array([radius_mm]), np.array([radius_mm]))
    grid = Grid.centred((4.0, 20.0, 20.0), (1.0, 1.0, 1.0))
    area = draw_tubes(tube, grid)[2].sum()
    assert area == pytest.approx(math.pi * radius_mm**2, rel=0.08)


def test_drawn_tubes_equal_the_distance_to_each_tube_voxel_by_voxel() -> None:
    starts, ends = np.array([[-8.0, -9, -9], [5, 0, -6]]), np.array([[8.0, 9, 9], [-5, 3, 6]])
    radii, grid = np.array([2.0, 0.8]), Grid.centred((20.0, 24.0, 24.0), (1.0, 1.0, 1.0))
    expected = np.zeros(grid.shape_DHW)
    for index in np.ndindex(grid.shape_DHW):
        place = np.asarray(grid.origin_mm) + index
        for start, end, radius in zip(starts, ends, radii, strict=True):
            along = np.clip((place - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
            distance = np.linalg.norm(place - start - along * (end - start))
            filled = np.clip(0.5 + radius - distance, 0, 1) * radius**2 / (radius**2 + 1 / 12)
            expected[index] = max(expected[index], filled)
    assert np.abs(draw_tubes(Tubes(starts, ends, radii, radii), grid) - expected).max() < 1e-5


def test_every_fork_obeys_murrays_law() -> None:
    everywhere = Field(Grid.centred((400.0, 400.0, 400.0), (100.0,) * 3), np.full((5, 5, 5), -99.0, np.float32))
    rng = np.random.default_rng(0)
    tree = grow_tree(rng, everywhere, root_mm=(0, 0, 0), direction=(0, 0, 1), radius_mm=4.0, smallest_mm=1.0)
    children = defaultdict(list)
    for place, radius in zip(tree.start_N3.round(6).tolist(), tree.radius_start_N, strict=True):
        children[tuple(place)].append(radius)
    pairs = [
        (radius**3, sum(r**3 for r in children[tuple(place)]))
        for place, radius in zip(tree.end_N3.round(6).tolist(), tree.radius_end_N, strict=True)
        if len(children[tuple(place)]) == 2
    ]
    assert len(pairs) > 20
    assert np.allclose(*np.array(pairs).T)


def test_an_even_fork_opens_by_75_degrees() -> None:
    half = np.array([0.5])
    assert 2 * np.degrees(np.arccos(_fork_cosine(half, half)))[0] == pytest.approx(74.9, abs=0.1)


def test_a_drawn_nodule_has_its_volume_and_its_density() -> None:
    shape = ball(5.0)
    nodule = PlacedNodule(
        shape, (0.4, -0.2, 0.3), 30.0, True, rim_hu=40, core_hu=40, core_mm=1, edge_mm=0.2, enhancement=0.2
    )
    grid = Grid.centred((20.0, 20.0, 20.0), (1.0, 1.0, 1.0))
    hu = np.full(grid.shape_DHW, -860, np.float32)
    draw_nodule(hu, grid, nodule, iodine_hu=0.0)
    assert hu.max() == pytest.approx(40, abs=1)
    assert ((hu + 860) / 900).sum() == pytest.approx(math.pi / 6 * shape.diameter_mm**3, rel=0.03)
    assert shape.diameter_mm == pytest.approx(10.0, rel=0.01)


def test_nodules_lie_in_the_lung_within_the_slab_and_apart() -> None:
    shapes = (ball(4.0), ball(6.0), ball(3.0))
    for seed in range(6):
        scene = make_scene(seed, shapes, coverage_mm=60.0)
        centers = np.array([nodule.center_mm for nodule in scene.nodules])
        assert (scene.fields.lung.at(centers) < 0).all()
        assert (np.abs(centers[:, 0]) <= 30 - 5).all()
        assert np.linalg.norm(centers[:, None] - centers, axis=2)[np.triu_indices(3, 1)].min() > 12


def test_texture_is_periodic_with_mean_0_and_deviation_1() -> None:
    tile = fractal_tile(np.random.default_rng(0), edge=16, spacing_mm=2.0, slope=2.6)
    assert tile.values_DHW.mean() == pytest.approx(0, abs=1e-5)
    assert tile.values_DHW.std() == pytest.approx(1, abs=1e-5)
    inside = np.array([[3.0, 5.0, 7.0]])
    assert tile.at(inside) == pytest.approx(tile.at(inside + 32.0))


def test_a_field_on_a_grid_is_linear_interpolation() -> None:
    rng = np.random.default_rng(0)
    field = Field(Grid.centred((8.0, 10.0, 10.0), (4.0, 2.5, 2.5)), rng.normal(size=(3, 5, 5)).astype(np.float32))
    grid = Grid((-3.3, -4.1, -4.7), (0.9, 1.1, 0.7), (8, 8, 13))
    points = np.stack(np.meshgrid(*(grid.axis_mm(axis) for axis in range(3)), indexing="ij"), -1).reshape(-1, 3)
    assert np.allclose(field.on(grid).ravel(), field.at(points), atol=1e-5)
