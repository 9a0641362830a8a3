"""Garbled MetaImage and NIfTI files: a row, a refusal or a volume, and never another folder's bytes."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlung.ct import LeftOut, find_series, read_series
from fedlung.ct.formats.metaimage import data_file
from fedlung.errors import SeriesError

SECRET = b"\x2a\x03" * 60  # 810 HU, which no other file holds
NAMES = ("a.mhd", "packed.mhd", "a.mha", "packed.mha", "a.nii", "a.nii.gz")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a sound file of each name, and a secret of the very size of their voxels beside the folder."""
    folder = tmp_path_factory.mktemp("formats") / "scan"
    folder.mkdir()
    values = (np.arange(60, dtype=np.int16) * 10 - 900).reshape(5, 4, 3)
    for name in NAMES:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(folder / name), useCompression="packed" in name)
    (folder.parent / "secret.raw").write_bytes(SECRET)
    yield folder


fuzzing = settings(max_examples=60, derandomize=True, deadline=None, database=None)
flips = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 255)), min_size=1, max_size=6)
texts = st.sampled_from(
    [b"../secret.raw", b"nan", b"-1", b"1e999", b"0", b" ", b"\n", b"\0", b"=", b"LIST", b"99999999", b"\xff\xfe"]
)
splices = st.lists(st.tuples(st.integers(0, 400), texts, st.integers(0, 8)), max_size=2)


def _judge(folder: Path) -> None:
    """Find and read all; only our own refusals may be raised, and no volume may hold the secret."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        series, left_out = find_series(folder)
        for one in series:
            assert {path.parent for path in one.files} == {folder}
            try:
                volume = read_series(one)
            except SeriesError:
                continue
            assert np.isfinite(volume.voxels_DHW).all()
            assert not (volume.voxels_DHW == int.from_bytes(SECRET[:2], "little")).all()
    assert all(isinstance(row, LeftOut) for row in left_out)


@pytest.mark.parametrize("name", NAMES)
@fuzzing
@given(flips=flips, splices=splices, length=st.one_of(st.none(), st.integers(0, 700)))
def test_a_garbled_file_raises_nothing_but_our_own_and_reads_nothing_outside(
    sound: Path, name: str, flips: list[tuple[int, int]], splices: list[tuple[int, bytes, int]], length: int | None
) -> None:
    content = (sound / name).read_bytes()
    # ORDER: garble what is inside a gzip file, not only its wrapping.
    garbled = bytearray(gzip.decompress(content) if name.endswith(".gz") else content)
    for place, text, num_taken in splices:
        garbled[place : place + num_taken] = text
    for place, bits in flips:
        if place < len(garbled):
            garbled[place] ^= bits
    folder = sound.parent / "garbled"
    folder.mkdir(exist_ok=True)
    made = bytes(garbled[:length])
    (folder / name).write_bytes(gzip.compress(made, 1) if name.endswith(".gz") else made)
    for data_name in ("a.raw", "packed.zraw"):
        (folder / data_name).write_bytes((sound / data_name).read_bytes())
    named = data_file(folder / name) if name.endswith(("d", "a")) else None
    assert named is None or named.parent == folder
    _judge(folder)
    (folder / name).unlink()


@fuzzing
@given(data=st.binary(max_size=300), packed=st.booleans())
def test_any_bytes_as_a_packed_data_file_are_refused_or_exact(sound: Path, data: bytes, packed: bool) -> None:
    folder = sound.parent / "data"
    folder.mkdir(exist_ok=True)
    content = zlib.compress(data) if packed else data
    header = (sound / "packed.mhd").read_text()
    lines = [line for line in header.splitlines(keepends=True) if not line.startswith("CompressedDataSize")]
    (folder / "packed.mhd").write_text("".join(lines))
    (folder / "packed.zraw").write_bytes(content)
    _judge(folder)
