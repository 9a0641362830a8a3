"""Every attack on an encrypted file is a real edit of its bytes, and is refused in words that say what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fedlung.errors import StoreError
from fedlung.preprocess.vault import CHUNK_BYTES, DAMAGED, MAGIC, SALT_BYTES, TAG_BYTES, Label, Vault, version_of

KEY, OTHER_KEY = b"a site's own key", b"another site's key"
IMAGE = Label("image", "ab" * 16)
STEP = CHUNK_BYTES + TAG_BYTES


@pytest.fixture(scope="module")
def content() -> npt.NDArray[np.int16]:
    """Two and a half chunks."""
    return np.random.default_rng(0).integers(-1000, 400, (5, 512, 512), dtype=np.int16)


def sealed(path: Path, content: npt.NDArray, *, key: bytes = KEY, label: Label = IMAGE) -> str:
    with path.open("wb") as file:
        return Vault(key).seal(file, label, content)


def chunks_of(path: Path) -> tuple[bytes, list[bytes]]:
    """What stands before the first chunk, and the chunks of a file of ``content``."""
    data = path.read_bytes()
    start = len(data) - (5 * 512 * 512 * 2 + 3 * TAG_BYTES)
    return data[:start], [data[start:][first : first + STEP] for first in range(0, len(data) - start, STEP)]


def read(path: Path, *, key: bytes = KEY, label: Label = IMAGE, version: str = "") -> npt.NDArray:
    return Vault(key).open(path, label, version=version).read()


def refused(path: Path, words: str, **options) -> None:
    with pytest.raises(StoreError, match=words) as refusal:
        read(path, **options)
    assert str(path) in str(refusal.value) and "Delete it" in str(refusal.value)
    assert refusal.value.public == DAMAGED


@pytest.mark.parametrize("shape", [(5, 512, 512), (1, 1, 1), (0, 3, 3), (), (524_288,), (524_289,)])
def test_what_was_sealed_comes_back_bit_by_bit(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Among them exactly one chunk, one chunk and two bytes, and nothing at all."""
    array = np.random.default_rng(1).integers(-1000, 400, shape, dtype=np.int16)
    version = sealed(tmp_path / "a", array)
    back = read(tmp_path / "a", version=version)
    assert (back.dtype, back.shape) == (np.int16, shape)
    np.testing.assert_array_equal(back, array)
    assert version_of(tmp_path / "a") == version


def test_the_content_does_not_stand_in_the_file(tmp_path: Path) -> None:
    sealed(tmp_path / "a", np.frombuffer(b"PLANTED^NAME" * 1000, dtype=np.uint8))
    assert b"PLANTED" not in (tmp_path / "a").read_bytes()


def test_the_same_content_never_gives_the_same_bytes(tmp_path: Path, content) -> None:
    """The key of each file is its own, so equal nonces do not meet."""
    versions = {sealed(tmp_path / name, content) for name in "ab"}
    (_, first), (_, second) = (chunks_of(tmp_path / name) for name in "ab")
    assert len(versions) == 2
    assert len({*first, *second}) == 6


def places() -> list[tuple[str, int]]:
    """A bit in each part of a file of ``content``, from its beginning or its end."""
    end = 5 * 512 * 512 * 2 + 3 * TAG_BYTES
    return [
        ("magic", 3),
        ("salt", len(MAGIC) + 5),
        ("length of the header", len(MAGIC) + SALT_BYTES + 3),
        ("shape", -end - 10),
        ("first chunk", -end + 7),
        ("first tag", -end + CHUNK_BYTES + 2),
        ("last chunk", -TAG_BYTES - 1),
        ("last tag", -1),
    ]


@pytest.mark.parametrize("place", [at for _, at in places()], ids=[name for name, _ in places()])
def test_one_flipped_bit_anywhere_is_refused(tmp_path: Path, content, place: int) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    data = bytearray(path.read_bytes())
    data[place] ^= 0b100
    path.write_bytes(data)
    refused(path, "not a file that was encrypted here|does not open|truncated|more than were written")


def test_every_bit_and_every_byte_of_a_small_file_matters(tmp_path: Path) -> None:
    """Each bit flipped, and the file cut at each byte: whatever it hits, the refusal is in words."""
    path = tmp_path / "a"
    sealed(path, np.arange(4, dtype=np.int16))
    whole = path.read_bytes()
    flipped = [
        whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in range(8)
    ]
    for number, content in enumerate([*flipped, *(whole[:end] for end in range(len(whole)))]):
        edited = tmp_path / str(number)
        edited.write_bytes(content)
        with pytest.raises(StoreError):
            read(edited)


