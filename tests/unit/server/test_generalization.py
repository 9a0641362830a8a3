"""The judgement of answers whose numbers can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from fedlung.config import RunConfig
from fedlung.errors import RunError
from fedlung.evaluation.judgement import Absence, Judgement
from fedlung.evaluation.metrics import auc
from fedlung.evaluation.statistics import ScoreStatistics, score_statistics
from fedlung.protocol import EvaluateReply, SiteCard, SiteLedger, SplitCounts, TrainReply
from server.evidence import Evidence, RoundReplies, curve_point, participation
from server.generalization import judge
from server.selection import select_round

CONFIG = RunConfig.from_run_config({"federation.sites": "A,B,X", "federation.held-out": "X", "evaluate.replicates": 40})
# Pairs in order of (positive, negative), so: 4 of 4, 3 of 4, 2 of 4.
PERFECT, GOOD, CHANCE = ([-2.0, -1.0], [1.0, 2.0]), ([-2.0, 1.5], [1.0, 2.0]), ([-1.0, 1.0], [-2.0, 2.0])
ONLY_POSITIVE = ([], [1.0, 2.0])


def statistics(classes: tuple[list[float], list[float]], *, replicates: int = 0, seed: int = 0) -> ScoreStatistics:
    """Every score four times, each from a patient of its own, so that replicates have both classes."""
    negative, positive = (np.repeat(np.array(scores, dtype=float), 4) for scores in classes)
    labels = np.array([0] * len(negative) + [1] * len(positive))
    return score_statistics(
        np.concatenate([negative, positive]),
        labels,
        np.arange(len(labels)),
        num_replicates=replicates,
        rng=np.random.default_rng(seed),
    )


def reply(
    site: str, classes: tuple[list[float], list[float]], *, loss: float = 0.5, replicates: int = 0, split: str = "test"
) -> EvaluateReply:
    found = statistics(classes, replicates=replicates, seed=sum(site.encode()))
    return EvaluateReply(site=site, server_round=1, split=split, loss=loss, seconds=1.0, scores={"model": found})


def replies(number: int, a: tuple, b: tuple | None, *, losses: tuple[float, float] = (0.5, 0.5)) -> RoundReplies:
    validation = {"A": reply("A", a, loss=losses[0])}
    if b is not None:
        validation["B"] = reply("B", b, loss=losses[1])
    return RoundReplies(
        server_round=number,
        learning_rate=1e-3,
        training={site: TrainReply(site, number, 30, 2, 0.6, 1.0) for site in ("A", "B")},
        weights={"A": 0.25, "B": 0.75},
        validation=validation,
        held_out={"X": reply("X", CHANCE)},
    )


def evidence(tests: dict[str, tuple], *, config: RunConfig = CONFIG) -> Evidence:
    return Evidence(
        cards={site: SiteCard(site, True, "dicom", "cpu", {"torch": "2"}) for site in tests},
        ledgers={
            site: SiteLedger(
                site,
                num_declared=9,
                num_readable=8,
                num_prepared=7,
                left_out={"gap": 2},
                ignored_files={"NOT_DICOM": 3},
                unused_nodules={"readers-below-k": 4},
                remarks={"LUNGS_NOT_FOUND": 5},
                splits={"test": SplitCounts(7, 3, 4)},
                data_fingerprint="ab12",
                seconds=2.0,
                synthetic=site == "A",
            )
            for site in tests
        },
        rounds=[replies(1, GOOD, GOOD), replies(2, PERFECT, PERFECT)],
        tests={site: reply(site, classes, replicates=config.evaluate.replicates) for site, classes in tests.items()},
        absences=(Absence(site="B", stage="round 1", reason="no answer in time"),),
        run="a-run",
        started="2026-01-01T00:00:00",
        finished="2026-01-01T00:01:00",
    )


def judged(tests: dict[str, tuple], *, config: RunConfig = CONFIG) -> Judgement:
    found = evidence(tests, config=config)
    return judge(config, found, select_round(found.rounds, config.evaluate.select))


def test_the_gap_is_the_mean_over_sources_minus_the_held_out_site() -> None:
    found = judged({"A": PERFECT, "B": GOOD, "X": CHANCE})
    assert [(row.name, row.role, row.auc.value) for row in found.sites] == [
        ("A", "source", 1.0),
        ("B", "source", 0.75),
        ("X", "held-out", 0.5),
    ]
    assert found.mean_sources.auc.value == 0.875
    assert found.gap.auc.value == 0.375
    assert (found.worst_site.name, found.worst_site.role, found.worst_site.auc.value) == ("X", "held-out", 0.5)


def test_replicate_b_of_the_gap_is_made_of_every_sites_replicate_b() -> None:
    tests = {"A": PERFECT, "B": GOOD, "X": CHANCE}
    found, given = judged(tests), evidence(tests)
    by_site = {site: auc(answer.scores["model"].replicates_RCK) for site, answer in given.tests.items()}
    gaps = (by_site["A"] + by_site["B"]) / 2 - by_site["X"]
    low, high = np.nanquantile(gaps, [0.025, 0.975])
    assert (found.gap.auc.low, found.gap.auc.high) == (pytest.approx(low), pytest.approx(high))


def test_pooled_is_not_the_mean_of_the_sites() -> None:
    # A scores all higher than B: each perfect alone; pooled, B's positives lie below A's negatives.
    high, low = ([3.0], [4.0]), ([-4.0], [-3.0])
    found = judged({"A": high, "B": low, "X": PERFECT})
    assert found.mean_sources.auc.value == 1.0
    assert found.pooled_sources.auc.value == 0.75
    assert found.pooled.sites == ("A", "B", "X") and found.pooled.num_patients == 8 + 8 + 16


def test_a_site_with_one_class_is_undefined_and_named_where_the_mean_is_without_it() -> None:
    found = judged({"A": PERFECT, "B": ONLY_POSITIVE, "X": CHANCE})
    assert found.sites[1].auc.value is None and found.sites[1].auc.reason == "no negative examples"
    assert found.mean_sources.auc.value == 1.0
    assert found.mean_sources.auc.reason == "mean without B (no negative examples)"
    assert found.gap.auc.value == 0.5 and found.gap.auc.low is not None


def test_a_held_out_site_with_one_class_makes_the_gap_undefined() -> None:
    found = judged({"A": PERFECT, "B": GOOD, "X": ONLY_POSITIVE})
    assert found.gap.auc.value is None
    assert found.gap.auc.reason == "undefined at a held-out site X (no negative examples)"
    assert found.gap.sensitivity.value is not None


def test_a_missing_held_out_site_has_a_row_and_makes_the_gap_undefined_by_name() -> None:
    found = judged({"A": PERFECT, "B": GOOD})
    assert [row.name for row in found.sites] == ["A", "B", "X"]
    missing = found.sites[2]
    assert (missing.role, missing.num_patients, missing.auc.value) == ("held-out", 0, None)
    assert missing.synthetic is None
    assert found.gap.auc.value is None and "X (no answer to the final evaluation)" in str(found.gap.auc.reason)


def test_without_a_held_out_site_there_is_no_gap() -> None:
    config = RunConfig.from_run_config({"federation.sites": "A,B", "federation.held-out": "", "evaluate.replicates": 5})
    found = judged({"A": PERFECT, "B": GOOD}, config=config)
    assert found.gap.auc.value is None and found.gap.auc.reason == "no site is held out"


def test_the_round_with_the_best_mean_over_source_validation_is_selected() -> None:
    rounds = [replies(1, GOOD, GOOD), replies(2, PERFECT, GOOD), replies(3, GOOD, GOOD)]
    found = select_round(rounds, "auc")
    assert (found.server_round, found.value, found.sites) == (2, 0.875, ("A", "B"))


def test_rounds_before_the_first_that_is_averaged_are_no_candidates() -> None:
    rounds = [replies(1, PERFECT, PERFECT), replies(2, CHANCE, GOOD), replies(3, GOOD, GOOD)]
    found = select_round(rounds, "auc", first_round=2)
    assert (found.server_round, found.value) == (3, 0.75)
    assert found.definition.endswith("; of the rounds from 2 on")


def test_of_equal_rounds_the_one_with_the_lower_loss_is_selected_then_the_first() -> None:
    equal = [
        replies(1, GOOD, GOOD),
        replies(2, GOOD, GOOD, losses=(0.4, 0.4)),
        replies(3, GOOD, GOOD, losses=(0.4, 0.4)),
    ]
    assert select_round(equal, "auc").server_round == 2


def test_a_round_without_a_hard_site_is_not_eligible() -> None:
    rounds = [replies(1, GOOD, CHANCE), replies(2, PERFECT, None)]
    assert select_round(rounds, "auc").server_round == 1


def test_selection_by_loss_takes_the_lowest() -> None:
    rounds = [replies(1, GOOD, GOOD, losses=(0.5, 0.3)), replies(2, GOOD, GOOD, losses=(0.2, 0.5))]
    found = select_round(rounds, "loss")
    assert (found.server_round, found.value) == (2, pytest.approx(0.35))


def test_where_no_validation_auc_is_defined_the_loss_selects_and_says_so() -> None:
    rounds = [replies(1, ONLY_POSITIVE, None), replies(2, ONLY_POSITIVE, None, losses=(0.3, 0.0))]
    found = select_round(rounds, "auc")
    assert (found.server_round, found.rule) == (
        2,
        "loss",
    ) and "no source site's validation AUC is defined" in found.definition


def test_without_any_validation_there_is_nothing_to_select() -> None:
    with pytest.raises(RunError, match="no source site could be validated"):
        select_round([replace(replies(1, GOOD, GOOD), validation={})], "auc")


def test_the_held_out_site_changes_neither_round_nor_threshold() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    other = replace(
        found,
        rounds=[replace(replies, held_out={"X": reply("X", PERFECT)}) for replies in found.rounds],
        tests={**found.tests, "X": reply("X", PERFECT, replicates=40)},
    )
    selected = [select_round(some.rounds, "auc") for some in (found, other)]
    assert selected[0] == selected[1]
    judgements = [judge(CONFIG, some, selected[0]) for some in (found, other)]
    for what in ("threshold", "operating_points", "reference_prevalence"):
        assert getattr(judgements[0], what) == getattr(judgements[1], what)
    assert judgements[0].sites[:2] == judgements[1].sites[:2]


def test_the_threshold_is_that_of_the_selected_rounds_validation() -> None:
    # Selected round 2: negatives at -2, -1 and positives at 1, 2; halfway between -1 and 1 is p = 1/2.
    found = judged({"A": PERFECT, "B": GOOD, "X": CHANCE})
    assert found.selection.server_round == 2
    assert found.threshold.probability == pytest.approx(0.5, abs=0.0126)
    assert found.sites[2].sensitivity.value == found.sites[2].specificity.value == 0.5
    confusion = found.sites[1].confusion
    assert confusion is not None and (confusion.true_positive, confusion.false_positive) == (8, 4)


def test_the_operating_points_and_the_prevalence_are_those_of_pooled_source_validation() -> None:
    # GOOD twice: negatives at -2 and 1.5, positives at 1 and 2, eight examples of each score. Specificity .90 only
    # above 1.5, sensitivity .90 only below 1; the thresholds lie halfway to the next score.
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    found = replace(found, rounds=[replies(1, GOOD, GOOD)])
    judgement = judge(CONFIG, found, select_round(found.rounds, "auc"))
    spec90, sens90 = judgement.operating_points.spec90, judgement.operating_points.sens90
    assert spec90.probability == pytest.approx(expit(1.75), abs=0.007)
    assert sens90.probability == pytest.approx(expit(-0.5), abs=0.007)
    assert judgement.reference_prevalence == 0.5
    good = judgement.sites[1]
    assert (good.sensitivity_at_spec90.value, good.specificity_at_spec90.value) == (0.5, 1.0)
    assert (good.sensitivity_at_sens90.value, good.specificity_at_sens90.value) == (1.0, 0.5)
    assert good.sensitivity_at_spec90.low is not None
    assert judgement.gap.sensitivity_at_spec90.value == (0.5 + 0.5) / 2 - 0.5


def test_an_operating_point_that_validation_cannot_reach_is_undefined_with_its_reason() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    found = replace(found, rounds=[replies(1, ([-1.0, 15.0], [1.0, 15.0]), ([-1.0, 15.0], [1.0, 15.0]))])
    judgement = judge(CONFIG, found, select_round(found.rounds, "auc"))
    assert judgement.operating_points.spec90.reason == "no threshold reaches it on validation"
    assert judgement.sites[0].sensitivity_at_spec90.reason == "no threshold could be frozen"
    assert judgement.sites[0].sensitivity_at_sens90.value is not None


def test_numbers_carried_over_to_the_reference_prevalence_do_not_move_with_the_sites_own() -> None:
    few, many = ([-1.0, 1.0], [1.0]), ([-1.0, 1.0], [1.0] * 5)
    found = judged({"A": few, "B": many, "X": CHANCE})
    assert found.reference_prevalence == 0.5
    assert found.sites[0].precision.value != found.sites[1].precision.value
    assert found.sites[0].precision_adjusted.value == found.sites[1].precision_adjusted.value == pytest.approx(2 / 3)
    assert found.sites[0].auprc_adjusted.value == pytest.approx(found.sites[1].auprc_adjusted.value)


def test_validation_of_one_class_gives_no_threshold_and_says_so() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    found = replace(found, rounds=[replies(1, ONLY_POSITIVE, ONLY_POSITIVE)])
    judgement = judge(CONFIG, found, select_round(found.rounds, "auc"))
    assert judgement.threshold.probability is None and judgement.threshold.reason
    assert judgement.sites[0].f1.reason == "no threshold could be frozen"
    assert judgement.sites[0].auc.value == 1.0 and judgement.sites[0].confusion is None
    assert judgement.operating_points.sens90.reason == "validation has one class only"
    assert judgement.reference_prevalence is None
    assert "no reference prevalence" in str(judgement.sites[0].auprc_adjusted.reason)


def test_the_same_answers_in_another_order_give_the_same_judgement_to_the_last_digit() -> None:
    tests = {"A": PERFECT, "B": GOOD, "X": CHANCE}
    found = evidence(tests)
    turned = replace(
        found,
        tests=dict(reversed(found.tests.items())),
        ledgers=dict(reversed(found.ledgers.items())),
        cards=dict(reversed(found.cards.items())),
        rounds=[replace(some, validation=dict(reversed(some.validation.items()))) for some in found.rounds],
    )
    selection = select_round(found.rounds, "auc")
    assert judge(CONFIG, found, selection).model_dump_json() == judge(CONFIG, turned, selection).model_dump_json()


def test_only_the_timings_differ_between_two_runs_of_one_seed() -> None:
    tests = {"A": PERFECT, "B": GOOD, "X": CHANCE}
    found = evidence(tests)
    later = replace(found, run="another", started="2027", finished="2028")
    renamed = CONFIG.model_copy(update={"name": "another", "folder": "/elsewhere"})
    selection = select_round(found.rounds, "auc")
    first, second = judge(CONFIG, found, selection), judge(renamed, later, selection)
    assert first != second
    assert first.model_dump(exclude={"timings"}) == second.model_dump(exclude={"timings"})


def test_report_json_has_what_it_must_have_and_reads_back() -> None:
    found = judged({"A": PERFECT, "B": GOOD, "X": CHANCE})
    raw = found.model_dump(mode="json")
    assert raw["synthetic"] is True and raw["task"] == "nodule" and raw["held_out"] == ["X"]
    assert {"name", "role", "num_patients", "num_positive", "num_negative", "auc"} <= set(raw["sites"][0])
    assert {"value", "low", "high"} <= set(raw["sites"][0]["auc"])
    assert Judgement.model_validate_json(found.model_dump_json()) == found


def test_the_constant_answer_stands_beside_accuracy_and_f1() -> None:
    uneven = ([-1.0], [1.0, 2.0, 3.0])  # prevalence 3/4
    found = judged({"A": uneven, "B": GOOD, "X": CHANCE}).sites[0]
    assert (found.prevalence, found.constant.answer, found.constant.accuracy) == (0.75, "positive", 0.75)
    assert found.constant.f1_of_always_positive == pytest.approx(6 / 7)


def test_ledgers_absences_and_participation_are_rows() -> None:
    found = judged({"A": PERFECT, "B": GOOD, "X": CHANCE})
    assert [row.site for row in found.ledgers] == ["A", "B", "X"]
    for row in found.ledgers:
        assert (row.left_out, row.ignored_files) == ({"gap": 2}, {"NOT_DICOM": 3})
        assert (row.unused_nodules, row.remarks) == ({"readers-below-k": 4}, {"LUNGS_NOT_FOUND": 5})
    assert found.absences[0].site == "B"
    assert [(row.server_round, row.site, row.weight) for row in found.participation][:2] == [
        (1, "A", 0.25),
        (1, "B", 0.75),
    ]


def test_a_curve_point_means_over_sources_and_keeps_the_held_out_site_apart() -> None:
    point = curve_point(replies(4, PERFECT, CHANCE, losses=(0.2, 0.6)))
    assert (point.mean_validation_auc, point.mean_validation_loss) == (0.75, pytest.approx(0.4))
    assert set(point.validation) == {"A", "B"} and point.held_out["X"].auc == 0.5


def test_a_loss_that_is_not_finite_is_null() -> None:
    point = curve_point(replies(1, GOOD, GOOD, losses=(float("inf"), 0.4)))
    assert point.validation["A"].loss is None and point.mean_validation_loss == 0.4


def test_an_update_that_did_not_enter_has_the_weight_0() -> None:
    rows = participation(replace(replies(1, GOOD, GOOD), weights={"B": 1.0}))
    assert [(row.site, row.weight) for row in rows] == [("A", 0.0), ("B", 1.0)]


def test_a_baseline_that_a_site_lacks_is_not_pooled() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    with_size = replace(found.tests["A"], scores={**found.tests["A"].scores, "size": statistics(CHANCE, replicates=40)})
    judgement = judge(CONFIG, replace(found, tests={**found.tests, "A": with_size}), select_round(found.rounds, "auc"))
    assert judgement.sites[0].baselines["size"].value == 0.5
    assert judgement.pooled.baselines == {}


def test_the_model_is_compared_with_a_baseline_by_paired_replicates() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    paired, unpaired = (statistics(CHANCE, replicates=40, seed=seed) for seed in (sum(b"A"), 99))
    rows = []
    for size in (paired, unpaired):
        answer = replace(found.tests["A"], scores={**found.tests["A"].scores, "size": size})
        tests = {**found.tests, "A": answer}
        rows.append(judge(CONFIG, replace(found, tests=tests), select_round(found.rounds, "auc")).sites[0])
    differences = auc(found.tests["A"].scores["model"].replicates_RCK) - auc(paired.replicates_RCK)
    together, apart = (row.advantages["size"] for row in rows)
    assert together.value == apart.value == 0.5
    assert (together.low, together.high) == tuple(np.nanquantile(differences, [0.025, 0.975]))
    assert apart.low is None and "did not draw both" in str(apart.reason)


def test_nothing_is_judged_without_an_answer() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    with pytest.raises(RunError, match="nothing to judge"):
        judge(CONFIG, replace(found, tests={}), select_round(found.rounds, "auc"))


def few(site: str, num_patients: int) -> EvaluateReply:
    """A perfect site whose patients have an example of both classes each."""
    patients_N, labels_N = np.repeat(np.arange(num_patients), 2), np.tile([0, 1], num_patients)
    rng = np.random.default_rng(0)
    scores = {"model": score_statistics(2.0 * labels_N - 1.0, labels_N, patients_N, num_replicates=40, rng=rng)}
    return EvaluateReply(site=site, server_round=1, split="test", loss=0.5, seconds=1.0, scores=scores)


def test_a_mean_and_a_gap_are_no_surer_than_their_smallest_site() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    found = replace(found, tests={**found.tests, "B": few("B", 6)})
    judgement = judge(CONFIG, found, select_round(found.rounds, "auc"))
    marked = "few patients (6): the interval is likely too narrow"
    assert [row.auc.reason for row in judgement.sites] == [None, marked, None]
    assert judgement.mean_sources.auc.reason == judgement.gap.auc.reason == marked
    assert judgement.pooled.auc.reason is None


def test_three_patients_give_no_interval() -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    found = replace(found, tests={**found.tests, "X": few("X", 3)})
    judgement = judge(CONFIG, found, select_round(found.rounds, "auc"))
    assert judgement.sites[2].auc.value == 1.0 and judgement.sites[2].auc.low is None
    assert judgement.gap.auc.low is None and judgement.mean_sources.auc.low is not None


@pytest.mark.parametrize(
    ("splits", "reason"),
    [
        ({"train": SplitCounts(1, 2, 4)}, "its only patient trains or validates"),
        ({"train": SplitCounts(1, 2, 4), "validation": SplitCounts(1, 2, 4)}, "all of its 2 train or validate"),
        ({}, "none has an example of the task"),
    ],
)
def test_a_site_that_was_not_asked_says_why_by_its_ledger(splits: dict[str, SplitCounts], reason: str) -> None:
    found = evidence({"A": PERFECT, "B": GOOD, "X": CHANCE})
    tests = {site: answer for site, answer in found.tests.items() if site != "B"}
    found = replace(found, tests=tests, ledgers={**found.ledgers, "B": replace(found.ledgers["B"], splits=splits)})
    row = judge(CONFIG, found, select_round(found.rounds, "auc")).sites[1]
    assert row.auc.reason == f"no test patient: {reason}"


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("roll-call", "not in the run"),
        ("prepare", "it prepared nothing"),
        ("final evaluation", "no scores from the final evaluation"),
    ],
)
def test_a_held_out_site_that_is_missing_says_where_it_was_lost_in_its_row_and_in_the_gap(
    stage: str, words: str
) -> None:
    found = evidence({"A": PERFECT, "B": GOOD})
    absences = [Absence(site="X", stage=stage, reason="as it said"), Absence(site="X", stage="round 1", reason="late")]
    judgement = judge(CONFIG, replace(found, absences=absences), select_round(found.rounds, "auc"))
    assert judgement.sites[2].auc.reason == f"{words}: as it said"
    assert f"X ({words}: as it said)" in str(judgement.gap.auc.reason)


def test_a_site_that_nobody_named_and_that_did_not_answer_has_a_row() -> None:
    config = RunConfig.from_run_config({"federation.sites": "", "federation.held-out": "", "evaluate.replicates": 5})
    found = evidence({"A": PERFECT, "B": GOOD}, config=config)
    found = replace(found, tests={"A": found.tests["A"]})
    judgement = judge(config, found, select_round(found.rounds, "auc"))
    assert [(row.name, row.auc.value) for row in judgement.sites] == [("A", 1.0), ("B", None)]
