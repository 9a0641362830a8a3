"""A CT series as one regular array in Hounsfield units, and where it is in the patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Float64Array, Geometry
from fedlung.ct.series import Repair


@dataclass(frozen=True)
class Acquisition:
    """What the scanner says of itself, as far as it may matter for a model: no patient, no date, no place.

    An empty string or NaN means that the header does not say.
    """

    manufacturer: str = ""
    scanner_model: str = ""
    kernel: str = ""
    slice_thickness_mm: float = float("nan")
    kvp: float = float("nan")
    tube_current_ma: float = float("nan")
    synthetic: bool = False


@dataclass(frozen=True)
class Volume:
    """CT in HU with physical geometry; slices ascend along the normal.

    voxels_DHW   (D, H, W) int16 or float32, HU
    geometry     shape, spacing (zyx, mm), origin (xyz, mm, LPS), direction
    series_uid   DICOM's SeriesInstanceUID; stays at the site
    patient_id   DICOM's PatientID; stays at the site
    warnings     sentences on what is odd but trusted
    repairs      what was mended by resampling along the true positions, because the site asked for it
    """

    voxels_DHW: npt.NDArray[np.int16] | npt.NDArray[np.float32]
    geometry: Geometry
    series_uid: str = ""
    patient_id: str = ""
    acquisition: Acquisition = field(default_factory=Acquisition)
    warnings: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing along z, y, x in mm."""
        return self.geometry.spacing_mm

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """World position (x, y, z) of voxel (0, 0, 0) in mm."""
        return self.geometry.origin_mm

    @property
    def direction(self) -> tuple[tuple[float, float, float], ...]:
        """(3, 3) ITK direction cosines: columns along index x, y, z."""
        return self.geometry.direction

    def index_to_world(self, index_N3: npt.ArrayLike) -> Float64Array:
        """zyx indices (N, 3) -> xyz mm (N, 3) in DICOM's patient coordinates (LPS)."""
        return self.geometry.index_to_world(index_N3)

    def world_to_index(self, world_N3: npt.ArrayLike) -> Float64Array:
        """xyz mm (N, 3) in LPS -> fractional zyx indices (N, 3)."""
        return self.geometry.world_to_index(world_N3)
