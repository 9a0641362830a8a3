"""Source sites through another scanner, in a whole run: where it is told, and that it finds a cause that is there.

Positive cubes have a sharp ball, negative ones the same mass drawn out along z. Thick slices draw a ball out, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d

from fedlung.evaluation.comparison import are_paired
from fedlung.patches.archive import PatchArchive
from fedlung.protocol import EvaluateReply, decode

SLAB_MM = 7.0
LEARNING = {"model.stem": "half", "federation.local-epochs": 3, "evaluate.replicates": 100}


def drawn_out(cubes_NDHW: np.ndarray) -> np.ndarray:
    """Means along z over the slab, at every voxel."""
    return uniform_filter1d(cubes_NDHW.astype(float), round(SLAB_MM), axis=1, mode="nearest")


def sharp_and_drawn_out(archive: PatchArchive) -> PatchArchive:
    """Sharp balls are positive, drawn-out ones negative, in noise; the held-out site has thick slices for all."""
    edge, rng = archive.cubes_NDHW.shape[1], np.random.default_rng(0)
    axes = np.meshgrid(*[np.arange(edge) - (edge - 1) / 2] * 3, indexing="ij")
    ball_DHW = 160.0 * (sum(axis**2 for axis in axes) < 6.0)
    scene_NDHW = np.where(archive.label_N[:, None, None, None] == 1, ball_DHW, drawn_out(ball_DHW[None]))
    thick = archive.site_N == "Omega"
    scene_NDHW[thick] = drawn_out(scene_NDHW[thick])
    noise_NDHW = rng.normal(60.0, 8.0, archive.cubes_NDHW.shape)
    return replace(archive, cubes_NDHW=np.clip(scene_NDHW + noise_NDHW, 0, 255).astype(np.uint8))


class Listener:
    """Remembers every answer to an evaluation."""

    def __init__(self) -> None:
        self.replies: list[EvaluateReply] = []

    def __call__(self, node_id, reply):
        if reply.metadata.message_type == "evaluate" and reply.has_content():
            self.replies.append(decode(EvaluateReply, reply.content))
        return reply

    @property
    def telling(self) -> list[str]:
        """Who has told of rescanned examples, in whichever round."""
        return sorted(reply.site for reply in self.replies if "rescanned" in reply.scores)

    @property
    def final(self) -> dict[str, EvaluateReply]:
        return {reply.site: reply for reply in self.replies if reply.scores["model"].num_replicates}


def judged(federation, name: str, **knobs: Any):
    grid = federation.grid(**knobs)
    grid.between = listener = Listener()
    return federation.run(grid, name), listener


def test_the_source_sites_tell_of_it_once_and_nothing_else_changes(federation) -> None:
    (plain, silent), (run, listener) = (
        judged(federation, name, **{"rescan.thickness-mm": thickness_mm})
        for name, thickness_mm in (("plain", 0.0), ("thick", SLAB_MM))
    )
    assert silent.telling == [] and plain.report["rescanned"] is None
    assert listener.telling == ["Alpha", "Beta", "Gamma"]  # Omega is held out
    assert [row["site"] for row in run.report["rescanned"]["rows"]] == listener.telling
    assert run.weights(2) == plain.weights(2)
    for key in ("curves", "gap", "mean_sources"):
        assert run.report[key] == plain.report[key]
    for site in listener.telling:
        scores = listener.final[site].scores
        assert are_paired(scores["model"], scores["rescanned"])
        assert scores["rescanned"].num_positive == scores["model"].num_positive


def test_thick_slices_cost_the_source_sites_what_they_cost_the_site_that_has_them(federation, archive) -> None:
    """The model goes by the balls' sharpness; the held-out site differs in its slices alone."""
    federation.write(sharp_and_drawn_out(archive(num_patients=36)))
    run, _ = judged(federation, "thick", **LEARNING, **{"rescan.thickness-mm": SLAB_MM})
    found, gap = run.report["rescanned"], run.report["gap"]["auc"]
    assert gap["low"] > 0.0
    for row in found["rows"]:
        assert row["auc"]["value"] > 0.9
        assert row["cost"]["difference"]["low"] > 0.0 and row["cost"]["p_value"] < 0.05
    assert 0.5 < found["share"]["value"] < 1.5
    assert found["share"]["low"] <= found["share"]["value"] <= found["share"]["high"]
    assert any("virtual scanner" in claim for claim in run.report["claims"])
