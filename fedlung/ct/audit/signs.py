"""Whether stored values have the sign that the header declares.

A signed value read as unsigned, or the other way round, is wrong by 2^BitsStored in part of the image: where tissue
passes that edge, neighbouring pixels jump by the whole range. Values that never pass it are the same both ways, or are
all shifted, which the limits of HU tell.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.findings import Finding
from fedlung.ct.dicom.headers import Header

ROWS = 24
# The other sign must make neighbouring pixels this much more alike; metal beside air jumps too, but seldom.
CLEARLY = 0.5
# Bits that are not the values' make neighbouring pixels less alike, whatever they hold. Where steps are small, values
# that were cut jump twice as much as whole ones at the most.
CLEARLY_CUT = 0.8
# Of an image. Any order of bytes may suit a phantom of a few parts.
MIN_VALUES = 40
# From air to water. Where what is said to be stored cannot hold both, the bits that vary above it are values.
MIN_SPAN_HU = 1000.0


def contradicted_sign(stored_HW: npt.NDArray, header: Header) -> Finding | None:
    """Whether the values are clearly of the other sign than declared.

    stored_HW  stored values (H, W), with or without the bits above BitsStored
    """
    stored_RW = stored_HW[:: max(1, stored_HW.shape[0] // ROWS)]
    rows_RW, is_image_RW = stored_RW.astype(np.int32), ~is_padding(stored_RW, header)
    is_high_RW = (rows_RW & 1 << (header.bits_stored - 1)) != 0
    if not (is_high_RW & is_image_RW).any() or (is_high_RW | ~is_image_RW).all():
        return None
    pairs_RW = is_image_RW[:, 1:] & is_image_RW[:, :-1]
    declared, other = ((_jumps(rows_RW, header.bits_stored, signed=s) * pairs_RW).sum() for s in _signs(header))
    if other < CLEARLY * declared or (not header.signed and _is_extension(rows_RW, header)):
        said, found = ("signed", "unsigned") if header.signed else ("unsigned", "signed")
        sentence = f"the pixels are declared to be {said} and are {found}."
        return Finding("WRONG_SIGN", sentence, "Export again: PixelRepresentation is wrong.")
    return None


def contradicted_order(stored_HW: npt.NDArray, header: Header) -> Finding | None:
    """Whether the two bytes of the values are clearly exchanged: what is the low byte then jumps as the high one."""
    if header.bits_stored <= 8:
        return None
    stored_RW = stored_HW[:: max(1, stored_HW.shape[0] // ROWS)]
    is_image_RW = ~is_padding(stored_RW, header)
    pairs_RW = is_image_RW[:, 1:] & is_image_RW[:, :-1]
    # With all bits after the exchange: those above BitsStored are then of the low byte, which is rubbish if it was one.
    declared, other = (
        _jumps(rows_RW.astype(np.int32), bits, signed=header.signed) * pairs_RW
        for rows_RW, bits in ((stored_RW, header.bits_stored), (stored_RW.byteswap(), header.bits_allocated))
    )
    # Not by the sums alone: a few edges beside what was not measured outweigh all tissue.
    differ = declared != other
    is_clear = other.sum() < CLEARLY * declared.sum() and (other < declared)[differ].mean() > CLEARLY
    if is_clear and len(np.unique(stored_RW)) > MIN_VALUES:
        sentence = "the two bytes of each pixel are in the other order than the transfer syntax says."
        return Finding("WRONG_BYTE_ORDER", sentence, "Export again: the byte order is wrong.")
    return None


def contradicted_bits(stored_HW: npt.NDArray, header: Header) -> Finding | None:
    """Whether the values clearly go on in the bits above BitsStored.

    Those bits may hold anything, such as an overlay; but where values were cut, neighbouring pixels jump.
    """
    unused = header.bits_allocated - header.bits_stored
    if not unused:
        return None
    rows_RW = stored_HW[:: max(1, stored_HW.shape[0] // ROWS)].astype(np.int32)
    high_RW = (rows_RW >> header.bits_stored) & ((1 << unused) - 1)
    # A sign that fills the bits above is told by the check of signs.
    if np.ptp(high_RW) == 0 or _is_extension(rows_RW, header):
        return None
    cut, whole = (_jumps(rows_RW, b, signed=header.signed) for b in (header.bits_stored, header.bits_allocated))
    # No cut value jumps by more than its range: beyond half of that, neither is the more alike.
    whole = np.minimum(whole, 1 << (header.bits_stored - 1))
    span_hu = header.slope * (1 << header.bits_stored)
    if whole.sum() < CLEARLY_CUT * cut.sum() or span_hu < MIN_SPAN_HU:
        sentence = f"the values need more than the {header.bits_stored} bits that are said to be stored."
        return Finding("UNSUPPORTED_BITS", sentence, "Export again: BitsStored is wrong.")
    return None


def padding_range(header: Header) -> tuple[int, int] | None:
    """The lowest and the highest stored value that is declared to be padding (PS3.3 C.7.5.1.1.2)."""
    if header.padding is None:
        return None
    limit = header.padding if header.padding_limit is None else header.padding_limit
    return min(header.padding, limit), max(header.padding, limit)


def is_padding(stored: npt.NDArray, header: Header) -> npt.NDArray[np.bool_]:
    """Where stored values are declared to be padding."""
    low, high = padding_range(header) or (1, 0)
    found: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return found


def _signs(header: Header) -> tuple[bool, bool]:
    """The declared sign and the other one."""
    return header.signed, not header.signed


def _jumps(rows_RW: npt.NDArray[np.int32], bits: int, *, signed: bool) -> npt.NDArray[np.int32]:
    """(R, W - 1) how much neighbouring pixels differ: 17 bits at most."""
    value_RW = rows_RW & ((1 << bits) - 1)
    if signed:
        value_RW = value_RW - ((value_RW >> (bits - 1)) << bits)
    jump_RW: npt.NDArray[np.int32] = np.abs(np.diff(value_RW, axis=1))
    return jump_RW


def _is_extension(rows_RW: npt.NDArray[np.int32], header: Header) -> bool:
    """Whether the bits above BitsStored repeat the highest stored bit, as those of signed numbers do."""
    num_unused = header.bits_allocated - header.bits_stored
    if not num_unused:
        return False
    is_high_RW = (rows_RW & 1 << (header.bits_stored - 1)) != 0
    unused_RW = (rows_RW >> header.bits_stored) & ((1 << num_unused) - 1)
    return bool((unused_RW == np.where(is_high_RW, (1 << num_unused) - 1, 0)).all())
