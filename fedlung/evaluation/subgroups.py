"""Which part of a site's examples belongs to which subgroup, and which parts may be told of.

    size       volume-equivalent diameter: see ``size_stratum``
    texture    mean of the readers' ratings 1..5: at most 2, between, at least 4
    thickness  of the scan's slices: at most 1.25 mm, up to 2.5 mm, above
    kernel     of the scan's reconstruction: smooth, sharp, unknown
    protocol   thickness and kernel together, where both are there: how the scan was made, as far as it is known
    split      of a held-out site: the patients who would be its test patients if it were a source

An example without a nodule (background, a scan without any) has neither size nor texture. It stands in every stratum
of them: each stratum's nodules are told from the same background. ``N`` examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations, product
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from fedlung.ct.scanners import KERNEL_CLASSES
from fedlung.evaluation.differencing import tells_of_few
from fedlung.evaluation.standardised import SIZE_STRATA, SubgroupKey, size_stratum

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Strings = npt.NDArray[np.str_]
Members = dict[SubgroupKey, Bools]

Reason = Literal["few-patients", "few-patients-left-over"]
REASONS: tuple[Reason, ...] = get_args(Reason)

TEXTURES = tuple(SubgroupKey("texture", level) for level in ("ground-glass", "part-solid", "solid"))
THICKNESSES = tuple(SubgroupKey("thickness", level) for level in ("thin", "medium", "thick"))
KERNELS = tuple(SubgroupKey("kernel", level) for level in KERNEL_CLASSES)
PROTOCOL_PARTS = {
    SubgroupKey("protocol", f"{thickness.level}, {kernel.level}"): (thickness, kernel)
    for thickness, kernel in product(THICKNESSES, KERNELS)
}
PROTOCOLS = tuple(PROTOCOL_PARTS)
OWN_TEST = SubgroupKey("split", "own-test")
SUBGROUPS = (*SIZE_STRATA, *TEXTURES, *THICKNESSES, *KERNELS, *PROTOCOLS, OWN_TEST)
VARIABLES = tuple(dict.fromkeys(key.variable for key in SUBGROUPS))
CROSSED = ("protocol", "kernel", "thickness")  # the joint levels first: they are the first to be given up

LARGEST_GROUND_GLASS, LEAST_SOLID = 2.0, 4.0
LARGEST_THIN_MM, LARGEST_MEDIUM_MM = 1.25, 2.5


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of N examples beside their labels; NaN or an empty text where it is not.

    no_nodule_N  bool, examples without any nodule
    own_test_N   bool, of patients who would be test patients if the site were a source; None at a source
    """

    diameter_mm_N: Floats
    texture_N: Floats
    thickness_mm_N: Floats
    kernel_N: Strings
    no_nodule_N: Bools
    own_test_N: Bools | None = None


def members_of(known: Known) -> Members:
    """The examples of each subgroup that has any; a variable of which nothing is known has no subgroup."""
    found: Members = {}
    for level_by_key in (_sizes(known), _textures(known)):
        found |= {key: own_N | known.no_nodule_N for key, own_N in level_by_key.items() if own_N.any()}
    for level_by_key in (_thicknesses(known), _kernels(known), _protocols(known), _own_test(known)):
        found |= {key: own_N for key, own_N in level_by_key.items() if own_N.any()}
    return found


def may_be_told(members: Members, patients_N: Strings, *, fewest: int) -> tuple[Members, dict[SubgroupKey, Reason]]:
    """The subgroups that may leave a site which tells of no fewer than ``fewest`` patients; the others with the reason.

    few-patients            it has fewer
    few-patients-left-over  it has enough, but the examples that no level of its variable tells of would have fewer,
                            and the whole minus what is told is what is not told; or what several variables tell
                            together would leave fewer: thin minus "thin, smooth", whatever is added or subtracted of
                            thickness, kernel and both; and the difference of any two, of which one is part of the
                            other or of the whole

    What is not covered: sums over levels of several variables that are not crossed (size, texture, split).
    """
    told: Members = dict(members)
    withheld: dict[SubgroupKey, Reason] = {}
    for variable in VARIABLES:
        own = {key: is_in_N for key, is_in_N in members.items() if key.variable == variable}
        by_size = sorted(own, key=lambda key: (_num_patients(patients_N, own[key]), key))
        for key in by_size:
            if reason := _why_not(key, {key: told[key] for key in own if key in told}, patients_N, fewest):
                withheld[key] = reason
                del told[key]
    while given_away := _gives_away(told, patients_N, fewest):
        withheld[given_away] = "few-patients-left-over"
        del told[given_away]
    return told, dict(sorted(withheld.items()))


