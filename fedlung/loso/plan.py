"""Which runs a leave-one-site-out takes. The plan follows from the run's configuration and from nothing else.

So a message has to carry a fold's name alone: a site works out from its own copy of the configuration what the fold
asks of it, and refuses a name that is not in the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fedlung.config import LosoConfig, RunConfig
from fedlung.errors import ConfigError
from fedlung.loso.methods import Method, listed_methods

Kind = Literal["federated", "pooled", "alone", "ensemble", "oracle"]

POOL = "Pooled"  # the node that has all source sites' patients, where one machine has them
RESERVED = {POOL, "mean"}  # "mean" stands beside the sites' names in the results
REFERENCE = "fedavg"  # of the baselines, and what every method is compared with
UNIFORM = "uniform"


@dataclass(frozen=True)
class Fold:
    """One run of the plan, for one seed.

    federated   ``method`` at all sites but ``unseen``
    pooled      the local loop on the patients of all sites but ``unseen``, in one place
    alone       ``site`` trains, and all others are unseen
    ensemble    the mean logit of the models that the sites but ``unseen`` trained alone; nothing is trained
    oracle      all sites train, the ones judged too: an upper bound, and no generalization
    """

    kind: Kind
    method: Method
    seed: int
    unseen: str = ""
    site: str = ""

    @property
    def name(self) -> str:
        """Of the fold's folder."""
        what = self.method.slug if self.kind == "federated" else self.kind
        who = f".{self.site}" if self.site else f".without-{self.unseen}" if self.unseen else ""
        return f"{what}.seed-{self.seed}{who}"

    def config(self, base: RunConfig) -> RunConfig:
        """The configuration of this run, as if it had been run alone; without the unseen sites' learning curves."""
        names = base.federation.site_names
        held_out = [name for name in names if name != self.site] if self.site else [self.unseen] if self.unseen else []
        changed = {
            **base.to_run_config(),
            **{f"loso.{key}": value for key, value in LosoConfig().model_dump(by_alias=True).items()},
            "name": "",
            "folder": "",
            "protocol": "single",
            "seed": self.seed,
            "federation.strategy": self.method.strategy,
            "federation.held-out": ",".join(held_out),
            "evaluate.held-out-curve": False,
            **dict(self.method.overrides),
        }
        if self.kind == "pooled":
            changed |= {"federation.sites": ",".join([POOL, *names]), "federation.trains": POOL}
        if self.kind in ("pooled", "alone"):
            changed |= {"federation.min-sites": 1}
        return RunConfig.from_run_config(changed)

    def members(self, base: RunConfig) -> tuple[Fold, ...]:
        """Of an ensemble: the folds whose models it is made of."""
        if self.kind != "ensemble":
            return ()
        sites = [site for site in base.federation.site_names if site != self.unseen]
        return tuple(Fold("alone", self.method, self.seed, site=site) for site in sites)


@lru_cache(maxsize=4)
def plan(config: RunConfig) -> tuple[Fold, ...]:
    """All folds in the order in which they are best run: seed by seed, an ensemble after its members.

    Raises ConfigError for fewer than three sites (one unseen, and two to federate), for no method, and for a
    method's configuration that does not fit together.
    """
    sites = config.federation.site_names
    if len(sites) < 3 or not RESERVED.isdisjoint(sites):
        raise ConfigError(
            f"leave-one-site-out needs the names of at least three sites, none of them {POOL!r} or 'mean': set "
            f"federation.sites (found {', '.join(sites) or 'none'})"
        )
    methods = _methods(config.loso)
    folds = tuple(fold for number in range(config.loso.seeds) for fold in _folds(config, methods, config.seed + number))
    for fold in folds:
        fold.config(config)
    return folds


def fold_named(name: str, config: RunConfig) -> Fold:
    """The fold of that name. Raises ConfigError where the plan has none."""
    found = [fold for fold in plan(config) if fold.name == name]
    if not found:
        text = "the plan of this run has no fold of that name"
        raise ConfigError(f"{text}: {name!r}", public=text)
    return found[0]


def _methods(loso: LosoConfig) -> tuple[Method, ...]:
    """What is run: of a method with choices every variant, and once what several methods share."""
    if not loso.method_names:
        raise ConfigError("loso.methods must name methods to compare, e.g. 'fedavg,fedprox'")
    return tuple(dict.fromkeys(variant for listed in listed_methods(loso) for variant in listed.variants))


def _folds(config: RunConfig, methods: tuple[Method, ...], seed: int) -> list[Fold]:
    sites, reference = config.federation.site_names, Method(REFERENCE, REFERENCE)
    if config.loso.baselines and UNIFORM not in [method.slug for method in methods]:
        methods = (*methods, Method(UNIFORM, UNIFORM))
    folds = [Fold("federated", method, seed, unseen=site) for method in methods for site in sites]
    if config.loso.pooled:
        folds += [Fold("pooled", reference, seed, unseen=site) for site in sites]
    if config.loso.baselines:
        folds += [Fold("oracle", reference, seed)]
        folds += [Fold("alone", reference, seed, site=site) for site in sites]
        folds += [Fold("ensemble", reference, seed, unseen=site) for site in sites]
    return folds
