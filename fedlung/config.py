"""Every knob of a run, once, with its default, its bounds and its meaning.

Three sources, never mixed: what is fixed for a run is here (Flower's flat run configuration, ``--run-config``); what
changes by round is in the message; what is true of one hospital is in that site's own file (``hospital/profile.py``).
Nothing here is a path, a hook or a privacy setting of a site.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fedlung.names import SITE_NAME_RULE, is_site_name, kebab
from fedlung.section import Positive, Probability, Section, validated

Scalar = bool | int | float | str
HounsfieldUnit = Annotated[int, Field(ge=-1024, le=3071)]

Interpolation = Literal["linear", "catmull-rom"]
Norm = Literal["group", "batch"]
PartitionRule = Literal["manufacturer", "scanner-model", "virtual-site", "dirichlet", "iid", "table"]
PhantomControl = Literal["null", "positive"]
PhantomShift = Literal["acquisition", "prevalence", "size", "all", "none"]
Precision = Literal["auto", "float32", "bfloat16"]
StrategyName = Literal[
    "fedavg", "uniform", "fedprox", "fedavgm", "fedadam", "fedyogi", "scaffold", "fednova", "fedbn", "qffl", "afl",
    "groupdro", "feddg-ga", "median", "trimmed-mean", "geometric-median", "krum",
]  # fmt: skip
SearchPlaces = Literal["blobs", "everywhere"]
SelectionRule = Literal["auc", "loss"]
Protocol = Literal["single", "loso"]
Stem = Literal["full", "half", "quarter"]

LARGEST_SEED = 2**63 - 1  # of a TOML integer
LEAST_CUBE = 8
LEAST_TRAINING = 0.25


class TaskConfig(Section):
    """What is asked of a patch, a nodule or a scan."""

    name: Literal["nodule", "malignancy", "scan"] = "nodule"
    readers: int = Field(3, ge=1, le=4, description="readers who must have marked a nodule for it to count")


class PrepareConfig(Section):
    """Volume to case. Everything here changes a pixel, so it is in the store's fingerprint."""

    spacing_mm: float = Field(1.25, ge=0.3, le=10.0)
    cube: int = Field(0, ge=0, le=512, description="0: isotropic at spacing-mm; else the whole volume at cube³")
    hu_min: HounsfieldUnit = -1000
    hu_max: HounsfieldUnit = 400
    interpolation: Interpolation = "catmull-rom"
    antialias: bool = True
    lung_crop: bool = Field(True, description="keep the lungs' box only (never with cube)")
    lung_margin_mm: float = Field(8.0, ge=0.0)

    @model_validator(mode="after")
    def _window_is_a_window(self) -> PrepareConfig:
        if self.hu_min >= self.hu_max:
            raise ValueError(f"hu-min {self.hu_min} must be below hu-max {self.hu_max}")
        return self

    @model_validator(mode="after")
    def _cube_is_none_or_fits_a_network(self) -> PrepareConfig:
        if 0 < self.cube < LEAST_CUBE:
            raise ValueError(f"cube {self.cube} is too small for a network: 0 (no cube) or at least {LEAST_CUBE}")
        return self


class PatchConfig(Section):
    """Where patches are cut."""

    size: int = Field(32, ge=8, le=160, description="edge in voxels of the case's grid")
    jitter_mm: float = Field(3.0, ge=0.0, description="largest shift of a training patch along each axis")
    background_per_nodule: Positive = Field(1.5, description="background patches for each nodule")
    min_background: int = Field(4, ge=1, description="background patches from a case however few its nodules")
    hard_fraction: Probability = Field(0.5, description="share of background at bright, vessel-like places")
    exclusion_mm: float = Field(6.0, ge=0.0, description="no background centre this near to any nodule's surface")
    mine_every: int = Field(
        0, ge=0, description="rounds; in each of them hard background is where the model sees nodules; 0: never"
    )
    mined: int = Field(40, ge=1, le=1000, description="such places of one case, those with the highest scores")


