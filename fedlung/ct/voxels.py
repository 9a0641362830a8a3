"""The slices of a series -> their HU: one way for plain and for compressed pixels, one slice at a time.

Shapes: D slices, H rows, W columns. "Stored" values are those in the file, before the rescale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.content import ContentAudit
from fedlung.ct.decoding import decode_stored
from fedlung.ct.dicom.header import Header
from fedlung.ct.dicom.source import OpenFile
from fedlung.ct.hounsfield import HU_FLOOR, HU_LIMITS, refuse_implausible
from fedlung.errors import SeriesError

_LOWEST, _HIGHEST = np.int16(HU_FLOOR), np.int16(HU_LIMITS.max)
TISSUE_HU = (-900, 3071)
"""Where a value that is called padding is not believed to be."""


def read_voxels(
    headers: Sequence[Header],
) -> tuple[npt.NDArray[np.int16] | npt.NDArray[np.float32], tuple[str, ...]]:
    """(D, H, W) HU of slices that passed the audit: int16, or float32 where a rescale is not in whole numbers.

    Padding and whatever lies below air becomes -1024 HU. MONOCHROME1 says how values are shown and changes none
    (PS3.3 C.7.6.3.1.2). The pixels are judged while they are read: beside them come sentences on what is odd but
    trusted. Raises SeriesError.
    """
    dtype = np.int16 if all(map(_is_whole, headers)) else np.float32
    voxels_DHW = np.empty((len(headers), *headers[0].shape_HW), dtype=dtype)
    audit = ContentAudit(headers)
    for hu_HW, header, stored_HW in zip(voxels_DHW, headers, _stored_slices(headers, voxels_DHW), strict=True):
        audit.check_slice(stored_HW, header)
        _write_hu(hu_HW, stored_HW, header)
    return voxels_DHW, audit.check_volume(voxels_DHW)


def padding_may_be_tissue(header: Header) -> bool:
    """Some writers leave the padding tag at a value that is in the body; such a tag is not believed."""
    found = _padding_range(header)
    return found is not None and _hu(found[0], header) <= TISSUE_HU[1] and _hu(found[1], header) >= TISSUE_HU[0]


def files_changed() -> SeriesError:
    """What to raise where files are not those that were found."""
    sentence = "a file of the series is gone, has changed or can no longer be read."
    return SeriesError("FILES_CHANGED", sentence, remedy="Find the series anew.")


# --- stored values -------------------------------------------------------------------------------


def _stored_slices(headers: Sequence[Header], voxels_DHW: npt.NDArray) -> Iterator[npt.NDArray]:
    """(H, W) stored values of each slice, in the machine's order of bytes, in their rooms if they can be."""
    rooms = [_room(header, hu_HW) for header, hu_HW in zip(headers, voxels_DHW, strict=True)]
    packed = [(header, room_HW) for header, room_HW in zip(headers, rooms, strict=True) if not header.is_native]
    decoded = decode_stored([header for header, _ in packed], [room_HW for _, room_HW in packed])
    for header, room_HW in zip(headers, rooms, strict=True):
        yield _native(header, room_HW) if header.is_native else next(decoded)


def _room(header: Header, hu_HW: npt.NDArray) -> npt.NDArray:
    """(H, W) stored values, still to be read or decoded: the first bytes of their slice's place in the volume.

    What is written once to memory that is new costs more than all arithmetic on it.
    """
    num_bytes = header.shape_HW[0] * header.shape_HW[1] * header.stored_dtype.itemsize
    return hu_HW.reshape(-1).view(np.uint8)[:num_bytes].view(header.stored_dtype).reshape(header.shape_HW)


def _native(header: Header, stored_HW: npt.NDArray) -> npt.NDArray:
    """Plain pixels, read from where they lie in the file, then in the machine's order of bytes.

    The header has been made from the same content.
    """
    buffer = stored_HW.reshape(-1).view(np.uint8).data
    assert header.pixels is not None, "the audit lets no native file pass without pixels"
    try:
        with OpenFile(header.path) as file:
            is_same = file.stamp == header.file_stamp
            num_bytes = file.read_into(buffer, header.pixels.offset) if is_same else 0
    except OSError as error:
        raise files_changed() from error
    if num_bytes < len(buffer):
        raise files_changed()
    if stored_HW.dtype.isnative:
        return stored_HW
    return stored_HW.byteswap(inplace=True).view(stored_HW.dtype.newbyteorder(sys.byteorder))


