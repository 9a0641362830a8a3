"""Which donors of nodules belong to which patient of which site.

The donors are dealt in hands of equal size, one hand a virtual patient, at random. By chance one site then gets more
and larger nodules than another, which is a true difference between them. Where the sites are to be alike they are
matched, as patients are in a trial: hands that are alike in number and size of nodules are grouped, and each site gets
one hand of every group, at random.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedlung.ct.lidc import lidc_clusters
from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.donors import ENOUGH_READERS, donor_series, hand_of
from fedlung.ct.phantom.profiles import PROFILES
from fedlung.seeding import derive

Hand = tuple[str, ...]


def hands_of(site: str, cfg: PhantomConfig) -> list[Hand]:
    """The donors (series of LIDC-IDRI) of each patient of a site: its own, or when paired the same at every site.

    Raises ConfigError for too few donors.
    """
    if cfg.paired:
        return _hands(cfg, cfg.patients_per_site)
    hands, place = _hands(cfg, cfg.patients_per_site * len(PROFILES)), list(PROFILES).index(site)
    if cfg.matched:
        return [group[place] for group in _groups(hands, cfg)]
    return hands[place * cfg.patients_per_site : (place + 1) * cfg.patients_per_site]


def _hands(cfg: PhantomConfig, num_patients: int) -> list[Hand]:
    donors = donor_series(cfg, num_patients)
    return [tuple(hand_of(donors, patient, num_patients)) for patient in range(num_patients)]


def _groups(hands: Sequence[Hand], cfg: PhantomConfig) -> list[list[Hand]]:
    """Groups of as many like hands as there are sites, in random order and each in random order."""
    rng = derive(cfg.seed, "phantom", "matched")
    alike = sorted(hands, key=lambda hand: _burden(hand, cfg))
    groups = [alike[first : first + len(PROFILES)] for first in range(0, len(alike), len(PROFILES))]
    return [
        [groups[index][place] for place in rng.permutation(len(PROFILES))] for index in rng.permutation(len(groups))
    ]


def _burden(hand: Hand, cfg: PhantomConfig) -> tuple[int, float]:
    """How many nodules of three readers or more a patient of this hand gets, and the largest one's diameter in mm."""
    for series_uid in hand:
        diameters_mm = [
            cluster.diameter_mm
            for cluster in lidc_clusters(series_uid)
            if cluster.readers >= ENOUGH_READERS and not cluster.ambiguous and cluster.diameter_mm <= cfg.max_nodule_mm
        ]
        if diameters_mm:
            return min(len(diameters_mm), cfg.max_nodules), max(diameters_mm)
    return 0, 0.0
