"""What a check says: a stable code, what was found and expected, what to do."""

from __future__ import annotations

from dataclasses import dataclass

from fedlung.ct.series import Repair
from fedlung.errors import SeriesError


@dataclass(frozen=True)
class Finding:
    """What is wrong with a file or a series.

    repair  what would mend it, if resampling along the true positions can; a site has to ask for it
    """

    code: str
    sentence: str
    remedy: str
    repair: Repair | None = None

    @property
    def error(self) -> SeriesError:
        """The finding as an exception, for what is found while reading."""
        return SeriesError(self.code, self.sentence, remedy=self.remedy)
