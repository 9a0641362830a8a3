"""What a site does: say who it is, prepare, train, evaluate. Nothing here knows the wire."""

# N examples

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import fedlung
from fedlung.config import RunConfig
from fedlung.errors import DataError, ProtocolError
from fedlung.evaluation.detection import DetectionStatistics
from fedlung.evaluation.scores import ADAPTED, MODEL, RESCANNED
from fedlung.evaluation.standardised import SubgroupKey
from fedlung.evaluation.statistics import ScoreStatistics, patient_weights, size_logits, weighted_statistics
from fedlung.evaluation.subgroups import Known, Members, Reason, may_be_told, members_of
from fedlung.hospital.data import data_fingerprint, load_data, prepare_data
from fedlung.hospital.private import ERRORS, keep_error
from fedlung.hospital.profile import SiteProfile
from fedlung.model.losses import class_weights, focal_loss
from fedlung.model.networks import build_model
from fedlung.model.predict import Loadable, predict_logits
from fedlung.patches.archive import PatchArchive
from fedlung.patches.dataset import ExampleSet
from fedlung.patches.examples import SiteExamples, site_examples
from fedlung.patches.rescanned import RescannedSet
from fedlung.preprocess.case import Case
from fedlung.protocol import (
    START_LOSS,
    VALIDATION_LOSS,
    EvaluateReply,
    EvaluateTask,
    PrepareTask,
    SiteCard,
    SiteLedger,
    SplitCounts,
    State,
    TrainReply,
    TrainTask,
    Undetected,
)
from fedlung.seeding import derive
from fedlung.training.loop import train_round
from sites.adapted import adapted_logits
from sites.detected import detected, mined

SIZE = "size"  # the baseline that knows a nodule's diameter and nothing else
UNWEIGHTED = (1.0, 1.0)  # the classes' weights in a loss that is to mean the same at every site
REPORTED_PACKAGES = ("torch", "flwr", "numpy", "simpleitk")

logger = logging.getLogger(__name__)


