"""What SimpleITK's usual way makes of the corpus; ``usual_way.py`` prints the table."""

from __future__ import annotations

import pytest
from corpus.kinds import all_kinds
from corpus.usual_way import Verdict, judge_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    return judge_all()


def names_of(verdicts: dict[str, Verdict], outcome: str) -> set[str]:
    return {name for name, verdict in verdicts.items() if verdict.outcome == outcome}


def test_the_usual_way_is_silently_wrong_on_dozens_of_kinds(verdicts: dict[str, Verdict]) -> None:
    silent = names_of(verdicts, "wrong, silent")
    assert len(silent) > 50
    assert {"gantry-tilt", "no-rescale", "pixel-spacing-missing", "two-phases-half-a-step-apart"} <= silent


def test_the_usual_way_is_wrong_with_a_mere_warning_on_as_many(verdicts: dict[str, Verdict]) -> None:
    warned = names_of(verdicts, "wrong, with a warning")
    assert len(warned) > 50
    assert {"slice-missing", "two-phases"} <= warned


def test_the_usual_way_reads_most_sound_kinds_so_the_corpus_is_honest(verdicts: dict[str, Verdict]) -> None:
    sound = {name for name, kind in all_kinds().items() if kind.expected.volumes and not kind.expected.codes}
    right = names_of(verdicts, "right")
    assert len(sound & right) > 0.75 * len(sound)
    # An independent reader sees the same images, so these are what they are said to be.
    assert {"plain", "oblique", "jpeg-ls", "rle", "explicit-big-endian", "enhanced-ct", "metaimage", "nifti"} <= right
