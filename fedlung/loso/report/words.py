"""What rows and metrics are called on the page, in the figure and in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from fedlung.config import Scalar
from fedlung.loso.record import Row, RowKind

METRIC_TITLES = {
    "auc": "AUC",
    "auprc_adjusted": "AUPRC, carried over to the reference prevalence",
    "sensitivity_at_spec90": "Sensitivity at the threshold frozen for specificity .90",
    "specificity_at_sens90": "Specificity at the threshold frozen for sensitivity .90",
    "brier": "Brier score; lower is better, and a gap below 0 a loss",
    "calibration_slope": "Calibration slope; 1 is right, below 1 scores are too extreme",
}

KIND_TITLES: dict[RowKind, str] = {
    "method": "Federated methods",
    "baseline": "Baselines",
    "without pixels": "Without looking at a pixel",
}

ORACLE_TITLE = "trained at all sites, the judged ones too: an upper bound, no generalization"


def by_kind(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows below the title of their kind; a kind without a row has no title either."""
    found = [(title, [row for row in rows if row.kind == kind]) for kind, title in KIND_TITLES.items()]
    return [(title, own) for title, own in found if own]


def settings_text(settings: Mapping[str, Scalar]) -> str:
    """As one would write them: ``model.norm=batch, model.width=16``."""
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return ", ".join(f"{key}={value}" for key, value in values.items())


def p_value(value: float | None) -> str:
    """Three decimals; a dash for none."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"
