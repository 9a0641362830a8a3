"""Every knob of a run, once, with its default, its bounds and its meaning.

Three sources, never mixed: what is fixed for a run is here (Flower's flat run configuration, ``--run-config``); what
changes by round is in the message; what is true of one hospital is in that site's own file (``sites/profile.py``).
Nothing here is a path, a hook or a privacy setting of a site.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedlung.errors import ConfigError

Scalar = bool | int | float | str
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class Section(BaseModel):
    """A frozen group of knobs; keys are kebab-case outside and snake_case inside."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_kebab, populate_by_name=True)

    def fingerprint(self) -> str:
        """16 hex digits that change with any value of the section."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class TaskConfig(Section):
    """What is asked of a patch, a nodule or a scan."""

    name: Literal["nodule", "malignancy", "scan"] = "nodule"
    readers: int = Field(3, ge=1, le=4, description="readers who must have marked a nodule for it to count")


class PrepareConfig(Section):
    """Volume to case. Everything here changes a pixel, so it is in the store's fingerprint."""

    spacing_mm: Positive = 1.25
    cube: int = Field(0, ge=0, le=512, description="0: isotropic at spacing-mm; else the whole volume at cube³")
    hu_min: int = -1000
    hu_max: int = 400
    interpolation: Literal["linear", "catmull-rom"] = "catmull-rom"
    antialias: bool = True
    lung_crop: bool = Field(True, description="keep the lungs' box only (never with cube)")
    lung_margin_mm: float = Field(8.0, ge=0.0)

    @model_validator(mode="after")
    def _window_is_a_window(self) -> PrepareConfig:
        if self.hu_min >= self.hu_max:
            raise ValueError(f"hu-min {self.hu_min} must be below hu-max {self.hu_max}")
        return self


class PatchConfig(Section):
    """Where patches are cut."""

    size: int = Field(32, ge=8, le=160, description="edge in voxels of the case's grid")
    jitter_mm: float = Field(3.0, ge=0.0, description="largest shift of a training patch along each axis")
    background_per_nodule: Positive = Field(1.5, description="background patches for each nodule")
    min_background: int = Field(4, ge=1, description="background patches from a case however few its nodules")
    hard_fraction: Probability = Field(0.5, description="share of background at bright, vessel-like places")
    exclusion_mm: float = Field(6.0, ge=0.0, description="no background centre this near to any nodule's surface")


class SplitConfig(Section):
    """Shares of a source site's patients; the rest trains. A held-out site is test as a whole."""

    validation: float = Field(0.15, gt=0.0, lt=0.5)
    test: float = Field(0.25, gt=0.0, lt=0.5)


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


class ModelConfig(Section):
    """The network."""

    name: Literal["resnet10", "resnet18", "resnet34", "resnet50", "simple-cnn"] = "resnet10"
    width: int = Field(8, ge=4, le=128, description="channels of the first stage")
    stem: Literal["full", "half", "quarter"] = Field("half", description="resolution after the stem")
    norm: Literal["group", "batch"] = "group"
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


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
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 on CUDA only")


class FederationConfig(Section):
    """Who takes part, and the rounds. ``sites`` and ``held-out`` are comma-separated names."""

    sites: str = "GE,Philips,SIEMENS,TOSHIBA"
    held_out: str = "TOSHIBA"
    strategy: Literal["fedavg", "fedprox"] = "fedavg"
    proximal_mu: float = Field(0.01, ge=0.0, description="of fedprox")
    rounds: int = Field(12, ge=1)
    local_epochs: int = Field(6, ge=1)
    min_sites: int = Field(1, ge=1, description="source sites whose updates a round needs to count")
    roll_call_timeout_s: Positive = 300.0
    prepare_timeout_s: Positive = 14400.0
    round_timeout_s: Positive = 3600.0

    @property
    def site_names(self) -> tuple[str, ...]:
        return _names(self.sites)

    @property
    def held_out_names(self) -> tuple[str, ...]:
        return _names(self.held_out)


class EvaluateConfig(Section):
    """How the model is judged."""

    replicates: int = Field(1000, ge=0, le=10000, description="bootstrap replicates, by patient")
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    threshold: Literal["youden", "f1"] = Field("youden", description="what the threshold maximises on validation")
    select: Literal["auc", "loss"] = Field("auc", description="of source validation, picks the round")


class RunConfig(Section):
    """A whole run."""

    name: str = Field("", description="of the run's folder; empty: made from task, date and time")
    folder: str = Field("", description="where the server keeps its runs; empty: ./runs (the server's own disk)")
    seed: int = Field(0, ge=0)
    task: TaskConfig = TaskConfig()
    prepare: PrepareConfig = PrepareConfig()
    patches: PatchConfig = PatchConfig()
    split: SplitConfig = SplitConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    federation: FederationConfig = FederationConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> RunConfig:
        names, held_out = self.federation.site_names, self.federation.held_out_names
        if unknown := [name for name in held_out if name not in names]:
            raise ValueError(f"federation.held-out names {unknown}, which federation.sites {list(names)} has not")
        if names and not set(names) - set(held_out):
            raise ValueError("federation.held-out leaves no site to train on")
        if self.task.name == "scan" and not self.prepare.cube:
            raise ValueError("task.name 'scan' wants the whole volume: set prepare.cube (the tutorial's is 128)")
        if self.task.name != "scan" and self.prepare.cube:
            raise ValueError(f"prepare.cube is for task.name 'scan'; {self.task.name!r} wants isotropic cases")
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
        try:
            config = cls.model_validate(nested)
        except ValidationError as error:
            raise ConfigError(_collected(unknown, error)) from None
        if unknown:
            raise ConfigError(_collected(unknown, None))
        return config

    def to_run_config(self) -> dict[str, Scalar]:
        """The flat form; ``from_run_config`` of it is equal to this."""
        return dict(_flat_items(self))


def _flat_items(section: Section, prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _flat_items(value, f"{prefix}{_kebab(name)}.")
        else:
            yield f"{prefix}{_kebab(name)}", value


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _unknown_key(key: str, known: Mapping[str, Scalar]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"{key}: no such key" + (f"; did you mean {near[0]}?" if near else "; `fedlung config` lists them all")


def _collected(unknown: list[str], error: ValidationError | None) -> str:
    mistakes = list(unknown)
    for item in error.errors() if error else []:
        where = ".".join(_kebab(str(part)) for part in item["loc"]) or "run"
        found = "" if isinstance(item["input"], dict | RunConfig) else f", found {item['input']!r}"
        mistakes.append(f"{where}: {item['msg']}{found}")
    plural = "s" * (len(mistakes) != 1)
    return "\n  ".join([f"{len(mistakes)} mistake{plural} in the run's configuration:", *mistakes])