class SplitConfig(Section):
    """Shares of a source site's patients; the rest trains. A held-out site is test as a whole."""

    validation: float = Field(0.15, gt=0.0, lt=0.5)
    test: float = Field(0.3, gt=0.0, lt=0.5)

    @model_validator(mode="after")
    def _leaves_patients_to_train(self) -> SplitConfig:
        if self.validation + self.test > 1.0 - LEAST_TRAINING:
            left = 1.0 - self.validation - self.test
            raise ValueError(f"validation and test leave {left:.0%} to train; at least a quarter must train")
        return self


class AugmentConfig(Section):
    """The seven training augmentations, each with its own probability; one number is a symmetric range."""

    enabled: bool = True
    rotation_probability: Probability = 0.5
    rotation_degrees: float = Field(15.0, ge=0.0, le=180.0)
    scale_probability: Probability = 0.5
    scale_min: Positive = 0.85
    scale_max: Positive = 1.15
    shift_probability: Probability = 0.5
    shift_voxels: float = Field(10.0, ge=0.0, description="at an edge of 128; scales with the edge")
    noise_probability: Probability = 0.3
    noise_sd: float = Field(0.02, ge=0.0)
    brightness_probability: Probability = 0.3
    brightness: float = Field(0.05, ge=0.0)
    contrast_probability: Probability = 0.3
    contrast: float = Field(0.15, ge=0.0, lt=1.0)
    elastic_probability: Probability = 0.2
    elastic_voxels: float = Field(4.0, ge=0.0, description="sd of the displacement at an edge of 128; scales too")
    elastic_grid: int = Field(5, ge=3, le=16, description="control points along an edge")
    flip: bool = Field(True, description="mirror along each axis with probability one half")

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> AugmentConfig:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale-min {self.scale_min:g} must not be above scale-max {self.scale_max:g}")
        return self


class ScannerConfig(Section):
    """Another scanner for training patches: sharpness, slices, noise, HU, pixels. One number is a symmetric range."""

    probability: Probability = Field(0.0, description="of a training patch seen through another scanner; 0: off")
    f50_min_per_mm: Positive = 0.3
    f50_max_per_mm: Positive = Field(0.65, description="in-plane frequency at which contrast is halved")
    edge_probability: Probability = Field(0.25, description="of enhanced edges, as by a lung kernel, in place of blur")
    edge_gain: float = Field(0.5, ge=0.0, description="largest enhancement")
    thickness_min_mm: Positive = 1.0
    thickness_max_mm: Positive = Field(5.0, description="of slices; no change where voxels are as thick")
    noise_hu: float = Field(40.0, ge=0.0, description="largest deviation of the noise that is added")
    noise_peak_min_per_mm: Positive = 0.15
    noise_peak_max_per_mm: Positive = Field(0.6, description="frequency at which the noise's spectrum peaks")
    offset_hu: float = Field(10.0, ge=0.0)
    gain: float = Field(0.02, ge=0.0, lt=1.0)
    pixel_scale: float = Field(0.03, ge=0.0, lt=0.5, description="relative change of the pixels' edge")

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> ScannerConfig:
        for name in ("f50_{}_per_mm", "thickness_{}_mm", "noise_peak_{}_per_mm"):
            low, high = name.format("min"), name.format("max")
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{kebab(low)} {getattr(self, low):g} must not be above {kebab(high)} {getattr(self, high):g}"
                )
        return self


class RescanConfig(Section):
    """One scanner through which the source sites' test patches are judged once more, last of all; 0: as they are."""

    thickness_mm: float = Field(0.0, ge=0.0, description="of slices that touch; no change where voxels are as thick")
    f50_per_mm: float = Field(0.0, ge=0.0, description="in-plane frequency at which contrast is halved")
    edge_gain: float = Field(0.0, ge=0.0, description="enhancement of edges, as by a lung kernel")
    noise_hu: float = Field(0.0, ge=0.0, description="deviation of the noise that is added")
    noise_peak_per_mm: Positive = Field(0.2, description="frequency at which that noise's spectrum peaks")

    @property
    def is_on(self) -> bool:
        """Whether anything about the scanner is another."""
        return any((self.thickness_mm, self.f50_per_mm, self.edge_gain, self.noise_hu))


