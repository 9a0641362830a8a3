"""Files encrypted at rest: AES-256-GCM by chunks, so that a part is read without the rest.

    magic    8 bytes   the format
    salt    32 bytes   random, this file's own
    length   4 bytes   of the header, big-endian
    header   JSON      kind, case, dtype and shape of what is inside
    chunks             1 MiB of content each (the last one less), each with its tag of 16 bytes

**Keys and nonces.** Every file has a key of its own: HKDF-SHA256 (RFC 5869) of the store's key with the file's salt. A
chunk's nonce is its number. A file is written once, from its first chunk to its last, and is never changed in place, so
no nonce occurs twice under one key; two files share a key only where two random salts of 256 bits are equal. This is
the deterministic construction of NIST SP 800-38D, section 8.2.1.

**Associated data** of a chunk: the hash of everything before the first chunk, the chunk's number, and whether it is the
last. A chunk is therefore good at its own place of its own file and nowhere else, and no header can be changed.

What this does not promise: that a whole store put back as it was yesterday is noticed, or that somebody who can read
the site's key is kept out. Sizes, dates and the number of cases are not hidden.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedlung.errors import DamagedFileError

CHUNK_BYTES = 1 << 20
TAG_BYTES = 16
SALT_BYTES = 32
MAGIC = b"fedlung\x01"
DAMAGED = "a file of the site's case store is damaged"
_MOST_HEADER_BYTES = 512
_DTYPES = ("<i2", "|b1", "|u1", "<f4")


class Label(NamedTuple):
    """What a file is, and of which case; a file with another label is refused."""

    kind: str
    case_id: str = ""


class Vault:
    """Seals and opens the files of one store. ``secret`` is the site's; the key that encrypts is derived from it.

    The derivation has its own purpose, so nothing else that is made of the secret (names of cases, the bootstrap's
    seed) tells of this key, and the other way round.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = _derived(secret, salt=b"fedlung case store", purpose=b"encryption at rest")

    def mark(self, text: str) -> str:
        """32 hex digits that only this key gives for a text: what stands in the open can be checked by it."""
        return hmac.new(_derived(self._key, salt=b"mark", purpose=b"mark"), text.encode(), "sha256").hexdigest()[:32]

    def seal(self, file: BinaryIO, label: Label, content: npt.NDArray[Any]) -> str:
        """Write an array, encrypted; gives the file's version, which no other file has."""
        salt = os.urandom(SALT_BYTES)
        preamble = _preamble(salt, label, content)
        cipher, context = self._cipher(salt), hashlib.sha256(preamble).digest()
        file.write(preamble)
        plain = np.ascontiguousarray(content).reshape(-1).view(np.uint8).data
        buffer = memoryview(bytearray(min(CHUNK_BYTES, len(plain)) + TAG_BYTES))
        for number, start, stop, is_last in _chunks(len(plain)):
            sealed = buffer[: stop - start + TAG_BYTES]
            cipher.encrypt_into(_nonce(number), plain[start:stop], _bound_to(context, number, is_last), sealed)
            file.write(sealed)
        return salt.hex()

    def open(self, path: Path, label: Label, *, version: str = "") -> SealedFile:
        """A sealed file, mapped; nothing of its content is decrypted yet. ``version`` is what ``seal`` gave.

        Raises StoreError for a file that is cut short or longer than it should be, is none of this format, has another
        label, or is another version than the one that is asked for.
        """
        try:
            content = _mapped(path)
            salt, header, start = _read_preamble(content)
            found = Label(str(header["kind"]), str(header["case"]))
            dtype, shape = _form(header)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path, f"is not a file that was encrypted here ({error})") from error
        if found != label:
            raise damaged(path, f"is {found.kind} {found.case_id}, expected {label.kind} {label.case_id}")
        if version and salt.hex() != version:
            raise damaged(path, "is another version than its case has: an old copy was put back, or a write was mixed")
        _check_size(path, len(content) - start, math.prod(shape) * dtype.itemsize)
        context = hashlib.sha256(content[:start]).digest()
        return SealedFile(path, dtype, shape, salt.hex(), content[start:], self._cipher(salt), context)

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(_derived(self._key, salt=salt, purpose=b"file"))


