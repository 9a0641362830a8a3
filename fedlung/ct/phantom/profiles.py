"""The four scanners: how they blur, sample and make noise, and the habits of their headers.

Thickness, increment and field of view follow LIDC-IDRI's own distributions by manufacturer. The resolution f50, the
noise spectrum's peak and width and the noise level are plausible design values, not measurements of these products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """One way of scanning and reconstructing.

    share               probability of this protocol at its site
    thickness_mm        width T of the box that each slice integrates along z
    increment_mm        distance of neighbouring slices
    f50_per_mm          spatial frequency at which the in-plane transfer function is one half
    edge_gain           height of an edge enhancement (lung kernels) around ``edge_peak_per_mm``
    noise_peak_per_mm   frequency fp of the noise power spectrum's peak
    noise_width_per_mm  standard deviation s of its half-Gaussian fall above fp
    noise_hu            standard deviation of the noise in mid-lung at the reference dose
    tube_current_ma     that the headers give for the reference dose
    """

    kernel: str
    share: float
    thickness_mm: float
    increment_mm: float
    f50_per_mm: float
    noise_peak_per_mm: float
    noise_width_per_mm: float
    noise_hu: float
    kvp: int = 120
    edge_gain: float = 0.0
    edge_peak_per_mm: float = 0.45
    edge_width_per_mm: float = 0.15
    tube_current_ma: int = 200

    def substep_mm(self, largest_mm: float) -> float:
        """The largest step along z, at most ``largest_mm``, that divides thickness and increment."""
        common_um = math.gcd(round(self.thickness_mm * 1000), round(self.increment_mm * 1000))
        return common_um / math.ceil(common_um / 1000 / largest_mm - 1e-9) / 1000


@dataclass(frozen=True)
class ScannerProfile:
    """One vendor.

    fov_mm              width of the square image (LIDC's mean pixel of that vendor times 512)
    offset_hu           systematic shift of all values
    contrast_share      share of patients who were given iodine
    intercept           rescale intercept of the stored values
    signed              whether the stored values are
    padding             value stored outside the circular field of view; None: the square is all image
    feet_first          patient position FFS, and the first image is the lowest one
    """

    name: str
    manufacturer: str
    models: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    fov_mm: float
    offset_hu: float = 0.0
    contrast_share: float = 0.0
    intercept: int = -1024
    signed: bool = False
    padding: int | None = None
    feet_first: bool = False


_GE = ScannerProfile(
    name="GE",
    manufacturer="GE MEDICAL SYSTEMS",
    models=("LightSpeed16", "LightSpeed Ultra", "LightSpeed VCT"),
    protocols=(
        Protocol("STANDARD", 0.40, 1.25, 1.25, 0.38, 0.25, 0.18, 35.0),
        Protocol("LUNG", 0.12, 1.25, 1.25, 0.65, 0.60, 0.25, 45.0, edge_gain=0.3),
        Protocol("STANDARD", 0.48, 2.5, 2.5, 0.38, 0.22, 0.18, 20.0),
    ),
    fov_mm=360.0,
    contrast_share=0.35,
    signed=True,
    padding=-2000,
)
_SIEMENS = ScannerProfile(
    name="SIEMENS",
    manufacturer="SIEMENS",
    models=("Sensation 16", "Sensation 64", "Emotion 6"),
    protocols=(
        Protocol("B30f", 0.45, 2.0, 2.0, 0.33, 0.18, 0.15, 25.0),
        Protocol("B50f", 0.25, 1.0, 1.0, 0.50, 0.45, 0.25, 45.0),
        Protocol("B31s", 0.30, 3.0, 3.0, 0.34, 0.18, 0.15, 20.0, kvp=130),
    ),
    fov_mm=330.0,
    offset_hu=-4.0,
    contrast_share=0.02,
    feet_first=True,
)
_PHILIPS = ScannerProfile(
    name="Philips",
    manufacturer="Philips",
    models=("Brilliance 16P", "Brilliance 40", "Brilliance 64"),
    protocols=(
        Protocol("D", 0.60, 2.0, 1.0, 0.47, 0.30, 0.20, 27.0),
        Protocol("C", 0.25, 2.0, 1.0, 0.43, 0.28, 0.20, 24.0),
        Protocol("D", 0.15, 2.0, 1.0, 0.47, 0.30, 0.20, 24.0, kvp=140),
    ),
    fov_mm=348.0,
    offset_hu=4.0,
    intercept=-1000,
)
_TOSHIBA = ScannerProfile(
    name="TOSHIBA",
    manufacturer="TOSHIBA",
    models=("Aquilion",),
    protocols=(
        Protocol("FC01", 0.85, 3.0, 3.0, 0.36, 0.20, 0.15, 18.0, kvp=135),
        Protocol("FC10", 0.15, 2.0, 2.0, 0.36, 0.20, 0.15, 22.0, kvp=135),
    ),
    fov_mm=348.0,
    offset_hu=7.0,
    contrast_share=1.0,
    intercept=0,
    signed=True,
)

PROFILES: dict[str, ScannerProfile] = {profile.name: profile for profile in (_GE, _PHILIPS, _SIEMENS, _TOSHIBA)}