@pytest.mark.parametrize(
    ("old", "new"), [(b"<i2", b"|O8"), (b"<i2", b"<U2"), (b"[5, 512, 512]", b"[5,-512,-512]"), (b'"case"', b'"Case"')]
)
def test_a_header_that_could_be_no_arrays_is_refused_before_anything_is_made_of_it(
    tmp_path: Path, content, old: bytes, new: bytes
) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    refused(path, "not a file that was encrypted here")


@pytest.mark.parametrize("left", [0, 5, 41, 60, 2000, -1, -TAG_BYTES, -(STEP // 2 + TAG_BYTES)])
def test_a_truncated_file_is_refused_at_once(tmp_path: Path, content, left: int) -> None:
    """The last one is cut at the end of a whole chunk."""
    path = tmp_path / "a"
    sealed(path, content)
    path.write_bytes(path.read_bytes()[:left])
    refused(path, "not a file that was encrypted here|truncated")


def test_a_file_that_lost_its_last_chunk_and_says_so_in_its_header_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    start, chunks = chunks_of(path)
    path.write_bytes(start.replace(b"[5, 512, 512]", b"[4, 512, 512]") + b"".join(chunks[:2]))
    refused(path, "chunk 0 .of 2. that does not open")


def test_an_appended_tail_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    path.write_bytes(path.read_bytes() + b"tail")
    refused(path, "has 4 bytes more than were written")


def test_chunks_that_were_swapped_are_named(tmp_path: Path, content) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    start, (first, second, last) = chunks_of(path)
    path.write_bytes(start + second + first + last)
    refused(path, "chunk 1 in the place of chunk 0: chunks were swapped")


def test_a_chunk_of_another_file_is_refused(tmp_path: Path, content) -> None:
    """The same content at the same place, under the same key and label."""
    for name in "ab":
        sealed(tmp_path / name, content)
    (start, own), (_, others) = (chunks_of(tmp_path / name) for name in "ab")
    (tmp_path / "a").write_bytes(start + own[0] + others[1] + own[2])
    refused(tmp_path / "a", "chunk 1 .of 3. that does not open: it was changed, is another file's")


def test_the_file_of_another_case_or_kind_is_named(tmp_path: Path, content) -> None:
    sealed(tmp_path / "a", content, label=Label("image", "cd" * 16))
    refused(tmp_path / "a", f"is image {'cd' * 16}, expected image {'ab' * 16}")
    refused(tmp_path / "a", "is image", label=Label("lung", "cd" * 16))


def test_a_file_that_is_relabelled_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "a"
    sealed(path, content, label=Label("image", "cd" * 16))
    path.write_bytes(path.read_bytes().replace(b"cd" * 16, b"ab" * 16))
    refused(path, "does not open")


def test_an_old_version_of_a_file_is_named(tmp_path: Path, content) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    old = path.read_bytes()
    version = sealed(path, content + np.int16(1))
    path.write_bytes(old)
    refused(path, "another version than its case has: an old copy", version=version)


def test_another_sites_key_opens_nothing(tmp_path: Path, content) -> None:
    sealed(tmp_path / "a", content, key=OTHER_KEY)
    refused(tmp_path / "a", "encrypted with another key")


def test_what_does_not_open_leaves_the_chunks_before_it_and_gives_nothing_of_its_own(tmp_path: Path, content) -> None:
    path = tmp_path / "a"
    sealed(path, content)
    start, (first, second, last) = chunks_of(path)
    path.write_bytes(start + first + bytes(len(second)) + last)
    out = bytearray(content.nbytes)
    file = Vault(KEY).open(path, IMAGE)
    file.decrypt_into(memoryview(out), 0)
    with pytest.raises(StoreError, match="chunk 1"):
        file.decrypt_into(memoryview(out), 1)
    file.decrypt_into(memoryview(out), 2)
    assert bytes(out[:CHUNK_BYTES]) == content.tobytes()[:CHUNK_BYTES]
    assert content.tobytes()[CHUNK_BYTES : 2 * CHUNK_BYTES] not in bytes(out)


def test_a_mark_is_the_keys_own_and_is_not_the_key() -> None:
    assert Vault(KEY).mark("text") == Vault(KEY).mark("text")
    assert len({Vault(KEY).mark("text"), Vault(OTHER_KEY).mark("text"), Vault(KEY).mark("texts")}) == 3
