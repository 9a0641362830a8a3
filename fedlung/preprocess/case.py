"""A prepared CT: what a site keeps and trains on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule


def digest_of(image_DHW: npt.NDArray[np.int16]) -> str:
    """SHA-256 of an image's bytes."""
    return hashlib.sha256(np.ascontiguousarray(image_DHW).data).hexdigest()


@dataclass(frozen=True)
class Remark:
    """Something odd about a case that was kept. Only ``code`` may leave the site.

    what      the series UID, or the case's id where no UID may be; never a part of the sentence
    code      stable, e.g. ``NODULE_OUTSIDE_LUNG``
    sentence  what was found and what was expected
    remedy    what to do
    """

    what: str
    code: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Case:
    """One series, resampled and windowed, with its lung mask and its nodules.

    case_id      keyed hash of the series UID; the only name that it has outside the site's DICOM
    patient_key  keyed hash of the patient id; equal for the series of one patient
    image_DHW    (D, H, W) int16, HU clipped to the window; of an encrypted store a ``SealedArray``, as lung_DHW is
    lung_DHW     (D, H, W) bool, lung with juxtapleural nodules inside
    geometry     of image and mask; its world is still the patient's LPS
    nodules      all nodules of the annotation source that lie on the grid, in LPS millimetres
    off_grid     the others: no example can be cut from them, and who searches the scan has missed them
    manufacturer the maker's name and
    kernel       the reconstruction kernel's, where they are known ones, else "other": the tags are free text
    image_digest of the image's bytes, so that what depends on the pixels need not read them again
    """

    case_id: str
    patient_key: str
    image_DHW: npt.NDArray[np.int16]
    lung_DHW: npt.NDArray[np.bool_]
    geometry: Geometry
    nodules: tuple[Nodule, ...]
    manufacturer: str = ""
    kernel: str = ""
    slice_thickness_mm: float = float("nan")
    synthetic: bool = False
    image_digest: str = ""
    off_grid: tuple[Nodule, ...] = ()

    @property
    def nodule_centers_N3(self) -> npt.NDArray[np.float64]:
        """(N, 3) fractional zyx indices of the nodules' centres on this grid."""
        if not self.nodules:
            return np.zeros((0, 3))
        return self.geometry.world_to_index([nodule.center_mm for nodule in self.nodules])
