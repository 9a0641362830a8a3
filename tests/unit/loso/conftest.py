"""Results of a leave-one-site-out run, made of numbers that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from fedlung.evaluation.comparison import holm
from fedlung.evaluation.measured import Value
from fedlung.loso.arithmetic import NOTHING, Measurement, cell, comparison, estimate, mean, minus
from fedlung.loso.claims import plain_words
from fedlung.loso.record import FoldRow, LosoResults, MatrixRow, Row, RowKind, SiteSize, Table

SITES = ("GE", "Philips", "SIEMENS", "TOSHIBA")
REPLICATES = 400
CONFIDENCE = 0.95
KINDS: dict[str, RowKind] = {"pooled training": "baseline", "nodule diameter alone": "without pixels"}
# The AUC in the middle of the sites; fedprox is .06 above fedavg, and pooled training as good as alike.
CENTRES = {"fedavg": 0.80, "fedprox": 0.86, "pooled training": 0.801, "nodule diameter alone": 0.85, "oracle": 0.9}

MakeResults = Callable[..., LosoResults]


def measured(row: str, site: str, seed: int, centres: Mapping[str, float]) -> Measurement:
    """A value around the row's; its replicates move with the site's patients, as all rows' do, and a little alone."""
    shared = np.random.default_rng(sum(site.encode())).normal(0.0, 0.02, REPLICATES)
    rng = np.random.default_rng([sum(row.encode()), sum(site.encode()), seed])
    point = min(0.99, centres.get(row, 0.8) + rng.normal(0.0, 0.004))
    return Measurement(Value(point, point + shared + rng.normal(0.0, 0.004, REPLICATES)), 40)


def row_of(name: str, sites: tuple[str, ...], seeds: tuple[int, ...], centres: Mapping[str, float]) -> Row:
    by_site = {site: [measured(name, site, seed, centres) for seed in seeds] for site in sites}
    if name == "pooled training":
        by_site[sites[1]] = [Measurement(NOTHING.value, 0, "no negative examples") for _ in seeds]
    means = {site: mean(found) for site, found in by_site.items()}
    others = {site: mean([measured("fedavg", site, seed, centres) for seed in seeds]) for site in sites}
    sizes = {site: measured("nodule diameter alone", site, 0, centres) for site in sites}
    oracle = {site: mean([measured("oracle", site, seed, centres) for seed in seeds]) for site in sites}
    cells = {site: cell(found, CONFIDENCE) for site, found in by_site.items()}
    values = {site: found.estimate.value for site, found in cells.items() if found.estimate.value is not None}
    worst = min(values, key=lambda site: values[site])
    differences = {site: minus(means[site], others[site]) for site in sites}
    differences["mean"] = minus(mean(list(means.values())), mean(list(others.values())))
    kind = KINDS.get(name, "method")
    trained, source = kind != "without pixels", measured("fedavg", "sources", 0, centres)
    gaps = {site: estimate(minus(source, found), CONFIDENCE) for site, found in means.items()}
    return Row(
        name=name,
        kind=kind,
        unseen=cells,
        unseen_mean=cell([mean(list(of_seed)) for of_seed in zip(*by_site.values(), strict=True)], CONFIDENCE),
        worst_site=worst,
        worst=cells[worst].estimate,
        source_mean=cell([source for _ in seeds], CONFIDENCE),
        gap=estimate(minus(source, mean(list(means.values()))), CONFIDENCE),
        gaps=gaps if trained else {},
        to_oracle={site: estimate(minus(oracle[site], means[site]), CONFIDENCE) for site in sites} if trained else {},
        to_reference={
            where: comparison(found, CONFIDENCE) for where, found in differences.items() if trained and name != "fedavg"
        },
        adjusted_p={},
        to_size={site: comparison(minus(means[site], sizes[site]), CONFIDENCE) for site in sites} if trained else {},
        missing={},
        settings={"strategy.proximal-mu": 0.1} if name == "fedprox" else {},
    )


def adjusted(rows: list[Row]) -> tuple[Row, ...]:
    p_values = {(row.name, where): told.p_value for row in rows for where, told in row.to_reference.items()}
    means = holm({name: value for (name, where), value in p_values.items() if where == "mean"})
    sites = holm({f"{name}|{where}": value for (name, where), value in p_values.items() if where != "mean"})
    return tuple(
        row.model_copy(
            update={
                "adjusted_p": {
                    where: means[row.name] if where == "mean" else sites[f"{row.name}|{where}"]
                    for where in row.to_reference
                }
            }
        )
        for row in rows
    )


def table_of(
    metric: str, rows: tuple[str, ...], sites: tuple[str, ...], seeds: tuple[int, ...], centres: Mapping[str, float]
) -> Table:
    oracle = {site: cell([measured("oracle", site, seed, centres) for seed in seeds], CONFIDENCE) for site in sites}
    return Table(
        metric=metric,
        rows=adjusted([row_of(name, sites, seeds, centres) for name in rows]),
        oracle=oracle,
        matrix=(
            MatrixRow(name="trained at all sites", seen=sites, sites=oracle),
            MatrixRow(name=f"{sites[0]} alone", seen=sites[:1], sites=oracle),
        ),
    )


@pytest.fixture(scope="session")
def make_results() -> MakeResults:
    """``make_results(sites=..., methods=..., seeds=..., synthetic=..., centres=...)``."""

    def made(
        *,
        sites: tuple[str, ...] = SITES,
        methods: tuple[str, ...] = ("fedavg", "fedprox"),
        seeds: tuple[int, ...] = (0, 1),
        synthetic: bool = True,
        centres: Mapping[str, float] = CENTRES,
    ) -> LosoResults:
        trained = (*methods, "pooled training")
        others = {
            metric: table_of(metric, trained, sites, seeds, dict.fromkeys(trained, at))
            for metric, at in (("brier", 0.1), ("calibration_slope", 0.9))
        }
        results = LosoResults(
            fedlung_version="0.1.0",
            synthetic=synthetic,
            task="nodule",
            task_definition="a nodule against background",
            sites={site: SiteSize(num_patients=40, num_positive=50, num_negative=70) for site in sites},
            seeds=seeds,
            reference="fedavg",
            confidence=CONFIDENCE,
            num_replicates=REPLICATES,
            tables={
                "auc": table_of("auc", (*trained, "nodule diameter alone"), sites, seeds, centres),
                **others,
            },
            folds=(
                FoldRow(
                    name="fedavg.seed-0.without-GE", state="finished", server_round=3, validation=0.875, seconds=12.5,
                    config_fingerprint="0123456789abcdef",
                ),
                FoldRow(name="alone.seed-0.GE", state="failed", reason="no answer in time"),
            ),
            config={"seed": 0, "evaluate.select": "auc"},
            config_fingerprint="fedcba9876543210",
            data_fingerprints={site: "00ff00ff00ff00ff" for site in sites},
            versions={sites[0]: {"torch": "2.13.0"}},
        )  # fmt: skip
        return results.model_copy(update={"claims": plain_words(results)})

    return made


@pytest.fixture(scope="session")
def results(make_results: MakeResults) -> LosoResults:
    return make_results()