# --- Hounsfield units ----------------------------------------------------------------------------


def _is_whole(header: Header) -> bool:
    return header.slope.is_integer() and header.intercept.is_integer()


def _write_hu(out_HW: npt.NDArray, stored_HW: npt.NDArray, header: Header) -> None:
    """Write one slice's HU into its place in the volume; its stored values are used up."""
    is_padding_HW = _is_padding(stored_HW, header)
    unused_bits = 8 * stored_HW.itemsize - header.bits_stored
    if unused_bits:
        # The bits above BitsStored are no pixel's; a signed one's highest bit is its sign. Padding may need them all.
        np.left_shift(stored_HW, unused_bits, out=stored_HW)
        np.right_shift(stored_HW, unused_bits, out=stored_HW)
        is_padding_HW = is_padding_HW | _is_padding(stored_HW, header)
    has_padding = bool(np.any(is_padding_HW))
    low = _lowest_hu(stored_HW[~is_padding_HW] if has_padding else stored_HW, header)
    if out_HW.dtype == np.int16:
        _rescale_whole(out_HW, stored_HW, int(header.slope), int(header.intercept))
        if low < HU_FLOOR:
            # np.maximum with one number on one side takes five times as long as np.clip with two.
            np.clip(out_HW, _LOWEST, _HIGHEST, out=out_HW)
    else:
        np.maximum(stored_HW * header.slope + header.intercept, HU_FLOOR, out=out_HW, casting="same_kind")
    if has_padding:
        out_HW[is_padding_HW] = HU_FLOOR


def _is_padding(stored_HW: npt.NDArray, header: Header) -> npt.NDArray[np.bool_] | np.bool_:
    """(H, W) where the slice is padded; False for all where nothing has to be done about it.

    Nothing has to be done about values below air: the floor takes them.
    """
    found = _padding_range(header)
    if found is None or padding_may_be_tissue(header):
        return np.False_
    (low, high), (lowest, highest) = found, _possible_range(header)
    if lowest <= low and high <= highest and HU_LIMITS.min <= _hu(low, header) and _hu(high, header) <= HU_FLOOR:
        return np.False_
    return (stored_HW >= low) & (stored_HW <= high)


def _padding_range(header: Header) -> tuple[int, int] | None:
    """The lowest and the highest stored value that is padding (PS3.3 C.7.5.1.1.2)."""
    if header.padding is None:
        return None
    limit = header.padding if header.padding_limit is None else header.padding_limit
    return min(header.padding, limit), max(header.padding, limit)


def _possible_range(header: Header) -> tuple[int, int]:
    """The lowest and the highest number that BitsStored can hold."""
    if header.signed:
        return -(1 << header.bits_stored - 1), (1 << header.bits_stored - 1) - 1
    return 0, (1 << header.bits_stored) - 1


def _hu(stored: int, header: Header) -> float:
    return header.slope * stored + header.intercept


def _lowest_hu(stored: npt.NDArray, header: Header) -> float:
    """What no value is below, once they are known to be plausible. Raises SeriesError IMPLAUSIBLE_HU.

    The ends of the values are looked for only where they could be beyond.
    """
    low, high = (_hu(value, header) for value in _possible_range(header))
    if low < HU_LIMITS.min and stored.size:
        low = _hu(int(stored.min()), header)
    if high > HU_LIMITS.max and stored.size:
        high = _hu(int(stored.max()), header)
    if stored.size:
        refuse_implausible(low, high)
    return low


def _rescale_whole(out_HW: npt.NDArray[np.int16], stored_HW: npt.NDArray, slope: int, intercept: int) -> None:
    """HU in whole numbers, which the limits have shown to fit: so 16 bits do, exact modulo 65536."""
    hu_HW = stored_HW.view(np.int16) if stored_HW.itemsize == 2 else stored_HW.astype(np.int16)
    if slope != 1:
        np.multiply(hu_HW, _modulo_16_bits(slope), out=hu_HW)
    np.add(hu_HW, _modulo_16_bits(intercept), out=out_HW)


def _modulo_16_bits(number: int) -> np.int16:
    return np.uint16(number & 0xFFFF).astype(np.int16)
