"""Whether a control came out as it must: a harness that finds a gap where there is none, or none where there is one, is
no instrument.

Only the phantom can be such a control. It says something of the software and nothing of any hospital.
"""

from __future__ import annotations

from typing import NamedTuple

from fedlung.config import PhantomControl
from fedlung.evaluation.estimates import Estimate
from fedlung.loso.record import LosoResults


class Verdict(NamedTuple):
    """What to say, and whether the control came out as it must."""

    text: str
    is_right: bool


def verdict(results: LosoResults, control: PhantomControl, odd_site: str) -> Verdict:
    """Of the null control, the reference's gap over all sites must hold 0; of the positive one, that of the odd site,
    unseen, must lie above 0."""
    row = next(row for row in results.tables["auc"].rows if row.name == results.reference)
    gap, where = (row.gap, "over all sites") if control == "null" else (row.gaps[odd_site], f"with {odd_site} unseen")
    asked = "0 must lie within" if control == "null" else "0 must lie below"
    if gap.value is None or gap.low is None or gap.high is None:
        return Verdict(f"{control} control: the gap {where} is undefined ({gap.reason})", False)
    is_right = _holds_zero(gap) if control == "null" else gap.low > 0.0
    told = f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
    return Verdict(f"{control} control: gap in AUC {where} {told}; {asked}: {'yes' if is_right else 'NO'}", is_right)


def _holds_zero(gap: Estimate) -> bool:
    return gap.low is not None and gap.high is not None and gap.low <= 0.0 <= gap.high
