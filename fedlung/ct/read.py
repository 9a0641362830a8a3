"""A series -> one volume in Hounsfield units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import numpy as np

from fedlung.ct.audit import Slices, audit_series, warnings_of
from fedlung.ct.dicom.headers import Header, read_headers
from fedlung.ct.dicom.source import stamp_of
from fedlung.ct.formats.metaimage import read_metaimage
from fedlung.ct.formats.nifti import read_nifti
from fedlung.ct.geometry import Geometry
from fedlung.ct.repair import repair_volume, repair_warnings
from fedlung.ct.series import Repair, Series
from fedlung.ct.volume import Acquisition, Volume
from fedlung.ct.voxels import files_changed, padding_may_be_tissue, read_voxels
from fedlung.errors import SeriesError


def read_series(series: Series) -> Volume:
    """The volume in HU: int16, or float32 where a rescale is not in whole numbers; slices ascend along the normal.

    The headers are judged again, parsed anew where a file has changed since it was found, and the pixels with them.
    Padding and whatever lies below air becomes -1024 HU. What is mended is ``series.repairs`` and is told in the
    warnings. Raises SeriesError with a stable code.
    """
    if series.form != "dicom":
        return read_metaimage(series) if series.form == "metaimage" else read_nifti(series)
    slices = _audited(series)
    first = slices.ascending[0]
    (voxels_DHW, odd), geometry = read_voxels(slices.ascending), _geometry(slices)
    if series.repairs:
        voxels_DHW, geometry = repair_volume(voxels_DHW, slices, geometry)
    return Volume(
        voxels_DHW=voxels_DHW,
        geometry=geometry,
        series_uid=first.series_uid,
        patient_id=first.patient_id,
        acquisition=_acquisition(first),
        warnings=(*series.warnings, *_warnings(slices, series.repairs), *odd),
        repairs=series.repairs,
    )


def _audited(series: Series) -> Slices:
    try:
        slices = Slices(tuple(_headers(series)))
    except (OSError, SeriesError) as error:
        raise files_changed() from error
    finding = audit_series(slices.headers, repair=frozenset(series.repairs))
    if finding is not None:
        raise finding.error
    return slices


def _headers(series: Series) -> Iterator[Header]:
    """Of every slice, file by file: those that were kept, parsed again where a file is not the one of then."""
    kept: dict[Path, list[Header]] = defaultdict(list)
    for header in series.headers:
        kept[header.path].append(header)
    for path in series.files:
        of_file = kept[path]
        is_whole = bool(of_file) and len(of_file) == of_file[0].num_frames
        if is_whole and stamp_of(path.stat()) == of_file[0].file_stamp:
            yield from sorted(of_file, key=attrgetter("frame"))
        else:
            yield from read_headers(path)


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


def _warnings(slices: Slices, repairs: tuple[Repair, ...]) -> tuple[str, ...]:
    doubtful = sum(map(padding_may_be_tissue, slices.headers))
    padding = f"{doubtful} slices call a value padding that tissue has as well; it was kept as tissue."
    return (*repair_warnings(repairs), *warnings_of(slices), *((padding,) if doubtful else ()))
