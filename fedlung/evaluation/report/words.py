"""Numbers and names as a report writes them."""

from __future__ import annotations

from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.judgement import Judgement
from fedlung.evaluation.measured import METRICS
from fedlung.evaluation.subgroups import PROTOCOLS, SUBGROUPS

UNDEFINED = "undefined"

TITLES = {
    "auc": "AUC",
    "auprc": "AUPRC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "sensitivity_at_spec90": "Sensitivity",
    "specificity_at_spec90": "Specificity",
    "sensitivity_at_sens90": "Sensitivity",
    "specificity_at_sens90": "Specificity",
    "precision_adjusted": "Precision at the reference prevalence",
    "auprc_adjusted": "AUPRC at the reference prevalence",
    "brier": "Brier",
    "ece": "ECE",
    "calibration_slope": "Slope",
    "calibration_intercept": "Intercept",
}
assert tuple(TITLES) == METRICS

REASONS = {  # fields of a ledger's row
    "left_out": "Series left out",
    "ignored_files": "Files that are no slices",
    "unused_nodules": "Nodules that the task does not use",
    "remarks": "Cases used, with a remark",
}

SUBGROUP_TITLES = {
    "size": "Volume-equivalent diameter",
    "texture": "Texture, mean rating of the readers",
    "thickness": "Slice thickness",
    "kernel": "Reconstruction kernel",
    "split": "A held-out site's own test patients, to be compared with models that trained on its others",
}
LEVELS = {
    ("size", "<6mm"): "below 6 mm",
    ("size", "6-8mm"): "6 to 8 mm",
    ("size", "8-15mm"): "8 to 15 mm",
    ("size", ">15mm"): "above 15 mm",
    ("texture", "ground-glass"): "ground glass (at most 2)",
    ("texture", "part-solid"): "part-solid",
    ("texture", "solid"): "solid (at least 4)",
    ("thickness", "thin"): "at most 1.25 mm",
    ("thickness", "medium"): "1.25 to 2.5 mm",
    ("thickness", "thick"): "above 2.5 mm",
    ("kernel", "smooth"): "smooth",
    ("kernel", "sharp"): "sharp",
    ("kernel", "unknown"): "unknown",
    ("split", "own-test"): "own test patients",
}
assert set(LEVELS) == {(key.variable, key.level) for key in SUBGROUPS if key not in PROTOCOLS}  # for the comparison


def number(value: float | None, *, signed: bool = False) -> str:
    """Three decimals; "undefined" for null."""
    if value is None:
        return UNDEFINED
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def interval(found: Estimate, *, signed: bool = False) -> str:
    """``[low, high]``, or nothing where there is no interval."""
    if found.low is None or found.high is None:
        return ""
    return f"[{number(found.low, signed=signed)}, {number(found.high, signed=signed)}]"


def with_interval(found: Estimate, *, signed: bool = False) -> str:
    """``0.873 [0.812, 0.931]``."""
    return f"{number(found.value, signed=signed)} {interval(found, signed=signed)}".rstrip()


def adapted_label(judgement: Judgement) -> str:
    """What an adapted model's scores are called wherever they are shown."""
    num_patients = judgement.provenance.config.get("evaluate.adapt-patients", 0)
    return f"adapted (test-time adaptation on {num_patients} unlabelled patients)"


def synthetic_sites(judgement: Judgement) -> str:
    """ "all sites", the names of the synthetic ones, or nothing."""
    names = [row.name for row in judgement.sites if row.synthetic]
    return "all sites" if len(names) == len(judgement.sites) else ", ".join(names)
