"""Index space and world space are one another's inverse, whatever the grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fedlung.ct.geometry import Geometry

lengths = st.floats(0.05, 20.0)
coordinates = st.floats(-2000.0, 2000.0)
sizes = st.integers(1, 800)
angles = st.floats(-180.0, 180.0)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Any grid: any spacing and origin, any rotation, mirrored or not."""
    direction_33 = Rotation.from_euler("zyx", draw(st.tuples(angles, angles, angles)), degrees=True).as_matrix()
    direction_33 = direction_33 * draw(st.sampled_from([(1, 1, 1), (1, 1, -1), (-1, 1, 1)]))
    return Geometry(
        shape_DHW=draw(st.tuples(sizes, sizes, sizes)),
        spacing_mm=draw(st.tuples(lengths, lengths, lengths)),
        origin_mm=draw(st.tuples(coordinates, coordinates, coordinates)),
        direction=tuple(map(tuple, direction_33.tolist())),
    )


points = st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=1, max_size=5).map(np.array)


@given(geometries(), points)
def test_index_to_world_and_back_is_the_same_index(geometry: Geometry, index_N3: np.ndarray) -> None:
    np.testing.assert_allclose(geometry.world_to_index(geometry.index_to_world(index_N3)), index_N3, atol=1e-6)


@given(geometries(), points)
def test_world_to_index_and_back_is_the_same_place(geometry: Geometry, world_N3: np.ndarray) -> None:
    np.testing.assert_allclose(geometry.index_to_world(geometry.world_to_index(world_N3)), world_N3, atol=1e-6)


@given(geometries())
def test_voxel_zero_lies_at_the_origin(geometry: Geometry) -> None:
    np.testing.assert_array_equal(geometry.index_to_world([[0, 0, 0]])[0], geometry.origin_mm)


@given(geometries(), st.integers(0, 2))
def test_a_step_along_an_axis_is_its_spacing_in_mm(geometry: Geometry, axis: int) -> None:
    step = geometry.index_to_world(np.eye(3)[axis])[0] - geometry.origin_mm
    np.testing.assert_allclose(np.linalg.norm(step), geometry.spacing_mm[axis], rtol=1e-6, atol=1e-9)
    column = np.array(geometry.direction)[:, 2 - axis]
    np.testing.assert_allclose(step, column * geometry.spacing_mm[axis], atol=1e-9)


@given(geometries())
def test_the_outer_voxels_are_inside_and_their_next_neighbours_are_not(geometry: Geometry) -> None:
    last = np.array(geometry.shape_DHW) - 1
    assert geometry.contains([np.zeros(3), last]).all()
    outside = np.concatenate([-np.eye(3), last + np.eye(3)])
    assert not geometry.contains(outside).any()