class SealedFile:
    """An opened file. ``version`` is its salt; ``dtype`` and ``shape`` are trusted once a chunk was decrypted."""

    def __init__(
        self,
        path: Path,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        version: str,
        chunks: memoryview,
        cipher: AESGCM,
        context: bytes,
    ) -> None:
        self.path, self.dtype, self.shape, self.version = path, dtype, shape, version
        self.num_bytes = math.prod(shape) * dtype.itemsize
        self.num_chunks = max(1, -(-self.num_bytes // CHUNK_BYTES))
        self._chunks, self._cipher, self._context = chunks, cipher, context

    def decrypt_into(self, out: memoryview, number: int) -> None:
        """Decrypt one chunk to its place in ``out``, which has room for the whole content. Raises StoreError."""
        start = number * CHUNK_BYTES
        stop = min(start + CHUNK_BYTES, self.num_bytes)
        try:
            self._cipher.decrypt_into(_nonce(number), self._sealed(number), self._bound(number), out[start:stop])
        except InvalidTag:
            raise damaged(self.path, self._fault_of(number)) from None

    def check_end(self) -> None:
        """Decrypt the last chunk and keep nothing: a tag that fits vouches for the header, too. Raises StoreError."""
        number = self.num_chunks - 1
        try:
            self._cipher.decrypt(_nonce(number), self._sealed(number), self._bound(number))
        except InvalidTag:
            raise damaged(self.path, self._fault_of(number)) from None

    def read(self) -> npt.NDArray[Any]:
        """The whole content, the caller's own."""
        array = np.empty(self.shape, self.dtype)
        self.read_into(array)
        return array

    def read_into(self, array: npt.NDArray[Any]) -> None:
        """Decrypt everything into a contiguous array of the same number of bytes."""
        out = array.reshape(-1).view(np.uint8).data
        for number in range(self.num_chunks):
            self.decrypt_into(out, number)

    def _sealed(self, number: int) -> memoryview:
        step = CHUNK_BYTES + TAG_BYTES
        return self._chunks[number * step : (number + 1) * step]

    def _bound(self, number: int) -> bytes:
        return _bound_to(self._context, number, number == self.num_chunks - 1)

    def _fault_of(self, number: int) -> str:
        """What is wrong with a chunk that does not open: another one of this file, or anything else."""
        for other in range(self.num_chunks):
            try:
                self._cipher.decrypt(_nonce(other), self._sealed(number), self._bound(other))
            except InvalidTag:
                continue
            return f"has chunk {other} in the place of chunk {number}: chunks were swapped"
        return (
            f"has a chunk {number} (of {self.num_chunks}) that does not open: it was changed, is another file's, "
            "or was encrypted with another key"
        )


def damaged(path: Path, found: str) -> DamagedFileError:
    """The error for a file of a store; ``public`` has neither its name nor its case."""
    return DamagedFileError(
        f"{path} {found}. Delete it: the next preparation makes its case anew. If you did not change it, find out who "
        "can write to the store.",
        public=DAMAGED,
    )


def version_of(path: Path) -> str:
    """The version that a file says it has, not yet checked."""
    with path.open("rb") as file:
        return file.read(len(MAGIC) + SALT_BYTES)[len(MAGIC) :].hex()


def _derived(key: bytes, *, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=purpose).derive(key)


def _chunks(num_bytes: int) -> Iterator[tuple[int, int, int, bool]]:
    """(number, start, stop, is last) of every chunk; there is always one, so that an empty file has a tag as well."""
    num_chunks = max(1, -(-num_bytes // CHUNK_BYTES))
    for number in range(num_chunks):
        start = number * CHUNK_BYTES
        yield number, start, min(start + CHUNK_BYTES, num_bytes), number == num_chunks - 1


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _bound_to(context: bytes, number: int, is_last: bool) -> bytes:
    return context + struct.pack(">Q?", number, is_last)


def _preamble(salt: bytes, label: Label, content: npt.NDArray[Any]) -> bytes:
    fields = {"kind": label.kind, "case": label.case_id, "dtype": content.dtype.str, "shape": list(content.shape)}
    header = json.dumps(fields).encode()
    return MAGIC + salt + struct.pack(">I", len(header)) + header


def _read_preamble(content: memoryview) -> tuple[bytes, dict[str, Any], int]:
    """Salt, header and where the chunks begin. Raises ValueError."""
    start = len(MAGIC) + SALT_BYTES + 4
    if len(content) < start or content[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin as one")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    if length > _MOST_HEADER_BYTES or len(content) < start + length:
        raise ValueError("its header is cut short")
    header = json.loads(bytes(content[start : start + length]))
    if not isinstance(header, dict):
        raise ValueError("its header is none")
    return bytes(content[len(MAGIC) : start - 4]), header, start + length


def _form(header: dict[str, Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Dtype and shape of a header that nothing vouches for yet. Raises ValueError, KeyError or TypeError."""
    shape = tuple(int(edge) for edge in header["shape"])
    # A list of our own: NumPy makes something, or a SyntaxError, of nearly any text.
    if header["dtype"] not in _DTYPES or min(shape, default=0) < 0:
        raise ValueError("it holds nothing that is kept here")
    return np.dtype(header["dtype"]), shape


def _check_size(path: Path, found: int, num_bytes: int) -> None:
    expected = num_bytes + TAG_BYTES * max(1, -(-num_bytes // CHUNK_BYTES))
    if found < expected:
        raise damaged(path, f"is truncated: {found} bytes of chunks, expected {expected}")
    if found > expected:
        raise damaged(path, f"has {found - expected} bytes more than were written")


def _mapped(path: Path) -> memoryview:
    """The file through the page cache; no file stays open (see ``keeping.mapped_npy``)."""
    num_bytes = path.stat().st_size
    if not num_bytes:
        raise ValueError("it is empty")
    return torch.from_file(str(path), shared=False, size=num_bytes, dtype=torch.uint8).numpy().data