class ModelConfig(Section):
    """The network."""

    name: Literal["resnet10", "resnet18", "resnet34", "resnet50", "simple-cnn"] = "resnet10"
    width: int = Field(8, ge=4, le=128, description="channels of the first stage")
    stem: Stem = Field("half", description="resolution after the stem")
    norm: Norm = "group"
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    mixstyle_probability: Probability = Field(
        0.0, description="of mixing a training batch's styles, 0.5 in the paper; 0: off"
    )
    mixstyle_alpha: Positive = Field(0.1, description="of Beta(alpha, alpha), which the share of a style is drawn from")
    mirrored: bool = Field(False, description="judge patches by the mean logit of their eight mirror images")
    size_weight: float = Field(
        0.0, ge=0.0, description="of 5 ln(diameter / 10 mm) as measured, added to the judged logit; for malignancy"
    )

    @model_validator(mode="after")
    def _has_stages_to_mix(self) -> ModelConfig:
        if self.mixstyle_probability and self.name == "simple-cnn":
            raise ValueError("mixstyle-probability is for residual networks; simple-cnn has no stages to mix after")
        return self


class LossConfig(Section):
    """Focal loss; alpha from the class counts summed over the sites, never per site."""

    gamma: float = Field(2.0, ge=0.0)
    alpha: Literal["effective-number", "inverse", "none"] = "effective-number"
    beta: float = Field(0.999, ge=0.0, lt=1.0, description="of the effective number")


class OptimizerConfig(Section):
    """Local optimisation."""

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Positive = 5e-3
    weight_decay: float = Field(1e-2, ge=0.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of sgd")
    schedule: Literal["cosine", "constant"] = "cosine"
    batch_size: int = Field(8, ge=1)
    clip_norm: float = Field(5.0, ge=0.0, description="largest gradient norm; 0 for no clipping")
    precision: Precision = Field("auto", description="auto: bfloat16 on a GPU that is made for it")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


class FederationConfig(Section):
    """Who takes part, and the rounds. ``sites`` and ``held-out`` are comma-separated names."""

    sites: str = "GE,Philips,SIEMENS,TOSHIBA"
    held_out: str = "TOSHIBA"
    trains: str = Field("", description="the only source sites that train; empty: all of them")
    strategy: StrategyName = "fedavg"
    rounds: int = Field(12, ge=1)
    local_epochs: int = Field(6, ge=1)
    min_sites: int = Field(1, ge=1, description="source sites whose updates a round needs to count")
    roll_call_timeout_s: Positive = 300.0
    prepare_timeout_s: Positive = 14400.0
    round_timeout_s: Positive = 3600.0

    @field_validator("sites", "held_out", "trains")
    @classmethod
    def _are_names_of_sites(cls, text: str) -> str:
        if bad := [name for name in _names(text) if not is_site_name(name)]:
            raise ValueError(f"{', '.join(map(repr, bad))} cannot name a site: a name is {SITE_NAME_RULE}")
        return text

    @model_validator(mode="after")
    def _leaves_sites_to_train(self) -> FederationConfig:
        names, held_out = self.site_names, self.held_out_names
        if unknown := [name for name in held_out if name not in names]:
            raise ValueError(f"held-out names {', '.join(unknown)}, which sites ({', '.join(names)}) has not")
        num_sources = len(names) - len(held_out)
        if names and not num_sources:
            raise ValueError("held-out leaves no site to train on")
        if unknown := [name for name in self.training_names if name not in names or name in held_out]:
            raise ValueError(f"trains names {', '.join(unknown)}, which is no source site")
        if names and self.min_sites > num_sources:
            raise ValueError(f"min-sites {self.min_sites} is more than the {num_sources} sites that train")
        return self

    @property
    def site_names(self) -> tuple[str, ...]:
        return _names(self.sites)

    @property
    def held_out_names(self) -> tuple[str, ...]:
        return _names(self.held_out)

    @property
    def training_names(self) -> tuple[str, ...]:
        return _names(self.trains)


class StrategyConfig(Section):
    """What the algorithms of ``federation.strategy`` go by; each reads its own."""

    proximal_mu: float = Field(0.01, ge=0.0, description="of fedprox")
    server_learning_rate: Positive = Field(1.0, description="of fedavgm and scaffold")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of fedavgm")
    adaptive_learning_rate: Positive = Field(0.01, description="of fedadam and fedyogi")
    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="of fedadam and fedyogi")
    beta2: float = Field(0.99, ge=0.0, lt=1.0, description="of fedadam and fedyogi")
    tau: Positive = Field(1e-3, description="of fedadam and fedyogi")
    fairness: float = Field(1.0, ge=0.0, description="q of qffl")
    group_step: float = Field(0.1, ge=0.0, description="of afl and groupdro")
    gap_step: float = Field(0.2, ge=0.0, le=1.0, description="of feddg-ga")
    trim: float = Field(0.25, ge=0.0, lt=0.5, description="share of the sites cut off at each end by trimmed-mean")
    num_byzantine: int = Field(1, ge=0, description="wrong sites that krum should bear")
    average_from: int = Field(0, ge=0, description="judge a mean of the models from this round on; 0: one round's")


