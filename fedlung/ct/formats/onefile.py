"""A scan that one header describes as a whole (MetaImage, NIfTI): its entry among the series, and its volume."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedlung.ct.audit.geometry import MIN_SLICES
from fedlung.ct.formats.affine import Affine, Turn, check_affine
from fedlung.ct.formats.packed import Packed
from fedlung.ct.formats.plausible import Seen
from fedlung.ct.formats.voxelorder import VoxelOrder
from fedlung.ct.geometry import Geometry
from fedlung.ct.hounsfield import write_hu
from fedlung.ct.series import LeftOut, Series
from fedlung.ct.tree import printable
from fedlung.ct.volume import Volume
from fedlung.errors import SeriesError


@dataclass(frozen=True)
class StoredVolume:
    """What the header says; HU = ``slope * stored + intercept``.

    path      the file with the header
    affine    the grid as it is stored
    turn      what makes the grid ours
    voxels    where the values are
    dtype     of one value in the file, with its byte order
    warnings  sentences on what is odd but trusted
    """

    path: Path
    affine: Affine
    turn: Turn
    voxels: Packed
    dtype: np.dtype
    slope: float = 1.0
    intercept: float = 0.0
    warnings: tuple[str, ...] = ()

    @cached_property
    def geometry(self) -> Geometry:
        """The grid in our convention."""
        return self.turn.geometry(self.affine)

    @property
    def files(self) -> tuple[Path, ...]:
        """The header's file, then that of the voxels where it is another."""
        return (self.path,) if self.voxels.path == self.path else (self.path, self.voxels.path)

    def check(self) -> None:
        """Raises SeriesError where the grid or the files' sizes show that this is no scan; OSError."""
        check_affine(self.affine)
        if self.geometry.shape_DHW[0] < MIN_SLICES:
            sentence = f"{self.geometry.shape_DHW[0]} slices, expected {MIN_SLICES} or more."
            raise SeriesError("TOO_FEW_SLICES", sentence, remedy="Export the whole series.")
        self.voxels.check_size()

    def series(self, form: Literal["metaimage", "nifti"]) -> Series:
        """The entry among the series: these formats name neither patient nor study nor scanner."""
        first_mm = float(np.asarray(self.geometry.origin_mm) @ np.asarray(self.geometry.direction)[:, 2])
        steps_mm = self.geometry.spacing_mm[0] * np.arange(self.geometry.shape_DHW[0])
        return Series(
            series_uid=name_of(self.path),
            patient_id="",
            study_uid="",
            files=self.files,
            positions_mm=tuple((first_mm + steps_mm).tolist()),
            form=form,
        )

    @property
    def is_whole(self) -> bool:
        """Whether values and rescale are whole numbers, and so are the HU."""
        return self.dtype.kind in "iu" and self.slope.is_integer() and self.intercept.is_integer()

    def read_hu(self) -> tuple[npt.NDArray[np.int16] | npt.NDArray[np.float32], tuple[str, ...]]:
        """(D, H, W) HU, int16 where they are whole, and what is odd about them.

        One stored slice is in memory beside it. Raises SeriesError.
        """
        voxels_DHW = np.empty(self.geometry.shape_DHW, np.int16 if self.is_whole else np.float32)
        slice_shape = self.affine.shape[1:]
        chunks = self.voxels.chunks(self.dtype.itemsize * slice_shape[0] * slice_shape[1])
        seen, order = Seen(self.slope, self.intercept), VoxelOrder(self.affine, self.slope, self.intercept)
        # The slices that the file runs through are not ours where the axes are swapped: the view puts them in place.
        for number, (out_HW, chunk) in enumerate(zip(self.turn.as_stored(voxels_DHW), chunks, strict=True)):
            stored_HW = np.frombuffer(chunk, self.dtype).reshape(slice_shape)
            lowest = write_hu(out_HW, stored_HW, self.slope, self.intercept)
            seen.add(stored_HW, lowest)
            order.look_at(number, stored_HW)
        seen.check()
        if (finding := order.finding()) is not None:
            raise finding.error
        # What stands out from axial slice to slice is known; from one sagittal slice to the next a couch ends at once.
        seam = seen.seam() if self.turn.order[0] == 0 else ""
        return voxels_DHW, ((seam,) if seam else ())


Parse = Callable[[Path], StoredVolume]


def find_stored(
    path: Path, form: Literal["metaimage", "nifti"], parse: Parse, *, beside: Path | None = None
) -> Series | LeftOut:
    """The series of a file, judged by its header and its size, or why it is none; then ``beside`` counts as well."""
    num_files = 2 if beside is not None and beside.is_file() else 1
    folder = printable(path.parent)
    try:
        stored = parse(path)
        stored.check()
    except SeriesError as error:
        return LeftOut(name_of(path), error.code, error.sentence, error.remedy, num_files, folder=folder)
    except OSError:
        sentence, remedy = "it cannot be opened.", "Give the site's user the right to read it."
        return LeftOut(name_of(path), "UNREADABLE", sentence, remedy, num_files, folder=folder)
    return stored.series(form)


def read_stored(series: Series, parse: Parse) -> Volume:
    """The volume in HU. The header is judged again, for the file may have changed. Raises SeriesError."""
    try:
        stored = parse(series.files[0])
        stored.check()
        voxels_DHW, odd = stored.read_hu()
    except OSError as error:
        sentence = "a file of the series is gone or can no longer be read."
        raise SeriesError("FILES_CHANGED", sentence, remedy="Find the series anew.") from error
    return Volume(
        voxels_DHW=voxels_DHW,
        geometry=stored.geometry,
        series_uid=series.series_uid,
        patient_id=series.patient_id,
        warnings=(*stored.warnings, *odd),
    )


def without_namesakes(found: Sequence[Series]) -> tuple[list[Series], list[LeftOut]]:
    """The series whose name is theirs alone, and a row for every file that shares its name with another series.

    A site's cases are kept by these names, so that a second ``ct.nii.gz`` would pass for the first. DICOM's UIDs are
    unique by themselves: beside one of them, only the files that were named after it are left out.
    """
    times = Counter(one.series_uid for one in found)
    kept = [one for one in found if one.form == "dicom" or times[one.series_uid] == 1]
    return kept, [
        LeftOut(
            one.series_uid,
            "SAME_NAME",
            f"{times[one.series_uid]} series have this name.",
            "Name every file by its SeriesInstanceUID, or keep one of them.",
            one.num_files,
            folder=printable(one.files[0].parent),
        )
        for one in found
        if one.form != "dicom" and times[one.series_uid] > 1
    ]


def name_of(path: Path) -> str:
    """The file's name without its format's suffix, printable: LUNA16 names its files by SeriesInstanceUID."""
    name = path.name
    for suffix in (".gz", ".nii", ".mhd", ".mha", ".hdr"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def refusal(code: str, sentence: str, remedy: str = "Convert it again from the original images.") -> SeriesError:
    """An error of a header, with the remedy that most of them have."""
    return SeriesError(code, sentence, remedy=remedy)
