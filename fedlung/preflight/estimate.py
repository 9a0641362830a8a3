"""What preparing the site and one epoch on it will take: an estimate, measured on a few series and steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import torch

from fedlung.config import RunConfig
from fedlung.errors import DataError
from fedlung.model.networks import build_model
from fedlung.patches.dataset import ExampleSet
from fedlung.patches.examples import CaseSource
from fedlung.preprocess.case import Case
from fedlung.seeding import derive
from fedlung.training.loop import train_round

NUM_STEPS = 3


@dataclass(frozen=True)
class Measured:
    """One series that was prepared for the estimate."""

    case: Case
    prepare_s: float

    @property
    def num_bytes(self) -> int:
        """Of the case's arrays in a store."""
        return self.case.image_DHW.nbytes + self.case.lung_DHW.nbytes


@dataclass(frozen=True)
class Estimate:
    """Of what was measured, and what follows for the whole site if its other series are like these.

    series_s      to read and to prepare one series; the two overlap, so it is the longer
    case_bytes    of a prepared series in the store
    step_s        of one optimiser step; NaN where the measured series gave no example
    epoch_steps   of one epoch over the site's training patients
    """

    num_measured: int
    num_series: int
    series_s: float
    case_bytes: float
    step_s: float
    epoch_steps: int
    network: str

    @property
    def prepare_s(self) -> float:
        """To prepare every series once."""
        return self.num_series * self.series_s

    @property
    def disk_bytes(self) -> float:
        """Of all cases together."""
        return self.num_series * self.case_bytes

    @property
    def epoch_s(self) -> float:
        """One epoch of local training."""
        return self.epoch_steps * self.step_s


def estimate_site(
    measured: Sequence[Measured], config: RunConfig, *, num_series: int, read_s: float, device: torch.device
) -> Estimate | None:
    """The estimate for ``num_series`` series; None where none was prepared. Trains a fresh network for a few steps."""
    if not measured:
        return None
    source = CaseSource([one.case for one in measured], config)
    patients = frozenset(one.case.patient_key for one in measured)
    examples = source.examples(patients, derive(config.seed, "preflight"), training=True)
    share = 1.0 - config.split.validation - config.split.test
    num_examples = len(examples) / len(measured) * num_series * share
    return Estimate(
        num_measured=len(measured),
        num_series=num_series,
        series_s=max(read_s, fmean(one.prepare_s for one in measured)),
        case_bytes=fmean(one.num_bytes for one in measured),
        step_s=_step_s(examples, config, device),
        epoch_steps=math.ceil(num_examples / config.optimizer.batch_size),
        network=f"{config.model.name}, width {config.model.width}, batches of {config.optimizer.batch_size}",
    )


class _SomeOf:
    """A few full batches out of a set of examples, which may come again."""

    def __init__(self, examples: ExampleSet, num: int) -> None:
        self._examples, self._index_N = examples, np.arange(num) % len(examples)
        self.labels_N = examples.labels_N[self._index_N]
        self.patients_N = examples.patients_N[self._index_N]
        self.diameter_mm_N = examples.diameter_mm_N[self._index_N]
        self.texture_N = examples.texture_N[self._index_N]
        self.thickness_mm_N = examples.thickness_mm_N[self._index_N]
        self.kernel_N = examples.kernel_N[self._index_N]
        self.voxel_mm = examples.voxel_mm

    def __len__(self) -> int:
        return len(self._index_N)

    def load(self, indices_B: npt.ArrayLike) -> torch.Tensor:
        return self._examples.load(self._index_N[np.asarray(indices_B)])


def _step_s(examples: ExampleSet, config: RunConfig, device: torch.device) -> float:
    """Seconds of an optimiser step with its loading and augmentation, once everything is warm."""
    if not len(examples):
        return math.nan
    once = config.model_copy(update={"federation": config.federation.model_copy(update={"local_epochs": 1})})
    few = _SomeOf(examples, NUM_STEPS * config.optimizer.batch_size)
    model = build_model(config.model, config.seed)
    try:
        for server_round in (1, 2):  # the first one warms up
            outcome = train_round(
                model, few, once, server_round=server_round, site="preflight", weights=(1.0, 1.0),
                learning_rate=config.optimizer.learning_rate, proximal_mu=0.0, device=device,
            )  # fmt: skip
    except DataError:
        return math.nan
    return outcome.seconds / outcome.num_steps
