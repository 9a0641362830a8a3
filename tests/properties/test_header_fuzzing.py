"""Whatever bytes a file holds: finding never raises, no file is lost, and reading raises nothing but SeriesError."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from corpus import dicom
from corpus.scan import scan
from corpus.syntaxes import compressed, rle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlung.ct import Series, find_series, read_series
from fedlung.errors import SeriesError

NUM_SLICES = 4
SOUND = {
    "explicit": scan(NUM_SLICES),
    "implicit": scan(NUM_SLICES, syntax=dicom.IMPLICIT),
    "big endian": scan(NUM_SLICES, syntax=dicom.BIG_ENDIAN),
    "compressed": scan(NUM_SLICES).each(lambda one: compressed(one, rle, dicom.RLE)),
}
FILES = {name: [one.file() for one in whole.slices] for name, whole in SOUND.items()}
PIXEL_BYTES = 32 * 24 * 2
# Pixels are the scanner's own numbers: whatever 16 bits they hold is an image. Only what comes before them is edited.
HEADER_BYTES = len(FILES["implicit"][1]) - PIXEL_BYTES
CORNERS_N3 = np.array([[0, 0, 0], [NUM_SLICES - 1, 0, 0], [0, 31, 0], [0, 0, 23]])
CORNERS_MM = np.array([SOUND["explicit"].slices[d].points_mm[h, w] for d, h, w in CORNERS_N3])

fuzzing = settings(
    max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
seldom = settings(fuzzing, max_examples=25)
plain = st.sampled_from(["explicit", "implicit", "big endian"])
places = st.integers(0, HEADER_BYTES - 1)
lengths = st.sampled_from([0, 1, 2, 7, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF])


def survives(name: str, edited: bytes) -> int:
    """How many volumes come back where the second slice's file holds other bytes; fails where a promise breaks."""
    with TemporaryDirectory() as folder:
        for index, data in enumerate(FILES[name]):
            Path(folder, f"{index}.dcm").write_bytes(edited if index == 1 else data)
        found, left_out = find_series(folder)
        assert sum(one.num_files for one in found) + sum(row.num_files for row in left_out) == NUM_SLICES
        return sum(map(_is_read, found))


def _is_read(series: Series) -> bool:
    """Whether the series is read; three sound slices of four hold its geometry where it is."""
    try:
        volume = read_series(series)
    except SeriesError:
        return False
    assert volume.voxels_DHW.shape == (NUM_SLICES, 32, 24)
    assert np.isfinite(volume.voxels_DHW).all()
    np.testing.assert_allclose(volume.index_to_world(CORNERS_N3), CORNERS_MM, atol=0.5)
    return True


@pytest.mark.parametrize("name", FILES)
def test_the_files_that_are_edited_are_sound(name: str) -> None:
    assert survives(name, FILES[name][1]) == 1


@fuzzing
@given(st.binary(max_size=600), st.booleans())
def test_random_bytes_leave_a_slice_missing(data: bytes, with_preamble: bool) -> None:
    assert survives("explicit", (bytes(128) + b"DICM" if with_preamble else b"") + data) == 0


@fuzzing
@given(plain, st.lists(st.tuples(places, st.integers(0, 7)), min_size=1, max_size=12))
def test_flipped_bits_break_no_promise(name: str, flips: list[tuple[int, int]]) -> None:
    edited = bytearray(FILES[name][1])
    for place, bit in flips:
        edited[place] ^= 1 << bit
    survives(name, bytes(edited))


@fuzzing
@given(st.sampled_from(list(FILES)), st.integers(9, PIXEL_BYTES + HEADER_BYTES))
def test_a_file_cut_off_anywhere_gives_no_volume(name: str, num_lost: int) -> None:
    # The last eight bytes of a compressed file are the delimiter; its image is whole without them.
    assert survives(name, FILES[name][1][:-num_lost]) == 0


@fuzzing
@given(plain, places, places, st.integers(1, 300))
def test_a_part_repeated_elsewhere_breaks_no_promise(name: str, source: int, target: int, size: int) -> None:
    sound = FILES[name][1]
    survives(name, sound[:target] + sound[source : source + size] + sound[target:])


@fuzzing
@given(plain, places, st.integers(1, 200))
def test_a_part_taken_out_breaks_no_promise(name: str, at: int, size: int) -> None:
    survives(name, FILES[name][1][:at] + FILES[name][1][at + size :])


@fuzzing
@given(plain, places, lengths, st.sampled_from([2, 4]))
def test_lengths_that_lie_break_no_promise(name: str, at: int, length: int, size: int) -> None:
    told = (length & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    survives(name, FILES[name][1][:at] + told + FILES[name][1][at + size :])


@seldom
@given(st.integers(1, PIXEL_BYTES), st.binary(min_size=1, max_size=16))
def test_damaged_codestreams_break_no_promise(before_end: int, data: bytes) -> None:
    sound = FILES["compressed"][1]
    at = len(sound) - before_end
    survives("compressed", sound[:at] + data + sound[at + len(data) :])


@seldom
@given(st.sampled_from(["PixelSpacing", "ImagePositionPatient", "RescaleIntercept"]), st.text(max_size=24))
def test_any_text_in_a_number_breaks_no_promise(keyword: str, text: str) -> None:
    one = scan(NUM_SLICES).slices[1]
    survives("explicit", one.set(**{keyword: text.encode("utf-8")}).file())
