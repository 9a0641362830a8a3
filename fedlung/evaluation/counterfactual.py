"""What another scanner would cost the source sites, and how much of the gap that is.

Replicate b goes with replicate b: within a site both scores weigh the same patients alike, and sites are independent of
each other. R replicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedlung.evaluation.comparison import NOT_PAIRED, are_paired
from fedlung.evaluation.estimates import Estimate
from fedlung.evaluation.intervals import interval, mean_over_sites
from fedlung.evaluation.measured import Measured, Value


@dataclass(frozen=True)
class Rescanned:
    """A source site's test examples: as they were scanned, and through the other scanner."""

    before: Measured
    after: Measured

    @property
    def loss(self) -> Value:
        """AUC as scanned minus AUC rescanned."""
        before, after = self.before.for_interval("auc"), self.after.for_interval("auc")
        return Value(before.point - after.point, before.replicates_R - after.replicates_R)

    @property
    def why_undefined(self) -> str:
        """The reason why there is no AUC; else empty. Both scores are of the same examples."""
        is_defined = self.before.is_defined("auc") and self.after.is_defined("auc")
        return "" if is_defined else self.before.why_undefined("auc")


Sources = Mapping[str, Rescanned]


def mean_loss(sources: Sources, *, confidence: float) -> Estimate:
    """What the other scanner costs, each source site counting alike. Sites without an AUC are not in it, by name."""
    known = _known(sources)
    if why := _why_no_mean(sources, known):
        return Estimate(reason=why)
    value, replicates_R = _mean_loss(known)
    fewest = min(own.before.statistics.num_patients for own in known.values())
    found = interval(value, replicates_R, confidence=confidence, num_patients=fewest, why="")
    return _naming_absent(found, sources)


def share_of_gap(sources: Sources, held_out: Mapping[str, Measured], gap: Estimate, *, confidence: float) -> Estimate:
    """The mean loss over the gap, replicate by replicate.

    ``gap``: in AUC, of these sites. It must be shown to be above 0, for a share of a gap that may be none is no number.
    A gap that is barely shown makes the share's interval wide and lopsided.
    """
    known = _known(sources)
    if why := _why_no_gap(gap) or _why_no_mean(sources, known):
        return Estimate(reason=why)
    lost, before = _mean_loss(known), mean_over_sites([own.before.for_interval("auc") for own in known.values()])
    unseen = mean_over_sites([own.for_interval("auc") for _, own in sorted(held_out.items())])
    gap_R = before.replicates_R - unseen.replicates_R
    gap_R[gap_R == 0.0] = np.nan
    share = Value(lost.point / (before.point - unseen.point), lost.replicates_R / gap_R)
    used = [*(own.before for own in known.values()), *held_out.values()]
    fewest = min(measured.statistics.num_patients for measured in used)
    found = interval(share.point, share.replicates_R, confidence=confidence, num_patients=fewest, why="")
    return _naming_absent(found, sources)


def _known(sources: Sources) -> dict[str, Rescanned]:
    """The sites that have an AUC, in order of name: the gap is without the others, too."""
    return {site: own for site, own in sorted(sources.items()) if not own.why_undefined}


def _mean_loss(known: Sources) -> Value:
    return mean_over_sites([own.loss for own in known.values()])


def _why_no_gap(gap: Estimate) -> str:
    if gap.value is None:
        return f"the gap is undefined: {gap.reason}"
    if gap.low is None or gap.high is None:
        return f"the gap is not shown: {gap.reason}"
    if gap.low <= 0.0 <= gap.high:
        return "the gap's interval holds 0: a share of a gap that is not shown is no number"
    return "the held-out sites do better: there is no loss to explain" if gap.high < 0.0 else ""


def _why_no_mean(sources: Sources, known: Sources) -> str:
    if not known:
        return f"undefined at every source site: {_listed(sources)}" if sources else "no source site has told of it"
    unlike = [site for site, own in known.items() if not are_paired(own.before.statistics, own.after.statistics)]
    return f"{', '.join(unlike)}: {NOT_PAIRED}" if unlike else ""


def _naming_absent(found: Estimate, sources: Sources) -> Estimate:
    """With the sites that a mean is without."""
    if not (absent := _listed(sources)):
        return found
    reasons = [text for text in (found.reason, f"mean without {absent}") if text]
    return found.model_copy(update={"reason": "; ".join(reasons)})


def _listed(sources: Sources) -> str:
    return ", ".join(f"{site} ({own.why_undefined})" for site, own in sorted(sources.items()) if own.why_undefined)
