"""Slices as a file's encapsulated pixels, written byte by byte, with the header that goes with them."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import UID

from fedlung.ct.decoding.limits import Limits
from fedlung.ct.decoding.pool import DecoderPool
from fedlung.ct.dicom.header import Header, PixelSpan
from fedlung.ct.dicom.source import OpenFile

SYNTAXES = "1.2.840.10008.1.2."


@dataclass
class SliceWriter:
    """Writes ``fragments`` behind 16 bytes that stand for a header; gives what a reader of that header would."""

    folder: Path

    def __call__(
        self,
        fragments: Sequence[bytes],
        like_HW: np.ndarray,
        syntax: str,
        *,
        bits_stored: int = 0,
        table: bytes = b"",
        num_frames: int = 1,
        frame: int = 0,
        end: bytes = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
    ) -> Header:
        path = self.folder / f"slice-{len(list(self.folder.iterdir()))}.dcm"
        items = b"".join(
            struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in (table, *map(even, fragments))
        )
        path.write_bytes(bytes(16) + items + end)
        return header_of(path, like_HW, syntax, bits_stored=bits_stored, num_frames=num_frames, frame=frame)


def even(fragment: bytes) -> bytes:
    return fragment + bytes(len(fragment) % 2)


def header_of(
    path: Path, like_HW: np.ndarray, syntax: str, *, bits_stored: int = 0, num_frames: int = 1, frame: int = 0
) -> Header:
    """Of a slice with the shape, the sign and the bytes a pixel of an array; ``syntax`` is the UID's end."""
    bits_allocated = 8 * like_HW.itemsize
    with OpenFile(path) as file:
        stamp = file.stamp
    return Header(
        path=path,
        transfer_syntax=UID(SYNTAXES + syntax),
        pixels=PixelSpan(16, None, path.stat().st_size - 16),
        file_class="",
        series_uid="1.2",
        study_uid="1.3",
        patient_id="P1",
        frame_uid="1.4",
        modality="CT",
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        photometric="MONOCHROME2",
        manufacturer="",
        scanner_model="",
        kernel="",
        comments="",
        shape_HW=like_HW.shape,
        num_samples=1,
        num_frames=num_frames,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored or bits_allocated,
        signed=like_HW.dtype.kind == "i",
        position_mm=(0.0, 0.0, 0.0),
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        pixel_spacing_mm=(1.0, 1.0),
        slope=2.0,
        intercept=-1000.0,
        padding=0,
        slice_thickness_mm=1.0,
        kvp=120.0,
        tube_current_ma=math.nan,
        frame=frame,
        file_stamp=stamp,
    )


@pytest.fixture
def slice_file(tmp_path: Path) -> SliceWriter:
    """Writes one file of encapsulated pixels and gives its header."""
    return SliceWriter(tmp_path)


@pytest.fixture
def header_like() -> Callable[..., Header]:
    """The header of a file that is there already."""
    return header_of


@pytest.fixture
def pool_of() -> Iterator[Callable[..., DecoderPool]]:
    """Makes pools with limits of their own, closed at the end."""
    pools: list[DecoderPool] = []

    def make(*, size: int = 1, **limits: float) -> DecoderPool:
        pools.append(DecoderPool(Limits(**limits), size=size))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
