"""An encrypted array is indexed as NumPy's own, whatever its shape, dtype and index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedlung.preprocess import sealed, vault
from fedlung.preprocess.sealed import Buffers, SealedArray
from fedlung.preprocess.vault import Label, Vault

LABEL = Label("image", "00" * 16)
VAULT = Vault(b"a site's own key")
REPEATABLE = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ARRAYS = hnp.arrays(
    st.sampled_from([np.int16, np.bool_, np.uint8, np.float32]), hnp.array_shapes(max_dims=4, min_side=0, max_side=9)
)


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that rows and chunks end at different places."""
    for module in (sealed, vault):
        monkeypatch.setattr(module, "CHUNK_BYTES", 50)


def sealed_array(tmp_path: Path, array: np.ndarray, buffers: Buffers) -> SealedArray:
    with (tmp_path / "a").open("wb") as file:
        VAULT.seal(file, LABEL, array)
    return SealedArray(VAULT.open(tmp_path / "a", LABEL), buffers)


@REPEATABLE
@given(array=ARRAYS, data=st.data())
def test_every_index_gives_what_numpy_gives(tmp_path: Path, tiny_chunks, array: np.ndarray, data) -> None:
    own = sealed_array(tmp_path, array, Buffers(1 << 20))
    assert (own.shape, own.dtype, own.ndim, own.nbytes) == (array.shape, array.dtype, array.ndim, array.nbytes)
    for _ in range(3):
        index = data.draw(hnp.basic_indices(array.shape, allow_newaxis=True))
        found, expected = own[index], array[index]
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.asarray(own), array)


@REPEATABLE
@given(array=hnp.arrays(np.int16, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)), data=st.data())
def test_lists_of_voxels_and_masks_give_what_numpy_gives(tmp_path: Path, tiny_chunks, array, data) -> None:
    """As background is drawn and nodules are looked up."""
    own = sealed_array(tmp_path, array, Buffers(1 << 20))
    index_N3 = data.draw(
        hnp.arrays(
            np.int64,
            st.tuples(st.integers(0, 5), st.just(3)),
            elements=st.integers(-min(array.shape), min(array.shape) - 1),
        )
    )
    np.testing.assert_array_equal(own[tuple(index_N3.T)], array[tuple(index_N3.T)])
    np.testing.assert_array_equal(own[array > 0], array[array > 0])
    rows = array[:, 0, 0] > 0
    np.testing.assert_array_equal(own[rows], array[rows])


@REPEATABLE
@given(
    shapes=st.lists(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6), min_size=3, max_size=3),
    reads=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=12),
)
def test_volumes_that_share_too_little_room_keep_apart(tmp_path: Path, tiny_chunks, shapes, reads) -> None:
    """Buffers are used again for another volume, and what was given out before does not change."""
    buffers, rng = Buffers(300), np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, shape).astype(np.int16) for shape in shapes]
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    own = [sealed_array(folder, array, buffers) for folder, array in zip(folders, arrays, strict=True)]
    given_out = []
    for volume, row in reads:
        row %= len(arrays[volume])
        given_out.append((own[volume][row:], arrays[volume][row:]))
        assert buffers.num_bytes <= max(300, max(array.nbytes for array in arrays))
    for found, expected in given_out:
        np.testing.assert_array_equal(found, expected)