def _gives_away(told: Members, patients_N: Strings, fewest: int) -> SubgroupKey | None:
    """What to keep back so that no difference across variables has too few patients; None where none has.

    The least that helps: a joint level before one of kernel or thickness, these before others, small before large.
    """
    if not told or not _differ_by_few(told, patients_N, fewest):
        return None
    order = sorted(told, key=lambda key: (_rank(key), _num_patients(patients_N, told[key]), key))
    for key in order:
        if not _differ_by_few({other: told[other] for other in told if other != key}, patients_N, fewest):
            return key
    return order[0]


def _rank(key: SubgroupKey) -> int:
    return CROSSED.index(key.variable) if key.variable in CROSSED else len(CROSSED)


def _differ_by_few(told: Members, patients_N: Strings, fewest: int) -> bool:
    """Whether a difference of two told sets, or any sum of thickness, kernel and both, has too few patients."""
    everything_N = np.ones(len(patients_N), dtype=bool)
    for part_N, whole_N in permutations((everything_N, *told.values()), 2):
        is_part = not (part_N & ~whole_N).any()
        if is_part and 0 < _num_patients(patients_N, whole_N & ~part_N) < fewest:
            return True
    crossed = [is_in_N for key, is_in_N in told.items() if key.variable in CROSSED]
    return tells_of_few(np.array([everything_N, *crossed]), patients_N, fewest=fewest)


def _why_not(key: SubgroupKey, told: Mapping[SubgroupKey, Bools], patients_N: Strings, fewest: int) -> Reason | None:
    """Why the smallest level that is still told may not be."""
    if _num_patients(patients_N, told[key]) < fewest:
        return "few-patients"
    left_over = _num_patients(patients_N, ~np.any(list(told.values()), axis=0))
    return "few-patients-left-over" if 0 < left_over < fewest else None


def _num_patients(patients_N: Strings, is_in_N: Bools) -> int:
    return len(np.unique(patients_N[is_in_N]))


def _sizes(known: Known) -> Members:
    is_known_N = np.isfinite(known.diameter_mm_N)
    pairs = zip(known.diameter_mm_N.tolist(), is_known_N.tolist(), strict=True)
    strata = [size_stratum(mm) if is_known else None for mm, is_known in pairs]
    return {key: np.array([stratum == key for stratum in strata], dtype=bool) for key in SIZE_STRATA}


def _textures(known: Known) -> Members:
    glass_N, solid_N = known.texture_N <= LARGEST_GROUND_GLASS, known.texture_N >= LEAST_SOLID
    between_N = np.isfinite(known.texture_N) & ~glass_N & ~solid_N
    return dict(zip(TEXTURES, (glass_N, between_N, solid_N), strict=True))


def _thicknesses(known: Known) -> Members:
    thin_N, thick_N = known.thickness_mm_N <= LARGEST_THIN_MM, known.thickness_mm_N > LARGEST_MEDIUM_MM
    between_N = np.isfinite(known.thickness_mm_N) & ~thin_N & ~thick_N
    return dict(zip(THICKNESSES, (thin_N, between_N, thick_N), strict=True))


def _kernels(known: Known) -> Members:
    return {key: known.kernel_N == key.level for key in KERNELS}


def _protocols(known: Known) -> Members:
    parts = _thicknesses(known) | _kernels(known)
    return {key: parts[thickness] & parts[kernel] for key, (thickness, kernel) in PROTOCOL_PARTS.items()}


def _own_test(known: Known) -> Members:
    return {} if known.own_test_N is None else {OWN_TEST: known.own_test_N}
