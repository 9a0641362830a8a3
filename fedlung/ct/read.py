"""A series of DICOM files -> one volume in Hounsfield units."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
from pydicom.errors import InvalidDicomError

from fedlung.ct.audit import Slices, audit_series
from fedlung.ct.geometry import Geometry
from fedlung.ct.headers import Header, read_header
from fedlung.ct.series import Series
from fedlung.ct.volume import Acquisition, Volume
from fedlung.errors import SeriesError

HU_FLOOR = -1024
"""Air. Outside their round field of view scanners write anything down to -3024 HU."""

TISSUE_HU = (-900, 3071)
HU_LIMITS = np.iinfo(np.int16)


def read_series(series: Series) -> Volume:
    """The volume in HU: int16, or float32 where a rescale is not in whole numbers; slices ascend along the normal.

    The headers are judged again, for the files may have changed since they were found. Padding and whatever lies below
    air becomes -1024 HU. Raises SeriesError with a stable code.
    """
    slices = _audited(series)
    headers = slices.ascending
    return Volume(
        voxels_DHW=_voxels(headers),
        geometry=_geometry(slices),
        series_uid=headers[0].series_uid,
        patient_id=headers[0].patient_id,
        acquisition=_acquisition(headers[0]),
        warnings=_warnings(headers),
    )


def _audited(series: Series) -> Slices:
    try:
        slices = Slices(tuple(read_header(path) for path in series.files))
    except (OSError, InvalidDicomError, ValueError) as error:
        sentence = "a file of the series is gone or can no longer be read."
        raise SeriesError("FILES_CHANGED", sentence, remedy="Find the series anew.") from error
    finding = audit_series(slices.headers)
    if finding is not None:
        raise SeriesError(finding.code, finding.sentence, remedy=finding.remedy)
    return slices


def _geometry(slices: Slices) -> Geometry:
    first = slices.ascending[0]
    row, column = np.reshape(first.orientation, (2, 3))
    x_mm, y_mm, z_mm = first.position_mm
    spacing_y_mm, spacing_x_mm = first.pixel_spacing_mm
    return Geometry(
        shape_DHW=(len(slices.headers), *first.shape_HW),
        spacing_mm=(slices.step_mm, spacing_y_mm, spacing_x_mm),
        origin_mm=(x_mm, y_mm, z_mm),
        direction=tuple(zip(row.tolist(), column.tolist(), slices.normal.tolist(), strict=True)),
    )


def _acquisition(header: Header) -> Acquisition:
    return Acquisition(
        manufacturer=header.manufacturer,
        scanner_model=header.scanner_model,
        kernel=header.kernel,
        slice_thickness_mm=header.slice_thickness_mm,
        kvp=header.kvp,
        tube_current_ma=header.tube_current_ma,
        synthetic=header.comments.upper().startswith("SYNTHETIC"),
    )


def _warnings(headers: tuple[Header, ...]) -> tuple[str, ...]:
    doubtful = sum(_padding_may_be_tissue(header) for header in headers)
    if not doubtful:
        return ()
    return (f"{doubtful} slices call a value padding that tissue has as well; it was kept as tissue.",)


# --- voxels --------------------------------------------------------------------------------------


def _voxels(headers: tuple[Header, ...]) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    dtype = np.int16 if all(map(_is_whole, headers)) else np.float32
    voxels_DHW = np.empty((len(headers), *headers[0].shape_HW), dtype=dtype)
    # Decoders release the interpreter's lock; plain pixels are limited by memory and gain nothing from threads.
    num_threads = 1 if all(header.is_native for header in headers) else min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(num_threads) as pool:
        for _ in pool.map(_fill, voxels_DHW, headers):
            pass
    return voxels_DHW


def _is_whole(header: Header) -> bool:
    return header.slope.is_integer() and header.intercept.is_integer()


def _fill(out_HW: npt.NDArray, header: Header) -> None:
    """Write one slice's HU into its place in the volume."""
    hu_HW = _native_hu(header) if header.is_native else _decoded_hu(header)
    if header.padding is not None and not _padding_may_be_tissue(header):
        hu_HW[hu_HW == _padding_hu(header)] = HU_FLOOR
    low, high = float(hu_HW.min()), float(hu_HW.max())
    if low < HU_LIMITS.min or high > HU_LIMITS.max:
        sentence = f"HU from {low:.0f} to {high:.0f}, expected {HU_LIMITS.min} to {HU_LIMITS.max} at the very most."
        raise SeriesError("IMPLAUSIBLE_HU", sentence, remedy="Export again: the rescale or the pixels' sign is wrong.")
    np.maximum(hu_HW, HU_FLOOR, out=out_HW, casting="same_kind")


def _padding_hu(header: Header) -> float:
    return header.slope * (header.padding or 0) + header.intercept


def _padding_may_be_tissue(header: Header) -> bool:
    """Some writers leave the padding tag at a value that is in the body; such a tag is not believed."""
    return header.padding is not None and TISSUE_HU[0] <= _padding_hu(header) <= TISSUE_HU[1]


def _native_hu(header: Header) -> npt.NDArray:
    """(H, W) HU of plain pixels, read from where they lie in the file; the bits above BitsStored are no pixel's."""
    assert header.pixels is not None, "the audit lets no native file pass without pixels"
    num_pixels = header.shape_HW[0] * header.shape_HW[1]
    stored = np.fromfile(header.path, header.stored_dtype, num_pixels, offset=header.pixels.offset)
    stored_HW = stored.reshape(header.shape_HW)
    unused_bits = header.bits_allocated - header.bits_stored
    if unused_bits:
        stored_HW = (stored_HW << unused_bits) >> unused_bits
    if _is_whole(header):
        return _rescaled(stored_HW, int(header.slope), int(header.intercept))
    return (stored_HW * header.slope + header.intercept).astype(np.float32)


def _rescaled(stored_HW: npt.NDArray, slope: int, intercept: int) -> npt.NDArray:
    """HU in whole numbers. Where the results fit 16 bits, so does the arithmetic: it is exact modulo 65536."""
    results = [int(stored) * slope + intercept for stored in (stored_HW.min(), stored_HW.max())]
    fits = all(HU_LIMITS.min <= number <= HU_LIMITS.max for number in (*results, slope, intercept))
    hu_HW: npt.NDArray[Any] = stored_HW.astype(np.int16 if fits else np.int64, copy=False)
    if slope != 1:
        hu_HW *= slope
    hu_HW += intercept
    return hu_HW


def _decoded_hu(header: Header) -> npt.NDArray:
    """(H, W) HU of compressed pixels, JPEG-LS among them; SimpleITK's GDCM applies the slice's own rescale."""
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    try:
        with _utf8_path(header.path) as path:
            reader.SetFileName(path)
            hu_HW = SimpleITK.GetArrayFromImage(reader.Execute())[0]
    except RuntimeError as error:
        raise _undecodable(header) from error
    if hu_HW.shape != header.shape_HW:
        raise _undecodable(header)
    return hu_HW


def _undecodable(header: Header) -> SeriesError:
    sentence = f"a slice cannot be decoded ({header.transfer_syntax.name})."
    return SeriesError("UNDECODABLE", sentence, remedy="Copy or export the series again.")


@contextmanager
def _utf8_path(path: Path) -> Iterator[str]:
    """A name of the file that SimpleITK takes: names that are not UTF-8 are reached through a link."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with TemporaryDirectory() as folder:
            link = Path(folder, "slice.dcm")
            link.symlink_to(path.resolve())
            yield str(link)
    else:
        yield str(path)
