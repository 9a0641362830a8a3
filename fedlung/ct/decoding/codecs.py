"""One slice's bytes -> its stored values, by the codec of its transfer syntax."""

from __future__ import annotations

import struct
import zlib

import jpeg_ls
import numpy as np
import numpy.typing as npt

from fedlung.ct.decoding import codestreams
from fedlung.ct.decoding.codestreams import StreamFormat
from fedlung.ct.decoding.deflated import inflated_frame
from fedlung.ct.decoding.encapsulation import frame_bytes
from fedlung.ct.decoding.gdcm import decode_with_gdcm
from fedlung.ct.decoding.rle import decode_rle
from fedlung.ct.decoding.task import DecodingError, Task, undecodable

DEFLATED = "1.2.840.10008.1.2.1.99"
PLAIN = "1.2.840.10008.1.2.1.98"
RLE = "1.2.840.10008.1.2.5"
_JPEG = "1.2.840.10008.1.2.4."
JPEG = frozenset(_JPEG + end for end in ("50", "51", "57", "70"))
JPEG_LS_LOSSLESS = _JPEG + "80"
JPEG_LS = frozenset(_JPEG + end for end in ("80", "81"))
JPEG_2000 = frozenset(_JPEG + end for end in ("90", "91", "201", "202", "203"))

_GARBAGE = (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, struct.error, zlib.error)
"""What parsers and codecs raise on bytes that are not what they should be."""


def decode_slice(task: Task) -> npt.NDArray:
    """(H, W) the stored values of one slice. Raises DecodingError, whatever a file holds."""
    try:
        return _decode(task)
    except MemoryError as error:
        raise DecodingError("DECODER_OUT_OF_MEMORY", "a slice takes more memory than a decoder may use") from error
    except OSError as error:
        raise DecodingError("FILES_CHANGED", f"the file can no longer be read ({error.strerror})") from error
    except _GARBAGE as error:
        raise undecodable(f"the file is damaged ({type(error).__name__})") from error


def _decode(task: Task) -> npt.NDArray:
    syntax = task.transfer_syntax
    if syntax == DEFLATED:
        return _plain(inflated_frame(task), task)
    if syntax == PLAIN:
        return _plain(memoryview(frame_bytes(task)), task)
    if syntax == RLE:
        return decode_rle(frame_bytes(task), task).astype(task.dtype)
    if syntax in JPEG_LS:
        return _decode_jpegls(frame_bytes(task), task)
    if syntax in JPEG | JPEG_2000:
        return _decode_jpeg(frame_bytes(task), task)
    raise undecodable("no codec for this transfer syntax")


def _plain(frame: memoryview, task: Task) -> npt.NDArray:
    # Encapsulated bytes are padded to an even number.
    if len(frame) - task.num_bytes not in (0, task.num_bytes % 2):
        raise undecodable(f"{len(frame)} bytes of pixels, the header says {task.num_bytes}")
    return np.frombuffer(frame, task.dtype.newbyteorder("<"), task.num_pixels).reshape(task.shape_HW)


def _decode_jpegls(frame: bytes, task: Task) -> npt.NDArray:
    found = codestreams.jpeg_format(frame, is_jpegls=True)
    codestreams.check_format(found, task)
    if task.transfer_syntax == JPEG_LS_LOSSLESS and codestreams.jpegls_near(frame):
        raise undecodable("the codestream was compressed with loss, its transfer syntax says without")
    try:
        decoded, _ = jpeg_ls.decode_buffer(frame)
    except RuntimeError as error:
        raise undecodable("the codec refuses the codestream") from error
    values = np.frombuffer(decoded, "<u2" if found.precision > 8 else np.uint8)
    if values.size != task.num_pixels:
        raise undecodable("the codec gives other pixels than the codestream declares")
    return _stored(values.reshape(task.shape_HW), found, task)


def _decode_jpeg(frame: bytes, task: Task) -> npt.NDArray:
    if task.transfer_syntax in JPEG:
        found = codestreams.jpeg_format(frame, is_jpegls=False)
    else:
        frame = codestreams.jpeg2000_stream(frame)
        found = codestreams.jpeg2000_format(frame)
    codestreams.check_format(found, task)
    return _stored(decode_with_gdcm(frame, task.transfer_syntax, found), found, task)


def _stored(values_HW: npt.NDArray, found: StreamFormat, task: Task) -> npt.NDArray:
    """(H, W) values of a codestream in the header's type: the header's sign counts, which a stream need not know."""
    if found.signed and not task.signed and values_HW.min() < 0:
        raise undecodable("the codestream has negative values, the header says that there are none")
    # A view where only the sign differs: both are two's complement.
    is_alike = values_HW.dtype.isnative and values_HW.itemsize == task.dtype.itemsize
    stored_HW = values_HW.view(task.dtype) if is_alike else values_HW.astype(task.dtype)
    if found.signed or not task.signed:
        return stored_HW
    # Unsigned samples of a signed image are two's complement. With fewer bits than the header's, their top bit could
    # be a sign or a value.
    if found.precision < task.bits_stored and values_HW.max() >> (found.precision - 1):
        raise undecodable(f"the codestream has {found.precision} bits a pixel, the header {task.bits_stored}, signed")
    missing_bits = task.bits_allocated - found.precision
    return (stored_HW << missing_bits) >> missing_bits if missing_bits else stored_HW
