"""The walk over a file's elements: what it keeps, and that no file makes it crash, hang or take more than it has."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib
from dataclasses import dataclass, field

import pytest

from fedlung.ct.dicom import elements, source
from fedlung.ct.dicom.elements import Elements, read_elements
from fedlung.ct.dicom.source import Inflated

MODALITY, SERIES, ROWS, COMMENT, CHARSET = 0x0008_0060, 0x0020_000E, 0x0028_0010, 0x0020_4000, 0x0008_0005
WANTED = frozenset({MODALITY, SERIES, ROWS, COMMENT, CHARSET})
EXPLICIT, IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", elements.DEFLATED
UNDEFINED = 0xFFFFFFFF
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
ITEM_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)


@dataclass
class Bytes:
    """A source in memory that notes what is asked of it."""

    content: bytes
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, num_bytes: int) -> bytes:
        self.asked.append((offset, num_bytes))
        return self.content[offset : offset + num_bytes]


def short(tag: int, vr: bytes, value: bytes, order: str = "<") -> bytes:
    """An element in explicit VR with a length of two bytes."""
    return struct.pack(f"{order}HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR with a length of four bytes."""
    head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value) if length is None else length)
    return head + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    """An element without its value representation."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


PIXELS = long(elements.PIXEL_DATA, b"OW", bytes(16))
HEAD = short(MODALITY, b"CS", b"CT") + short(SERIES, b"UI", b"1.2\0") + short(ROWS, b"US", b"\6\0")
VALUES = {MODALITY: b"CT", SERIES: b"1.2\0", ROWS: b"\6\0"}


def file_of(data_set: bytes, syntax: str = EXPLICIT) -> bytes:
    """A file with preamble, mark and group 2."""
    return bytes(128) + b"DICM" + short(elements.TRANSFER_SYNTAX, b"UI", syntax.encode()) + data_set


def read(content: bytes) -> Elements:
    found = read_elements(Bytes(content), WANTED)
    assert found is not None
    return found


def values(found: Elements) -> dict[int, bytes]:
    assert found.damage == ""
    return {tag: raw for tag, raw in found.values.items() if tag != elements.TRANSFER_SYNTAX}


# --- what is kept --------------------------------------------------------------------------------


def test_wanted_values_are_kept_raw_and_the_pixels_are_found() -> None:
    content = file_of(HEAD + PIXELS)
    found = read(content)
    assert values(found) == VALUES
    assert found.transfer_syntax == EXPLICIT
    assert found.pixels == (elements.PIXEL_DATA, len(content) - 16, 16)


def test_a_header_costs_one_small_read() -> None:
    content = Bytes(file_of(HEAD + long(elements.PIXEL_DATA, b"OW", bytes(1 << 20))))
    read_elements(content, WANTED)
    assert content.asked == [(0, elements.WINDOW_BYTES)]


def test_a_long_private_element_is_passed_over_and_not_read() -> None:
    private = long(0x0009_1010, b"UN", bytes(1 << 20))
    content = Bytes(file_of(short(MODALITY, b"CS", b"CT") + private + short(ROWS, b"US", b"\6\0") + PIXELS))
    found = read_elements(content, WANTED)
    assert found is not None and values(found) == {MODALITY: b"CT", ROWS: b"\6\0"}
    assert sum(num_bytes for _, num_bytes in content.asked) <= 2 * elements.WINDOW_BYTES


@pytest.mark.parametrize("cut", range(4050, 4110))
def test_a_value_may_lie_across_the_edge_of_what_was_read(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "WINDOW_BYTES", 4096)
    filler = short(0x0009_1010, b"LO", bytes(cut - 128 - 4 - 27 - 8))
    assert values(read(file_of(filler + HEAD + PIXELS))) == VALUES


@pytest.mark.parametrize("with_mark", [True, False])
def test_implicit_elements_are_read_with_and_without_group_2(with_mark: bool) -> None:
    data_set = implicit(CHARSET, b"ISO_IR 6") + implicit(MODALITY, b"CT") + implicit(ROWS, b"\6\0")
    data_set += implicit(elements.PIXEL_DATA, bytes(200))
    found = read(file_of(data_set, IMPLICIT) if with_mark else data_set)
    assert values(found) == {CHARSET: b"ISO_IR 6", MODALITY: b"CT", ROWS: b"\6\0"}
    assert found.pixels is not None and found.pixels.length == 200


def test_big_endian_tags_and_numbers_are_told_as_such() -> None:
    data_set = short(MODALITY, b"CS", b"CT", ">") + short(ROWS, b"US", b"\0\6", ">")
    found = read(file_of(data_set, BIG))
    assert values(found) == {MODALITY: b"CT", ROWS: b"\0\6"}
    assert not found.little_endian


def test_what_is_written_is_believed_over_what_is_declared() -> None:
    assert values(read(file_of(HEAD + PIXELS, IMPLICIT))) == VALUES
    assert values(read(file_of(implicit(MODALITY, b"CT") + implicit(ROWS, b"\6\0"), EXPLICIT)))[ROWS] == b"\6\0"


def test_sequences_are_passed_by_however_their_ends_are_told() -> None:
    inner = short(MODALITY, b"CS", b"MR")
    known = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    unknown = OPEN_ITEM + inner + long(0x0008_1140, b"SQ", known + SEQUENCE_END, UNDEFINED) + ITEM_END
    of_un = OPEN_ITEM + implicit(MODALITY, b"MR") + ITEM_END
    sequences = (
        long(0x0008_1110, b"SQ", known)
        + long(0x0008_1115, b"SQ", unknown + known + SEQUENCE_END, UNDEFINED)
        + long(0x0009_1010, b"UN", of_un + SEQUENCE_END, UNDEFINED)
        + long(0x0009_1011, b"SQ", OPEN_ITEM + implicit(MODALITY, b"MR") + ITEM_END + SEQUENCE_END, UNDEFINED)
    )
    assert values(read(file_of(sequences + HEAD + PIXELS))) == VALUES


def test_the_data_set_of_a_deflated_file_is_inflated_as_far_as_its_pixels() -> None:
    data_set = HEAD + long(elements.PIXEL_DATA, b"OW", bytes(4 << 20))
    packed = zlib.compressobj(wbits=-15)
    found = read(file_of(packed.compress(data_set) + packed.flush(), DEFLATED))
    assert values(found) == VALUES
    assert found.pixels == (elements.PIXEL_DATA, len(HEAD) + 12, 4 << 20)


def test_zeros_behind_the_last_element_are_padding() -> None:
    assert values(read(file_of(HEAD + bytes(1000)))) == VALUES
    assert values(read(file_of(HEAD + bytes(5)))) == VALUES


# --- what is no DICOM file, and what is damaged ---------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"DICM", bytes(500), b"not DICOM" * 100, b"\x08\0" * 100, b"\x89PNG\r\n\x1a\n" + bytes(500)]
)
def test_other_files_are_not_dicom(content: bytes) -> None:
    assert read_elements(Bytes(content), WANTED) is None


@pytest.mark.parametrize(
    ("data_set", "damage"),
    [
        (HEAD + long(0x0009_1010, b"OB", b"", 0xFFFFFFF0), "(0009,1010) is longer than the rest of the file"),
        (short(MODALITY, b"CS", b"CT")[:-1], "ends within (0008,0060)"),
        (HEAD + b"\x28\0\x11", "ends within the element after (0028,0010)"),
        (HEAD[:10] + bytes(8) + HEAD[18:], "(0000,0000) is out of place"),
        (short(MODALITY, b"C?", b"CT"), "(0008,0060) has 147267 bytes"),
        (HEAD + short(0x0028_0011, b"\1\2", b"\6\0"), "(0028,0011) has no known value representation"),
        (HEAD + short(ROWS, b"US", b"\7\0"), "(0028,0010) occurs twice with different values"),
        (HEAD + long(COMMENT, b"UT", bytes(1 << 17)), "(0020,4000) has 131072 bytes"),
        (HEAD + long(0x0009_1010, b"SQ", b"", UNDEFINED), "ends within a sequence"),
        (HEAD + long(0x0009_1010, b"SQ", HEAD, UNDEFINED), "(0008,0060) is out of place in a sequence"),
        (HEAD + SEQUENCE_END + PIXELS, "(FFFE,E0DD) is out of place"),
    ],
)
def test_damage_ends_the_walk_and_is_told_with_its_tag(data_set: bytes, damage: str) -> None:
    found = read(file_of(data_set))
    assert found.pixels is None
    assert damage in found.damage


def test_the_same_value_twice_says_nothing_new() -> None:
    assert values(read(file_of(HEAD + short(ROWS, b"US", b"\6\0") + PIXELS))) == VALUES


def test_what_was_read_before_the_damage_is_still_known() -> None:
    found = read(file_of(HEAD + bytes(8) + b"x"))
    assert found.damage and found.values[SERIES] == b"1.2\0"


# --- hostile files --------------------------------------------------------------------------------


def test_sequences_are_walked_to_a_depth_and_given_up_beyond_it() -> None:
    def nested(depth: int) -> bytes:
        return (long(0x0009_1010, b"SQ", b"", UNDEFINED) + OPEN_ITEM) * depth + (ITEM_END + SEQUENCE_END) * depth

    assert values(read(file_of(nested(elements.MAX_DEPTH) + HEAD + PIXELS))) == VALUES
    assert "deep within one another" in read(file_of(nested(elements.MAX_DEPTH + 1) + HEAD + PIXELS)).damage


def test_what_comes_after_too_deep_a_sequence_is_not_walked() -> None:
    source = Bytes(file_of((long(0x0009_1010, b"SQ", b"", UNDEFINED) + OPEN_ITEM) * 50_000))
    found = read_elements(source, WANTED)
    assert found is not None and "deep within one another" in found.damage
    assert max(offset + num_bytes for offset, num_bytes in source.asked) <= 2 * elements.WINDOW_BYTES


def test_a_header_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_ELEMENTS", 1000)
    for endless in (short(0x0009_1010, b"LO", b""), long(0x0009_1010, b"SQ", SEQUENCE_END, UNDEFINED)):
        assert read(file_of(endless * 1001)).damage.startswith("more than")
    items = long(0x0009_1010, b"SQ", (OPEN_ITEM + ITEM_END) * 501, UNDEFINED)
    assert read(file_of(items)).damage.startswith("more than")


def test_no_length_makes_the_walk_take_more_memory_than_it_may() -> None:
    claims = [long(0x0009_1010, b"OB", b"", length) for length in (0x7FFFFFFF, 0xFFFFFFF0)]
    tracemalloc.start()
    for claim in claims:
        assert read(file_of(claim + HEAD)).damage
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_deflated_bomb_is_inflated_no_further_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_INFLATED_BYTES", 1 << 20)
    packed = zlib.compressobj(wbits=-15)
    bomb = packed.compress(long(0x0009_1010, b"OB", bytes(1 << 26))) + packed.flush()
    tracemalloc.start()
    found = read(file_of(bomb, DEFLATED))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "inflated before the pixels" in found.damage
    assert peak < 8 << 20


@pytest.mark.parametrize("packed", [b"\xff" * 100, b""])
def test_a_garbled_deflated_stream_is_damage_and_no_crash(packed: bytes) -> None:
    found = read(file_of(packed, DEFLATED))
    assert found.pixels is None and set(found.values) == {elements.TRANSFER_SYNTAX}


def test_reading_beyond_a_deflated_stream_gives_what_there_is() -> None:
    packed = zlib.compressobj(wbits=-15)
    stream = Inflated(Bytes(b"skip" + packed.compress(b"0123456789") + packed.flush()), 4)
    assert stream.read(8, 100) == b"89"
    assert stream.size == 10


def test_the_largest_header_is_walked_in_seconds() -> None:
    many = short(0x0009_1010, b"LO", b"") * 200_000
    begin = time.process_time()
    assert values(read(file_of(many + HEAD + PIXELS))) == VALUES
    assert time.process_time() - begin < 2


# --- files that are laid out alike ----------------------------------------------------------------


def walked(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Elements | None:
    """What a walk finds that remembers no other file."""
    with monkeypatch.context() as forgetful:
        forgetful.setattr(elements, "_recent", {})
        return read_elements(Bytes(content), WANTED)


def test_a_file_laid_out_as_the_one_before_gives_its_own_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "_recent", {})
    read(file_of(HEAD + PIXELS))
    monkeypatch.setattr(elements, "_Walk", None)
    other = read(file_of(HEAD.replace(b"CT", b"MR").replace(b"1.2\0", b"1.7\0") + PIXELS))
    assert values(other) == {MODALITY: b"MR", SERIES: b"1.7\0", ROWS: b"\6\0"}
    assert other.transfer_syntax == EXPLICIT and other.pixels == (elements.PIXEL_DATA, 132 + 27 + len(HEAD) + 12, 16)


@pytest.mark.parametrize("data_set", [HEAD + PIXELS, short(0x0009_1010, b"LO", b"xx") + HEAD + PIXELS])
def test_no_changed_byte_is_read_otherwise_than_by_a_walk(data_set: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every byte of a header in turn becomes every one of a few others, after the header itself was learned.
    content = file_of(data_set)
    for position in range(128, len(content) - 16):
        for byte in (0, 1, 2, 8, 16, 0x4F, 0x57, 0xFF):
            changed = content[:position] + bytes([byte]) + content[position + 1 :]
            monkeypatch.setattr(elements, "_recent", {})
            read(content)
            assert read_elements(Bytes(changed), WANTED) == walked(changed, monkeypatch)


def test_a_tag_that_occurs_twice_is_never_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "_recent", {})
    twice = HEAD + short(ROWS, b"US", b"\6\0")
    assert values(read(file_of(twice + PIXELS))) == VALUES
    assert "occurs twice" in read(file_of(twice[:-2] + b"\7\0" + PIXELS)).damage


def test_only_so_many_layouts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "_recent", {})
    for width in range(3 * elements.MAX_LAYOUTS):
        read(file_of(short(0x0009_1010, b"LO", bytes(2 * width)) + HEAD + PIXELS))
    assert [len(known) for known in elements._recent.values()] == [elements.MAX_LAYOUTS]
