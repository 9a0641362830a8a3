"""What a site says of its scores: integer histograms that add up to the pooled ones.

A site's AUC cannot be averaged into the pooled AUC; its histogram can be added. Scores are binned on the logit scale,
because a trained network's probabilities crowd near 0 and 1.

``R`` bootstrap replicates, ``K`` bins, ``C = 2`` classes (0 negative, 1 positive), ``N`` examples, ``P`` patients,
``M`` occupied cells of the 2·K.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from fedlung.errors import DataError, ProtocolError
from fedlung.seeding import derive

LOGIT_LIMIT = 12.0
NUM_BINS = 480  # .05 wide on the logit scale; the outermost ones hold everything beyond the limit
LOGIT_EDGES = np.linspace(-LOGIT_LIMIT, LOGIT_LIMIT, NUM_BINS + 1)
NUM_CELLS = 2 * NUM_BINS
MAX_EXAMPLES = 10**8  # of one site; beyond it a count is a mistake, and products of counts must fit into 63 bits

Integers = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ScoreStatistics:
    """Mergeable statistics of one site's scores on one split.

    histogram_CK      (2, NUM_BINS) int64, examples by class and score bin
    squared_error     sum of (probability - label)² (Brier's numerator)
    num_patients      patients behind them
    replicates_RCK    (R, 2, NUM_BINS) int32, the same histogram of each Poisson bootstrap replicate by patient
    squared_error_R   (R,) float64
    """

    histogram_CK: npt.NDArray[np.int64]
    squared_error: float
    num_patients: int
    replicates_RCK: npt.NDArray[np.int32]
    squared_error_R: Floats

    @property
    def num_negative(self) -> int:
        return int(self.histogram_CK[0].sum())

    @property
    def num_positive(self) -> int:
        return int(self.histogram_CK[1].sum())

    @property
    def num_examples(self) -> int:
        return self.num_negative + self.num_positive

    @property
    def num_replicates(self) -> int:
        return len(self.squared_error_R)

    def __add__(self, other: ScoreStatistics) -> ScoreStatistics:
        """The statistics of both sites together; replicate b is the sum of both sites' replicate b.

        Raises ProtocolError where the sites drew different numbers of replicates.
        """
        if self.num_replicates != other.num_replicates:
            raise ProtocolError(
                f"statistics with {self.num_replicates} and {other.num_replicates} bootstrap replicates do not add up; "
                "ask every site for the same number (evaluate.replicates)"
            )
        return ScoreStatistics(
            histogram_CK=self.histogram_CK + other.histogram_CK,
            squared_error=self.squared_error + other.squared_error,
            num_patients=self.num_patients + other.num_patients,
            replicates_RCK=self.replicates_RCK + other.replicates_RCK,
            squared_error_R=self.squared_error_R + other.squared_error_R,
        )

    def is_part_of(self, whole: ScoreStatistics) -> bool:
        """Whether these can be some of the examples of ``whole``, with the same scores and weights."""
        return (
            self.num_replicates == whole.num_replicates
            and self.num_patients <= whole.num_patients
            and bool((self.histogram_CK <= whole.histogram_CK).all())
            and bool((self.replicates_RCK <= whole.replicates_RCK).all())
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """A small lossless form: the occupied cells only, each array in the smallest type that holds it.

        cells_M (class · NUM_BINS + bin), counts_M, replicates_RM, squared_error_1, squared_error_R, num_patients_1.
        """
        histogram = self.histogram_CK.reshape(NUM_CELLS)
        cells_M = np.flatnonzero(histogram)
        replicates_RM = self.replicates_RCK.reshape(self.num_replicates, NUM_CELLS)[:, cells_M]
        return {
            "cells_M": cells_M.astype(np.uint16),
            "counts_M": smallest(histogram[cells_M]),
            "replicates_RM": smallest(replicates_RM),
            "squared_error_1": np.array([self.squared_error], dtype=np.float64),
            "squared_error_R": self.squared_error_R.astype(np.float64),
            "num_patients_1": np.array([self.num_patients], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> ScoreStatistics:
        """The inverse of ``to_arrays``. Raises ProtocolError for anything that ``to_arrays`` cannot have made."""
        _validate(arrays)
        cells_M, replicates_RM = arrays["cells_M"], arrays["replicates_RM"]
        histogram = np.zeros(NUM_CELLS, dtype=np.int64)
        histogram[cells_M] = arrays["counts_M"]
        replicates = np.zeros((len(replicates_RM), NUM_CELLS), dtype=np.int32)
        replicates[:, cells_M] = replicates_RM
        return cls(
            histogram_CK=histogram.reshape(2, NUM_BINS),
            squared_error=float(arrays["squared_error_1"][0]),
            num_patients=int(arrays["num_patients_1"][0]),
            replicates_RCK=replicates.reshape(-1, 2, NUM_BINS),
            squared_error_R=arrays["squared_error_R"].astype(np.float64),
        )


def score_statistics(
    logits_N: Floats, labels_N: Integers, patients_N: npt.NDArray[Any], *, num_replicates: int, rng: np.random.Generator
) -> ScoreStatistics:
    """Statistics of scores with the Poisson bootstrap weights that ``rng`` draws; see ``weighted_statistics``."""
    num_patients = len(np.unique(patients_N))
    return weighted_statistics(logits_N, labels_N, patients_N, rng.poisson(1.0, size=(num_replicates, num_patients)))


def patient_weights(patients: Sequence[str], *, num_replicates: int, seed: int) -> Integers:
    """(R, P) Poisson(1) weights, each patient's from a stream of its own.

    A patient counts alike in every sample that it is in, whoever else is: so a part of a sample is paired with the
    whole, one model with another, and one run with the next.
    """
    weights_PR = [derive(seed, "patient", patient).poisson(1.0, size=num_replicates) for patient in patients]
    return np.array(weights_PR, dtype=np.int64).reshape(len(patients), num_replicates).T


def weighted_statistics(
    logits_N: Floats, labels_N: Integers, patients_N: npt.NDArray[Any], weights_RP: Integers
) -> ScoreStatistics:
    """Statistics of scores with their Poisson bootstrap by patient; column p of the weights is the p-th by name.

    In replicate r patient p counts W_RP ~ Poisson(1) times with all examples; the sum over sites of replicate r is the
    pooled replicate r, so that patients never leave (Chamandy et al., "Estimating uncertainty for massive data
    streams", 2012; Hanley and MacGibbon, Comput Methods Programs Biomed 83, 2006).

    What would void the promise that no patient's scores leave the site: whoever knows W can solve the linear system
    ``replicates = W · patients`` for every patient's own histogram as soon as R reaches P. The weights must therefore
    come from a secret of the site itself, never from the run's seed, in a deployment. And a site of very few patients
    promises little in any case: a replicate now and then holds a single patient. A patient alone in a cell shows their
    own weights there; being the same in all statistics, these tell which of two models' scores are of one patient. A
    histogram holds no name and no pixel.

    Raises DataError for scores that are not finite, labels other than 0 and 1, and lengths that differ.
    """
    _check_scores(logits_N, labels_N, patients_N)
    patients, patient_of_N = np.unique(patients_N, return_inverse=True)
    cell_of_N = labels_N.astype(np.int64) * NUM_BINS + bin_of(logits_N)
    squared_error_N = (expit(logits_N) - labels_N) ** 2
    squared_error_P = np.bincount(patient_of_N, weights=squared_error_N, minlength=len(patients))
    histogram = np.bincount(cell_of_N, minlength=NUM_CELLS)
    return ScoreStatistics(
        histogram_CK=histogram.reshape(2, NUM_BINS),
        squared_error=float(squared_error_P.sum()),
        num_patients=len(patients),
        replicates_RCK=replicate_histograms(weights_RP, patient_of_N, cell_of_N),
        # A sum and not a matrix product: a product's rounding would depend on the number of threads.
        squared_error_R=(weights_RP * squared_error_P).sum(axis=1),
    )


def add_statistics(statistics: Sequence[ScoreStatistics]) -> ScoreStatistics:
    """The pooled statistics; of none, ProtocolError. Give them in a fixed order: float addition is not associative."""
    if not statistics:
        raise ProtocolError("no statistics to add: no site has answered")
    return reduce(add, statistics)


def bin_of(logits_N: Floats) -> npt.NDArray[np.int64]:
    """The bin k with LOGIT_EDGES[k] <= logit < LOGIT_EDGES[k + 1]; what lies beyond the limit is in the outermost."""
    return np.clip(np.searchsorted(LOGIT_EDGES, logits_N, side="right") - 1, 0, NUM_BINS - 1)


def size_logits(diameter_mm: Floats) -> Floats:
    """Diameters as scores for the size-only baseline: 5 · ln(d / 10 mm), increasing, 1 % of d to a bin.

    1 mm to 110 mm lie inside the limits; a diameter of 0 (readers who agree on no voxel) is the smallest score. Only
    the order has a meaning; it is no calibrated probability. Raises DataError for NaN or a negative diameter
    (background has none, and no size baseline).
    """
    diameter_mm = np.asarray(diameter_mm, dtype=np.float64)
    wrong_N = ~(np.isfinite(diameter_mm) & (diameter_mm >= 0))
    if wrong_N.any():
        text = f"{wrong_N.sum()} of {len(diameter_mm)} diameters are no number of mm; the size baseline needs them all"
        raise DataError(text, public="size baseline: diameters are missing")
    return 5.0 * np.log(np.maximum(diameter_mm, 10.0 * np.exp(-LOGIT_LIMIT / 5.0)) / 10.0)


def replicate_histograms(weights_RP: Integers, patient_of_N: Integers, cell_of_N: Integers) -> npt.NDArray[np.int32]:
    """(R, 2, NUM_BINS): W_RP times the patients' histograms, which are sparse (a patient has few examples)."""
    shape = (NUM_CELLS, weights_RP.shape[1])
    ones = np.ones(len(cell_of_N), dtype=np.int32)
    histogram_of_patient = csr_array((ones, (cell_of_N, patient_of_N)), shape=shape)
    replicates = (histogram_of_patient @ weights_RP.T.astype(np.int32)).T
    return np.ascontiguousarray(replicates, dtype=np.int32).reshape(-1, 2, NUM_BINS)


def _check_scores(logits_N: Floats, labels_N: Integers, patients_N: npt.NDArray[Any]) -> None:
    lengths = (len(logits_N), len(labels_N), len(patients_N))
    if len(set(lengths)) != 1:
        text = f"scores, labels and patients must be as many: found {lengths}"
        raise DataError(text, public=text)
    if not np.isfinite(logits_N).all():
        text = f"{int((~np.isfinite(logits_N)).sum())} of {len(logits_N)} scores are not finite: the model has diverged"
        raise DataError(text, public="scores are not finite: the model has diverged")
    if not np.isin(labels_N, (0, 1)).all():
        text = f"labels must be 0 or 1: found {np.unique(labels_N)[:5].tolist()}"
        raise DataError(text, public="labels must be 0 or 1")


def smallest(counts: Integers) -> Integers:
    """The same counts in the smallest unsigned type that holds them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


_KINDS = {
    "cells_M": "u",
    "counts_M": "u",
    "replicates_RM": "u",
    "squared_error_1": "f",
    "squared_error_R": "f",
    "num_patients_1": "i",
}


def _validate(arrays: Arrays) -> None:
    """Raises ProtocolError unless the arrays are what ``to_arrays`` can make."""
    _require(set(arrays) == set(_KINDS), f"expected the arrays {sorted(_KINDS)}, found {sorted(arrays)}")
    for name, kind in _KINDS.items():
        _require(arrays[name].dtype.kind == kind, f"{name} has the type {arrays[name].dtype}")
    num_cells, num_replicates = arrays["counts_M"].size, arrays["squared_error_R"].size
    _require_shape(arrays, "cells_M", (num_cells,))
    _require_shape(arrays, "counts_M", (num_cells,))
    _require_shape(arrays, "replicates_RM", (num_replicates, num_cells))
    _require_shape(arrays, "squared_error_R", (num_replicates,))
    _require_shape(arrays, "squared_error_1", (1,))
    _require_shape(arrays, "num_patients_1", (1,))
    _validate_counts(arrays["cells_M"], arrays["counts_M"], arrays["replicates_RM"])
    num_examples = int(arrays["counts_M"].sum())
    num_patients = int(arrays["num_patients_1"][0])
    fits = (num_patients > 0) == (num_examples > 0) and 0 <= num_patients <= num_examples
    _require(fits, f"{num_patients} patients cannot have {num_examples} examples")
    _validate_error(arrays["squared_error_1"], np.array([num_examples]))
    _validate_error(arrays["squared_error_R"], arrays["replicates_RM"].sum(axis=1, dtype=np.int64))


def _validate_counts(cells_M: Integers, counts_M: Integers, replicates_RM: Integers) -> None:
    increasing = bool((np.diff(cells_M.astype(np.int64)) > 0).all())
    _require(increasing and (cells_M < NUM_CELLS).all(), f"cells_M must increase and stay below {NUM_CELLS}")
    _require((counts_M > 0).all(), "counts_M has an empty cell")
    totals = [float(counts_M.sum(dtype=np.float64)), *replicates_RM.sum(axis=1, dtype=np.float64)]
    _require(max(totals) <= MAX_EXAMPLES, f"more than {MAX_EXAMPLES} examples")


def _validate_error(squared_error: Floats, num_examples: Integers) -> None:
    fits = np.isfinite(squared_error) & (squared_error >= 0) & (squared_error <= num_examples * (1 + 1e-9))
    _require(fits.all(), "a squared error is not finite, negative or above the number of examples")


def _require_shape(arrays: Arrays, name: str, shape: tuple[int, ...]) -> None:
    found = arrays[name].shape
    _require(found == shape, f"{name} has the shape {found}, expected {shape}")


def _require(condition: bool | np.bool, text: str) -> None:
    if not condition:
        raise ProtocolError(f"score statistics refused: {text}")