class EvaluateConfig(Section):
    """How the model is judged."""

    replicates: int = Field(1000, ge=0, le=10000, description="bootstrap replicates, by patient")
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    threshold: Literal["youden", "f1"] = Field("youden", description="what the threshold maximises on validation")
    select: SelectionRule = Field("auc", description="of source validation, picks the round")
    held_out_curve: bool = Field(True, description="score the held-out sites after every round, too; only ever shown")
    adapt_patients: int = Field(
        0, ge=0, description="unlabelled patients of a held-out site for BatchNorm's statistics, scored apart; 0: none"
    )
    adapt_prior: float = Field(0.0, ge=0.0, description="examples that the statistics which came count for beside them")


class LosoConfig(Section):
    """Leave-one-site-out: every site held out in turn, for each method and seed.

    A method is a strategy, with what it changes of the run's configuration: ``fedavg+model.norm=batch``. Where it
    names several values, ``fedprox+strategy.proximal-mu=0.01|0.1``, one is chosen for each unseen site, on the other
    sites' validation patients alone.
    """

    methods: str = Field(
        "fedavg,fedprox,feddg-ga", description="strategy+key=value, comma-separated; key=a|b: chosen on validation"
    )
    seeds: int = Field(3, ge=1, le=100, description="of the run's own seed and the following ones")
    baselines: bool = Field(True, description="uniform weights, each site alone, their ensemble, and all sites trained")
    pooled: bool = Field(False, description="pooled training as well, where one machine has all sites' data")
    sgd_learning_rate: Positive = Field(0.2, description="of a method that is for plain SGD (scaffold)")
    fold: str = Field("", description="run this one fold of the plan only; empty: all that are not there yet")

    @property
    def method_names(self) -> tuple[str, ...]:
        return _names(self.methods)


class DetectionConfig(Section):
    """How whole scans are searched for nodules in the final evaluation; for task nodule."""

    enabled: bool = True
    search: SearchPlaces = Field(
        "blobs", description="blobs: where brightness falls off along all directions; everywhere: a grid over the lungs"
    )
    least_curvature_hu: Positive = Field(30.0, description="of blobs: sigma² times the least second derivative")
    stride: int = Field(2, ge=1, le=16, description="of everywhere: voxels between neighbouring windows")
    min_distance_mm: float = Field(6.0, ge=0.0, description="no two candidates lie this near to each other")
    max_candidates: int = Field(100, ge=1, le=1000, description="of one scan: the best ones")


