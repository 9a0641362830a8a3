"""What resampling keeps for every pair of grids."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.ct.geometry import Geometry
from fedlung.preprocess.kernels import axis_weights
from fedlung.preprocess.resample import crop, cube_target, isotropic_target, resample

CPU = torch.device("cpu")
sizes = st.tuples(*[st.integers(1, 14)] * 3)
spacings = st.tuples(*[st.floats(0.4, 5.0)] * 3)
origins = st.tuples(*[st.floats(-200.0, 200.0)] * 3)
interpolations = st.sampled_from(["linear", "catmull-rom"])


@st.composite
def rotations(draw: st.DrawFn) -> tuple[tuple[float, float, float], ...]:
    angle = draw(st.floats(-3.0, 3.0))
    cos, sin = np.cos(angle), np.sin(angle)
    return ((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0))


@st.composite
def pairs(draw: st.DrawFn, sizes: st.SearchStrategy = sizes) -> tuple[Geometry, Geometry]:
    """Two grids of one direction, the second anywhere near the first."""
    direction = draw(rotations())
    source = Geometry(draw(sizes), draw(spacings), draw(origins), direction)
    spacing = draw(spacings)
    first = draw(st.tuples(*[st.floats(-3.0, 14.0)] * 3))
    return source, Geometry(draw(sizes), spacing, tuple(source.index_to_world([first])[0].tolist()), direction)


def world_of(geometry: Geometry) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(num) for num in geometry.shape_DHW], indexing="ij"), axis=-1)
    return geometry.index_to_world(index.reshape(-1, 3)).reshape(*geometry.shape_DHW, 3)


@settings(max_examples=60, deadline=None)
@given(pairs(), interpolations, st.booleans(), st.tuples(*[st.floats(-2.0, 2.0)] * 3))
def test_a_field_linear_in_the_position_is_exact_inside(grids, interpolation, antialias, slope) -> None:
    source, target = grids
    field, wanted = (torch.from_numpy(world_of(grid) @ slope) for grid in grids)
    got = resample(field, source, target, interpolation=interpolation, antialias=antialias, device=CPU).numpy()
    ratio = np.divide(target.spacing_mm, source.spacing_mm)
    reach = (2 if interpolation == "catmull-rom" else 1) * (np.maximum(ratio, 1) if antialias else 1)
    index = source.world_to_index(world_of(target))
    inside = np.all((index >= reach) & (index <= np.asarray(source.shape_DHW) - 1 - reach), axis=1).reshape(got.shape)
    scale = 1 + np.abs(world_of(source)).max() * np.abs(slope).sum()
    np.testing.assert_allclose(got[inside], wanted.numpy()[inside], atol=3e-6 * scale)


@settings(max_examples=40, deadline=None)
@given(pairs(), interpolations, st.booleans())
def test_a_constant_stays_that_constant_to_the_edge_and_beyond(grids, interpolation, antialias) -> None:
    source, _ = grids
    got = resample(
        torch.full(source.shape_DHW, -871.0), *grids, interpolation=interpolation, antialias=antialias, device=CPU
    )
    np.testing.assert_allclose(got.numpy(), -871.0, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(sizes, spacings, origins, rotations(), interpolations, st.integers(0, 99))
def test_a_grid_onto_itself_changes_nothing(shape, spacing, origin, direction, interpolation, seed) -> None:
    grid = Geometry(shape, spacing, origin, direction)
    voxels = torch.from_numpy(np.random.default_rng(seed).integers(-1024, 3072, shape, dtype=np.int16))
    got = resample(voxels, grid, grid, interpolation=interpolation, antialias=True, device=CPU)
    np.testing.assert_array_equal(got.numpy(), voxels.numpy())


@settings(max_examples=20, deadline=None)
@given(pairs(st.tuples(*[st.integers(1, 4)] * 3)), interpolations)
def test_antialiasing_gives_white_noise_the_variance_of_its_squared_weights(grids, interpolation) -> None:
    """The answers to all unit impulses, squared and summed, are the product over the axes of the rows' square sums."""
    source, target = grids
    settings_ = {"interpolation": interpolation, "antialias": True}
    rows = [(weights**2).sum(axis=1) for weights in axis_weights(source, target, **settings_)]
    impulses = torch.eye(int(np.prod(source.shape_DHW))).view(-1, *source.shape_DHW)
    answers = [resample(impulse, source, target, **settings_, device=CPU).double() for impulse in impulses]
    summed = sum(answer.square() for answer in answers)
    np.testing.assert_allclose(summed, np.einsum("d,h,w->dhw", *rows), rtol=1e-4, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(sizes, spacings, origins, rotations(), st.floats(0.5, 4.0), st.integers(1, 20))
def test_targets_cover_the_same_extent_about_the_same_middle(
    shape, spacing, origin, direction, spacing_mm, edge
) -> None:
    source = Geometry(shape, spacing, origin, direction)

    def ends(grid: Geometry) -> np.ndarray:
        return source.world_to_index(grid.index_to_world([[-0.5] * 3, np.asarray(grid.shape_DHW) - 0.5])) * spacing

    np.testing.assert_allclose(ends(cube_target(source, edge)), ends(source), atol=1e-6)
    isotropic = isotropic_target(source, spacing_mm)
    assert isotropic.spacing_mm == (spacing_mm,) * 3
    np.testing.assert_allclose(ends(isotropic).mean(axis=0), ends(source).mean(axis=0), atol=1e-6)
    off = np.abs(ends(isotropic) - ends(source))
    assert np.all((off <= spacing_mm / 4 + 1e-6) | (np.asarray(isotropic.shape_DHW) == 1))


@settings(max_examples=40, deadline=None)
@given(sizes, spacings, origins, rotations(), st.data())
def test_a_voxel_of_a_crop_is_where_it_was(shape, spacing, origin, direction, data) -> None:
    whole = Geometry(shape, spacing, origin, direction)
    starts = [data.draw(st.integers(0, num - 1)) for num in shape]
    box = tuple(slice(start, data.draw(st.integers(start + 1, num))) for start, num in zip(starts, shape, strict=True))
    np.testing.assert_allclose(world_of(crop(whole, box)), world_of(whole)[box], atol=1e-9)
