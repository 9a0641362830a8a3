"""Who is scanned: the scene of a site's patient, or of the virtual patient that paired sites share."""

from __future__ import annotations

from collections.abc import Sequence

from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.design import design_of
from fedlung.ct.phantom.donors import Shape, choose_shapes, resized
from fedlung.ct.phantom.scene import Scene, make_scene
from fedlung.seeding import derive, derive_int


def virtual_patient(site: str, patient: int, cfg: PhantomConfig, hand: Sequence[str]) -> Scene:
    """The scene of a site's patient, whose nodules are of the donors in ``hand`` (series of LIDC-IDRI).

    When paired, the streams of anatomy and nodules know nothing of the site: the same ``patient`` and ``hand`` give the
    same scene everywhere.
    """
    return make_scene(
        derive_int(cfg.seed, *_labels(site, patient, cfg)),
        patient_shapes(site, patient, cfg, hand),
        coverage_mm=cfg.coverage_mm,
        smallest_vessel_mm=cfg.smallest_vessel_mm,
    )


def patient_shapes(site: str, patient: int, cfg: PhantomConfig, hand: Sequence[str]) -> tuple[Shape, ...]:
    """The nodules of a site's patient, before they have a place; none of a nodule-free one."""
    design = design_of(site, cfg)
    if _quantile(site, patient, cfg) < design.nodule_free:
        return ()
    shapes = choose_shapes(hand, cfg)[: design.max_nodules]
    if design.size_mm is None:
        return shapes
    return tuple(resized(shape, cfg, design.size_mm) for shape in shapes)


def _quantile(site: str, patient: int, cfg: PhantomConfig) -> float:
    """Where a patient stands between 0 and 1; those below the share of nodule-free ones are free.

    A random number, or where the sites are matched a rank that the patient has at every site, so that the share is met
    and met alike.
    """
    if not cfg.matched:
        return float(derive(cfg.seed, *_labels(site, patient, cfg), "free").random())
    ranks = derive(cfg.seed, "phantom", "matched", "free").permutation(cfg.patients_per_site)
    return (float(ranks[patient]) + 0.5) / cfg.patients_per_site


def _labels(site: str, patient: int, cfg: PhantomConfig) -> tuple[str | int, ...]:
    return ("phantom", "paired" if cfg.paired else site, patient)