class SiteWorker:
    """One site in one run. Whether it is held out follows from the run's configuration and the site's own name."""

    def __init__(self, profile: SiteProfile, config: RunConfig) -> None:
        self.profile = profile
        self.config = config
        self.is_held_out = profile.name in config.federation.held_out_names
        self._examples: SiteExamples | None = None

    @property
    def _may_train(self) -> bool:
        return self.profile.name in (self.config.federation.training_names or (self.profile.name,))

    @property
    def examples(self) -> SiteExamples:
        """The site's examples, from what was prepared before."""
        if self._examples is None:
            self._examples = self._divided(load_data(self.profile, self.config))
        return self._examples

    def card(self) -> SiteCard:
        """Who this is."""
        device = self.profile.torch_device
        packages = {name: version(name) for name in REPORTED_PACKAGES}
        return SiteCard(
            site=self.profile.name,
            synthetic=self.profile.synthetic,
            source=self.profile.source,
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            versions={"fedlung": fedlung.__version__, "python": platform.python_version()} | packages,
            num_simulated=self.profile.num_simulated,
        )

    def prepare(self, task: PrepareTask) -> SiteLedger:
        """Make the cases, divide the patients, and say how much there is of what. Raises FedlungError."""
        if task.held_out != self.is_held_out:
            text = "the server and the run's configuration disagree on who is held out"
            raise ProtocolError(text, public=text)
        started = time.monotonic()
        holdings = prepare_data(self.profile, self.config, progress=_log_progress)
        data = load_data(self.profile, self.config)
        self._examples = self._divided(data)
        synthetic = data.synthetic if isinstance(data, PatchArchive) else any(case.synthetic for case in data)
        return SiteLedger(
            site=self.profile.name,
            num_declared=holdings.num_declared,
            num_readable=holdings.num_readable,
            num_prepared=holdings.num_prepared,
            left_out=holdings.left_out,
            ignored_files=holdings.ignored_files,
            unused_nodules=self._examples.unused_nodules,
            remarks=holdings.remarks,
            splits={name: SplitCounts(*size) for name, size in self._examples.sizes().items()},
            data_fingerprint=data_fingerprint(data, self.profile.site_key()),
            seconds=time.monotonic() - started,
            synthetic=self.profile.synthetic or synthetic,
        )

    def train(self, task: TrainTask, state: State, correction: State | None = None) -> tuple[TrainReply, State]:
        """One round of local training from ``state``. Raises ProtocolError at a held-out site: it never trains."""
        if self.is_held_out or not self._may_train:
            text = f"a {'held-out site' if self.is_held_out else 'site that is not to train'} does not train"
            raise ProtocolError(text, public=text)
        model = self._model(state)
        _check_correction(correction or {}, model)
        examples = self.examples.training(task.server_round, self._mined(model, task.server_round))
        weights = class_weights(task.num_negative, task.num_positive, self.config.loss)
        losses = {START_LOSS: self._mean_loss(model, examples, weights)} if task.report_start_loss else {}
        outcome = train_round(
            model,
            examples,
            self.config,
            server_round=task.server_round,
            site=self.profile.name,
            learning_rate=task.learning_rate,
            weights=weights,
            proximal_mu=task.proximal_mu,
            device=self.profile.torch_device,
            correction=_tensors(correction or {}),
        )
        if task.report_validation_loss and len(validation := self.examples.fixed("validation")):
            losses[VALIDATION_LOSS] = self._mean_loss(model, validation, UNWEIGHTED)
        reply = TrainReply(
            site=self.profile.name,
            server_round=task.server_round,
            num_examples=outcome.num_examples,
            num_steps=outcome.num_steps,
            loss=outcome.loss,
            seconds=outcome.seconds,
            losses=losses,
        )
        return reply, {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}

    def evaluate(self, task: EvaluateTask, *states: State) -> EvaluateReply:
        """The statistics of one split's scores; of several models, those of their mean logit.

        Raises DataError where the split has no example or too few patients.
        """
        started = time.monotonic()
        examples = self._evaluated(task.split)
        models = [self._model(state) for state in states]
        logits_N = self._with_size(self._judged_logits(models, examples), examples)
        detection, undetected = self._detected(models, task) if task.with_detection else ({}, "")
        scores = self._scores(logits_N, examples) + self._rescanned(models, examples, task)
        scores += self._adapted(models, examples, task)  # ORDER: last, for it changes the models.
        told, withheld = self._subgroups(examples) if task.with_subgroups else ({}, {})
        return EvaluateReply(
            site=self.profile.name,
            server_round=task.server_round,
            split=task.split,
            loss=self._loss(logits_N, examples, UNWEIGHTED),
            scores={name: self._statistics(scores_N, examples, task) for name, scores_N in scores},
            seconds=time.monotonic() - started,
            subgroups={key: self._statistics(logits_N, examples, task, is_in_N) for key, is_in_N in told.items()},
            withheld=withheld,
            detection=detection,
            undetected=undetected,
        )

    def _evaluated(self, split: str) -> ExampleSet:
        """The examples of a split of which scores may leave."""
        examples, floor = self.examples.fixed(split), self.profile.min_patients
        num_patients = len(np.unique(examples.patients_N))
        if not len(examples):
            text = f"the site has no example in split {split}; give it more patients, or leave it out of the federation"
            raise DataError(text, public=text)
        if num_patients < floor:
            text = (
                f"the site evaluates no split of fewer than {floor} patients, and {split} has {num_patients}; it needs "
                "more patients, or a lower min-patients in its own site.toml"
            )
            raise DataError(text, public=text)
        return examples

    def _divided(self, data: Sequence[Case] | PatchArchive) -> SiteExamples:
        return site_examples(data, self.config, site=self.profile.name, held_out=self.is_held_out)

    def _model(self, state: State) -> nn.Module:
        model = build_model(self.config.model, self.config.seed)
        try:
            model.load_state_dict(_tensors(state))
        except RuntimeError as error:
            text = "the weights that came are not those of the configured model"
            raise ProtocolError(f"{text}: {error}", public=text) from error
        return model

    def _judged_logits(self, models: Sequence[nn.Module], examples: Loadable) -> np.ndarray:
        return np.mean([self._logits(m, examples, mirrored=self.config.model.mirrored) for m in models], axis=0)

    def _with_size(self, logits_N: np.ndarray, examples: ExampleSet) -> np.ndarray:
        """The logits of the pixels and, where the run judges the two together, of the diameter that was measured."""
        weight, diameter_mm_N = self.config.model.size_weight, examples.diameter_mm_N.astype(np.float64)
        if not weight:
            return logits_N
        if not np.isfinite(diameter_mm_N).all():
            text = "model.size-weight needs the diameter of every nodule, and this site's data lack some: set it to 0"
            raise DataError(text, public=text)
        return logits_N + weight * size_logits(diameter_mm_N)

    def _logits(self, model: nn.Module, examples: Loadable, *, mirrored: bool = False) -> np.ndarray:
        return predict_logits(
            model,
            examples,
            batch_size=self.config.optimizer.batch_size,
            device=self.profile.torch_device,
            precision=self.config.optimizer.precision,
            mirrored=mirrored,
        )

    def _mean_loss(self, model: nn.Module, examples: ExampleSet, weights: tuple[float, float]) -> float:
        return self._loss(self._logits(model, examples), examples, weights)

    def _loss(self, logits_N: np.ndarray, examples: ExampleSet, weights: tuple[float, float]) -> float:
        logits, labels = torch.from_numpy(logits_N), torch.from_numpy(examples.labels_N)
        return float(focal_loss(logits, labels, gamma=self.config.loss.gamma, weights=weights))

    def _scores(self, logits_N: np.ndarray, examples: ExampleSet) -> list[tuple[str, np.ndarray]]:
        """The model's scores, and the size baseline's where the examples are nodules that all have a diameter."""
        if self.config.task.name != "malignancy" or np.isnan(examples.diameter_mm_N).any():
            return [(MODEL, logits_N)]
        return [(MODEL, logits_N), (SIZE, size_logits(examples.diameter_mm_N.astype(np.float64)))]

    def _rescanned(
        self, models: Sequence[nn.Module], examples: ExampleSet, task: EvaluateTask
    ) -> list[tuple[str, np.ndarray]]:
        """The model's scores through another scanner, where a source site is judged for the last time."""
        if not (self.config.rescan.is_on and not self.is_held_out and task.with_subgroups):
            return []
        rng = derive(self.config.seed, "rescan", self.profile.name)
        seen = RescannedSet(examples, self.config.rescan, self.config.prepare, rng)
        return [(RESCANNED, self._with_size(self._judged_logits(models, seen), examples))]

    def _adapted(
        self, models: Sequence[nn.Module], examples: ExampleSet, task: EvaluateTask
    ) -> list[tuple[str, np.ndarray]]:
        """The adapted models' scores, where a held-out site is judged for the last time (``with_subgroups``)."""
        if not (self.config.evaluate.adapt_patients and self.is_held_out and task.with_subgroups):
            return []
        device = self.profile.torch_device
        logits_N = adapted_logits(models, examples, self.config, site=self.profile.name, device=device)
        return [(ADAPTED, self._with_size(logits_N, examples))]

    def _subgroups(self, examples: ExampleSet) -> tuple[Members, dict[SubgroupKey, Reason]]:
        """The subgroups of the examples that may be told of; the others, and why."""
        own_test_N = np.isin(examples.patients_N, sorted(self.examples.own_test))
        known = Known(
            diameter_mm_N=examples.diameter_mm_N,
            texture_N=examples.texture_N,
            thickness_mm_N=examples.thickness_mm_N,
            kernel_N=examples.kernel_N,
            no_nodule_N=(examples.labels_N == 0) & (self.config.task.name != "malignancy"),
            own_test_N=own_test_N if self.is_held_out else None,
        )
        return may_be_told(members_of(known), examples.patients_N, fewest=self.profile.min_patients)

    def _mined(self, model: nn.Module, server_round: int) -> dict[str, npt.NDArray[np.int64]]:
        """Hard places for background in the training cases, in every ``patches.mine-every``-th round.

        Nothing of it is kept for the rounds between: a site's process may end after each message.
        """
        every = self.config.patches.mine_every
        if not every or server_round % every or self.config.task.name != "nodule":
            return {}
        return mined(model, self.examples.cases("train"), self.config, device=self.profile.torch_device)

    def _detected(
        self, models: Sequence[nn.Module], task: EvaluateTask
    ) -> tuple[dict[str, DetectionStatistics], Undetected]:
        """What is found in the whole scans of the split's patients. A search that fails costs itself alone."""
        try:
            return detected(
                models,
                self.examples.cases(task.split),
                self.config,
                num_replicates=task.num_replicates,
                bootstrap_seed=self.profile.bootstrap_seed,
                fewest=self.profile.min_patients,
                device=self.profile.torch_device,
            )
        except Exception as error:  # noqa: BLE001 - kept in full for the site's own user; the reply says that it failed
            keep_error(self.profile.store, error)
            logger.error("the search of whole scans failed (%s); see %s", type(error).__name__, ERRORS)
            return {}, "search-failed"

    def _statistics(
        self, scores_N: np.ndarray, examples: ExampleSet, task: EvaluateTask, is_in_N: np.ndarray | None = None
    ) -> ScoreStatistics:
        """The statistics of some or all examples. A patient weighs alike in every part of them, and for every score."""
        is_in_N = np.ones(len(examples), dtype=bool) if is_in_N is None else is_in_N
        patients_N = examples.patients_N[is_in_N]
        patients = np.unique(patients_N).tolist()
        weights_RP = patient_weights(patients, num_replicates=task.num_replicates, seed=self.profile.bootstrap_seed)
        return weighted_statistics(scores_N[is_in_N], examples.labels_N[is_in_N], patients_N, weights_RP)


def _check_correction(correction: State, model: nn.Module) -> None:
    """Raises ProtocolError unless every tensor is one of the model's parameters, of its shape and finite."""
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    wrong = [n for n, v in correction.items() if shapes.get(n) != v.shape or not np.isfinite(v).all()]
    if wrong:
        text = f"{len(wrong)} tensors of the correction that came are not finite or not the configured model's"
        raise ProtocolError(text, public=text)


def _tensors(state: State) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values) for name, values in state.items()}


def _log_progress(num_done: int, num_series: int) -> None:
    if num_done % 10 == 0 or num_done == num_series:
        logger.info("prepared %d of %d series", num_done, num_series)