class RunConfig(Section):
    """A whole run."""

    name: str = Field("", description="of the run's folder; empty: made from task, date and time")
    folder: str = Field("", description="where the server keeps its runs; empty: ./runs (the server's own disk)")
    resume: bool = Field(False, description="go on with the unfinished run of this name, where it was stopped")
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    protocol: Protocol = Field("single", description="loso: each site held out in turn (see loso.*)")
    task: TaskConfig = TaskConfig()
    prepare: PrepareConfig = PrepareConfig()
    patches: PatchConfig = PatchConfig()
    split: SplitConfig = SplitConfig()
    augment: AugmentConfig = AugmentConfig()
    scanner: ScannerConfig = ScannerConfig()
    rescan: RescanConfig = RescanConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    federation: FederationConfig = FederationConfig()
    strategy: StrategyConfig = StrategyConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    detection: DetectionConfig = DetectionConfig()
    loso: LosoConfig = LosoConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        if self.task.name == "scan" and not self.prepare.cube:
            raise ValueError("task.name 'scan' wants the whole volume: set prepare.cube (the tutorial's is 128)")
        if self.task.name != "scan" and self.prepare.cube:
            raise ValueError(f"prepare.cube is for task.name 'scan'; {self.task.name!r} wants isotropic cases")
        if self.task.name != "malignancy" and self.model.size_weight:
            raise ValueError("model.size-weight is for task.name 'malignancy': background has no diameter")
        if self.task.name == "scan" and self.scanner.probability:
            raise ValueError("scanner.probability wants voxels of a known edge in mm, which task.name 'scan' has not")
        if self.task.name == "scan" and self.rescan.is_on:
            raise ValueError("rescan wants voxels of a known edge in mm, which task.name 'scan' has not")
        if self.evaluate.adapt_patients and (self.model.norm != "batch" or self.model.name == "simple-cnn"):
            raise ValueError(
                "evaluate.adapt-patients is for BatchNorm's statistics: set model.norm 'batch' and a residual network"
            )
        if self.model.norm == "batch" and self.optimizer.batch_size == 1:
            raise ValueError(
                "model.norm 'batch' needs several examples: raise optimizer.batch-size, or set norm 'group'"
            )
        return self

    @model_validator(mode="after")
    def _can_be_resumed(self) -> RunConfig:
        if self.resume and not self.name:
            raise ValueError("resume goes on with a run that has a name: set name to that of its folder")
        if self.resume and self.protocol == "loso":
            raise ValueError("resume is for a single run; leave-one-site-out goes on by its name alone")
        return self

    @model_validator(mode="after")
    def _suits_the_strategy(self) -> RunConfig:
        strategy, optimizer = self.federation.strategy, self.optimizer
        if strategy == "scaffold" and (optimizer.name != "sgd" or optimizer.momentum):
            raise ValueError("strategy scaffold is for plain SGD: set optimizer.name 'sgd' and optimizer.momentum 0")
        if strategy == "fedbn" and self.model.norm != "batch":
            raise ValueError("strategy fedbn keeps BatchNorm at the sites: set model.norm 'batch'")
        if strategy == "fedbn" and self.strategy.average_from:
            raise ValueError("strategy.average-from averages one model; fedbn has one for each site")
        if self.strategy.average_from > self.federation.rounds:
            raise ValueError(f"strategy.average-from is after the last of {self.federation.rounds} rounds")
        return self

    @classmethod
    def from_run_config(cls, flat: Mapping[str, Scalar]) -> RunConfig:
        """From Flower's flat mapping (``{"loss.gamma": 2.0}``). Raises ConfigError with every mistake at once."""
        nested: dict[str, Any] = {}
        unknown = []
        known = dict(_flat_items(cls()))
        for key, value in flat.items():
            if key not in known:
                unknown.append(_unknown_key(key, known))
                continue
            *sections, leaf = key.split(".")
            target = nested
            for section in sections:
                target = target.setdefault(section, {})
            target[leaf] = value
        return validated(cls, nested, what="the run's configuration", mistakes=unknown)

    def to_run_config(self) -> dict[str, Scalar]:
        """The flat form; ``from_run_config`` of it is equal to this."""
        return dict(_flat_items(self))


def _flat_items(section: Section, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _flat_items(value, f"{prefix}{kebab(name)}.")
        else:
            yield f"{prefix}{kebab(name)}", value


def _unknown_key(key: str, known: Mapping[str, Scalar]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"{key}: no such key" + (f"; did you mean {near[0]}?" if near else "; `fedlung config` lists them all")
