"""The causal design: what is true of each site under the switches of a ``PhantomConfig``.

A real federation's sites differ in scanner, prevalence and nodule size at once, and nobody can part them. Here each is
chosen alone: acquisition changes no patient, prevalence no scanner and no shape, and size only scales the nodules that
a patient has anyway (to select donors by size would leave other patients without a nodule, which is prevalence).

The thick protocol is the reference scanner's but for slices of 5 mm, a softer kernel and a twentieth of the dose.
The centre of a sphere of 4 mm keeps three quarters of its contrast there at best and less than 40 % when two slices
share it, and noise falls with the root of dose times thickness: 30 HU sqrt(20 x 1.25 / 5) = 67 HU. Both lower the
visibility of small nodules, and neither can be undone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.profiles import PROFILES, Protocol, ScannerProfile

SizeRange = tuple[float, float]

THIN = Protocol("REFERENCE", 1.0, 1.25, 1.25, 0.38, 0.25, 0.18, 30.0)
THICK = replace(
    THIN,
    kernel="REFERENCE SOFT",
    thickness_mm=5.0,
    increment_mm=5.0,
    f50_per_mm=0.30,
    noise_peak_per_mm=0.18,
    noise_width_per_mm=0.15,
    noise_hu=67.0,
    tube_current_ma=10,
)
REFERENCE = ScannerProfile(
    name="reference", manufacturer="SYNTHETIC", models=("Reference",), protocols=(THIN,), fov_mm=340.0
)
REFERENCE_THICK = replace(REFERENCE, name="reference-thick", protocols=(THICK,))

SMALL_MM: SizeRange = (3.0, 6.0)
# By site: share of nodule-free patients, and the most nodules of one.
PREVALENCE: dict[str, tuple[float, int]] = {
    "GE": (0.05, 4),
    "Philips": (0.20, 3),
    "SIEMENS": (0.35, 2),
    "TOSHIBA": (0.50, 1),
}
SIZES_MM: dict[str, SizeRange] = {
    "GE": (12.0, 34.0),
    "Philips": (8.0, 20.0),
    "SIEMENS": (5.0, 12.0),
    "TOSHIBA": SMALL_MM,
}


@dataclass(frozen=True)
class SiteDesign:
    """A site's scanner and its rules for patients.

    nodule_free   share of patients without a nodule
    max_nodules   of one patient
    size_mm       range to which the nodules are scaled; None: as their donors had them
    """

    profile: ScannerProfile
    nodule_free: float
    max_nodules: int
    size_mm: SizeRange | None


def design_of(site: str, cfg: PhantomConfig) -> SiteDesign:
    """What the switches make of a site."""
    nodule_free, max_nodules = cfg.nodule_free, cfg.max_nodules
    if cfg.prevalence == "by-site":
        nodule_free, most = PREVALENCE[site]
        max_nodules = min(most, max_nodules)
    return SiteDesign(_profile(site, cfg), nodule_free, max_nodules, _size_mm(site, cfg))


def _profile(site: str, cfg: PhantomConfig) -> ScannerProfile:
    if cfg.acquisition == "by-site":
        return PROFILES[site]
    return REFERENCE_THICK if cfg.acquisition == "one-thick" and site == cfg.odd_site else REFERENCE


def _size_mm(site: str, cfg: PhantomConfig) -> SizeRange | None:
    if cfg.size == "by-site":
        return SIZES_MM[site]
    return SMALL_MM if cfg.size == "all-small" or (cfg.size == "one-small" and site == cfg.odd_site) else None
