"""A method with choices through the real apps: what is judged at a site was chosen by the other sites alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlung.evaluation.kept import KeptTests, load_tests, save_tests
from fedlung.evaluation.runrecord import EVENTS_FILE, load_run
from fedlung.evaluation.statistics import ScoreStatistics
from fedlung.loso.folder import folds_folder
from fedlung.loso.plan import plan
from fedlung.loso.record import LosoResults, Row
from fedlung.loso.report.files import HTML_FILE
from fedlung.loso.results import results_of, write_results

SITES = ("Alpha", "Beta", "Gamma", "Omega")
KEY = "optimizer.learning-rate"
SEARCH = f"fedavg+{KEY}=0.0001|0.01"
PLAN: dict[str, Any] = {
    "protocol": "loso",
    "federation.held-out": "",
    "federation.rounds": 1,
    "loso.methods": f"fedavg+{KEY}=0.01,{SEARCH}",
    "loso.seeds": 1,
    "loso.baselines": False,
    "loso.pooled": False,
}


@pytest.fixture(scope="module")
def done(shared_federation) -> Iterator[Path]:
    """The folder of a finished plan."""
    yield shared_federation.run(shared_federation.grid(**PLAN), "search").path


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    """The same run, for a test that changes it."""
    return Path(shutil.copytree(done, tmp_path / "search"))


def row_of(results: LosoResults) -> Row:
    return next(row for row in results.tables["auc"].rows if row.name == SEARCH)


def reversed_scores(statistics: ScoreStatistics) -> ScoreStatistics:
    """As if every score had been its opposite: an AUC of x is one of 1 - x."""
    return dataclasses.replace(
        statistics,
        histogram_CK=statistics.histogram_CK[:, ::-1].copy(),
        replicates_RCK=statistics.replicates_RCK[:, :, ::-1].copy(),
    )


def spoil(fold: Path, site: str) -> None:
    """Turn what a fold measured at one site upside down."""
    kept = load_tests(fold)
    own = kept.sites[site]
    scores = {score: reversed_scores(statistics) for score, statistics in own.scores.items()}
    changed = dataclasses.replace(own, scores=scores)
    save_tests(fold, KeptTests({**kept.sites, site: changed}, kept.frozen))


def set_validation(fold: Path, value: float) -> None:
    """Write another value for what the fold's round was chosen by."""
    lines = [json.loads(line) for line in (fold / EVENTS_FILE).read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["event"] == "judged":
            line["judgement"]["selection"]["value"] = value
    (fold / EVENTS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_a_plan_with_choices_runs_what_two_methods_share_once_and_has_one_row_for_each(done: Path) -> None:
    folds = plan(load_run(done).config)
    assert len(folds) == 2 * len(SITES)
    assert {path.name for path in folds_folder(done).iterdir()} == {fold.name for fold in folds}
    results = results_of(done)
    assert results.format_version == 2
    assert [row.name for row in results.tables["auc"].rows if row.kind == "method"] == [f"fedavg+{KEY}=0.01", SEARCH]


def test_at_each_unseen_site_the_row_is_the_fold_with_the_higher_source_validation(done: Path) -> None:
    results = results_of(done)
    row = row_of(results)
    assert [(one.method, one.site, one.settings[KEY]) for one in results.tried] == [
        (SEARCH, site, rate) for site in SITES for rate in (0.0001, 0.01)
    ]
    for site in SITES:
        tried = {one.settings[KEY]: one for one in results.tried if one.site == site}
        for one in tried.values():
            (name,) = one.folds
            assert one.validation == load_run(folds_folder(done) / name).judgement.selection.value
        best = max(tried.values(), key=lambda one: one.validation)
        assert best.is_chosen and row.chosen[site] == best.settings
        judged = load_tests(folds_folder(done) / best.folds[0]).measured(site)
        assert row.unseen[site].estimate.value == float(judged.value("auc").point)
    assert row.settings == {} and row.missing == {}


def test_what_a_site_measured_unseen_has_no_part_in_its_choice(copy: Path) -> None:
    before = results_of(copy)
    for tried in before.tried:
        spoil(folds_folder(copy) / tried.folds[0], tried.site)
    after = results_of(copy)
    assert after.tried == before.tried and row_of(after).chosen == row_of(before).chosen
    one, other = row_of(before), row_of(after)
    for site in SITES:
        assert other.unseen[site].estimate.value == pytest.approx(1.0 - one.unseen[site].estimate.value)
    assert not np.isclose(other.unseen_mean.estimate.value, one.unseen_mean.estimate.value)


def test_a_choice_that_validates_worse_at_the_sources_is_no_longer_chosen(copy: Path) -> None:
    before = results_of(copy)
    chosen = next(tried for tried in before.tried if tried.site == "Beta" and tried.is_chosen)
    set_validation(folds_folder(copy) / chosen.folds[0], 0.01)
    one, other = row_of(before).chosen, row_of(results_of(copy)).chosen
    assert [site for site in SITES if one[site] != other[site]] == ["Beta"]


def test_a_run_that_is_missing_cannot_be_chosen_and_a_site_without_any_is_undefined(copy: Path) -> None:
    before = results_of(copy)
    lost = [tried for tried in before.tried if (tried.site == "Gamma" and tried.is_chosen) or tried.site == "Omega"]
    for tried in lost:
        shutil.rmtree(folds_folder(copy) / tried.folds[0])
    results = write_results(copy)
    row = row_of(results)
    assert row.chosen["Gamma"] != row_of(before).chosen["Gamma"] and "Omega" not in row.chosen
    assert set(row.missing) == {tried.folds[0] for tried in lost}
    assert row.unseen["Omega"].estimate.value is None
    assert row.unseen["Omega"].estimate.reason == "no settings could be chosen on source validation"
    page = (copy / HTML_FILE).read_text(encoding="utf-8")
    assert f"no result of {lost[0].folds[0]}" in page
