"""Whether air, lung, fat and muscle have the Hounsfield units that they should have.

A wrong intercept, slope or photometric interpretation moves all tissues together. So the histogram is read under many
rescales ``found = slope * HU + shift``, and each gets a score: how much of the scan then lies where fat and muscle lie,
less what lies between and beyond them, given that there is air or lung and nothing below air. The true rescale is
expected to win; another one that wins by far is named.

Windows are after Kalender, Computed Tomography, 3rd ed. 2011, ch. 1: air -1000, lung -950 to -550, fat -120 to -80,
muscle and blood 10 to 70 HU. What contrast or emphysema moves (vessels up, lung down) decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedlung.ct.geometry import Float64Array

# HU windows: what should be found there, and what should not.
LUNG_OR_AIR, BELOW_AIR = (-1030.0, -650.0), (-1400.0, -1050.0)
FAT, MUSCLE = (-130.0, -60.0), (10.0, 85.0)
BETWEEN, ABOVE = (-48.0, -6.0), (115.0, 180.0)
BONE = (180.0, 1200.0)  # beyond muscle, away from air

FLOOR_HU = -1024  # padding and whatever a scanner clips: it says nothing of air
BIN_HU = 8
EDGES_HU = np.arange(-8192, 8192 + BIN_HU, BIN_HU, dtype=np.float64)
SLOPES = (1.0, 0.9, 1.1, -1.0)
SHIFTS_HU = np.arange(-4096, 4097, BIN_HU, dtype=np.float64)
TRUSTED_SHIFT_HU = 24.0  # scanners differ by less
SAMPLES_PER_AXIS = 80
LEAST_AIR = 0.05  # of the scan
MOST_BELOW_AIR = 0.1  # of what is lung or air
LEAST_BONE, MOST_BONE = 0.03, 1.5  # of what is fat or muscle; beyond muscle an inverted scan has none, or its air
LEAST_MUSCLE = 0.08  # of what is fat or muscle: else muscle that lies too low is taken for fat
THINNEST_SHARE, THIN_AS_AIR_HU = 0.01, -940.0  # the windpipe alone is about so much of a chest
LEAST_SCORE = 0.015
BY_FAR, ALIKE = 1.4, 0.9


@dataclass(frozen=True)
class Tissue:
    """What the histogram says.

    lung_hu, soft_hu  the highest places of the histogram where lung and where muscle should be; NaN: nothing is there
    code              "" where all is as it should be, else HU_SHIFTED, HU_SLOPE, HU_INVERTED, HU_NO_AIR or HU_NO_TISSUE
    sentence, remedy  of the code, without names
    """

    lung_hu: float
    soft_hu: float
    code: str = ""
    sentence: str = ""
    remedy: str = ""


def check_tissue(voxels_DHW: npt.NDArray[np.int16] | npt.NDArray[np.float32]) -> Tissue:
    """Judge a CT in HU by a sample of its voxels; some milliseconds."""
    cumulated = _cumulated_shares(voxels_DHW)
    lung_hu, soft_hu = _peak_hu(cumulated, (-1010.0, -600.0)), _peak_hu(cumulated, (-20.0, 110.0))
    trusted = float(_scores(cumulated, 1.0, needs_bone=False)[np.abs(SHIFTS_HU) <= TRUSTED_SHIFT_HU].max())
    scores_RS = np.stack([_scores(cumulated, slope, needs_bone=True) for slope in SLOPES])
    best = max(trusted, float(scores_RS.max()))
    if best < LEAST_SCORE:
        return Tissue(lung_hu, soft_hu, *_NO_TISSUE)
    if best <= BY_FAR * trusted:
        return Tissue(lung_hu, soft_hu, *_no_air(cumulated))
    row = int((scores_RS.max(axis=1) >= ALIKE * best).argmax())  # the simplest of those that explain it alike
    return Tissue(lung_hu, soft_hu, *_suspicion(SLOPES[row], float(SHIFTS_HU[scores_RS[row].argmax()])))


_REMEDY = "Look at the series with its window set to lung; export the original images, and check the rescale tags."
_NO_TISSUE = (
    "HU_NO_TISSUE",
    "the histogram shows no lung, fat and muscle at any intercept; expected -950 to -650, -100 and 50 HU.",
    _REMEDY,
)


def _suspicion(slope: float, shift_hu: float) -> tuple[str, str, str]:
    if slope < 0:
        return "HU_INVERTED", "dense tissue has lower values than air: the values are inverted.", _REMEDY
    if slope != 1.0:
        sentence = f"fat and muscle lie where a rescale slope wrong by a factor of about {slope:g} would put them."
        return "HU_SLOPE", sentence, _REMEDY
    return "HU_SHIFTED", f"all tissues lie about {shift_hu:+.0f} HU from where they should be.", _REMEDY


def _no_air(cumulated: Float64Array) -> tuple[str, str, str]:
    """Soft tissue is in its place; a slope that is wrong about 0 HU leaves it there, and takes air from its own."""
    thinnest_hu = float(np.interp(THINNEST_SHARE * cumulated[-1], cumulated, EDGES_HU))
    if thinnest_hu <= THIN_AS_AIR_HU:
        return "", "", ""
    sentence = f"the thinnest {THINNEST_SHARE:.0%} lie at {thinnest_hu:.0f} HU, expected air at -1000."
    return "HU_NO_AIR", sentence, _REMEDY


def _cumulated_shares(voxels_DHW: npt.NDArray[np.int16] | npt.NDArray[np.float32]) -> Float64Array:
    """Share of the voxels above the floor that lie below each edge, smoothed over three bins."""
    z, y, x = (max(1, math.ceil(num / SAMPLES_PER_AXIS)) for num in voxels_DHW.shape)
    sample = voxels_DHW[::z, ::y, ::x].ravel()
    counts, _ = np.histogram(sample[sample > FLOOR_HU], EDGES_HU)
    smooth = np.convolve(counts, np.full(3, 1 / 3), mode="same")
    return np.concatenate([[0.0], np.cumsum(smooth)]) / max(1, len(sample))


def _share(cumulated: Float64Array, window: tuple[float, float], slope: float) -> Float64Array:
    """(S,) share of the scan in a window of true HU, under each shift."""
    low, high = sorted(slope * edge for edge in window)
    return np.interp(high + SHIFTS_HU, EDGES_HU, cumulated) - np.interp(low + SHIFTS_HU, EDGES_HU, cumulated)


def _scores(cumulated: Float64Array, slope: float, *, needs_bone: bool) -> Float64Array:
    """(S,) how well each shift explains the histogram; 0 where air is absent, or where there is much below air.

    Whatever says that the scan is wrong must also explain bone, which tells it from its negative.
    """
    airy, below = _share(cumulated, LUNG_OR_AIR, slope), _share(cumulated, BELOW_AIR, slope)
    muscle = _share(cumulated, MUSCLE, slope)
    wanted = _share(cumulated, FAT, slope) + muscle
    unwanted = _share(cumulated, BETWEEN, slope) + _share(cumulated, ABOVE, slope)
    bone = _share(cumulated, BONE, slope)
    bony = (bone >= LEAST_BONE * wanted * needs_bone) & (bone <= MOST_BONE * wanted)
    soft = (muscle >= LEAST_MUSCLE * wanted) & bony
    possible = soft & (airy >= LEAST_AIR) & (below <= MOST_BELOW_AIR * airy)
    return np.where(possible, np.clip(wanted - unwanted, 0.0, None), 0.0)


def _peak_hu(cumulated: Float64Array, window: tuple[float, float]) -> float:
    """The middle of the fullest bin in a window; NaN where all are empty."""
    shares, middles = np.diff(cumulated), EDGES_HU[:-1] + BIN_HU / 2
    inside = np.where((middles >= window[0]) & (middles <= window[1]), shares, 0.0)
    return float(middles[inside.argmax()]) if inside.max() > 0 else math.nan
