"""A held-out site's scores after test-time adaptation to some of its own patients, beside the model's and never theirs.

N examples
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fedlung.config import RunConfig
from fedlung.model.adaptation import adapt_statistics
from fedlung.model.predict import predict_logits
from fedlung.patches.dataset import ExampleSet
from fedlung.seeding import derive


def adapted_logits(
    models: Sequence[nn.Module], examples: ExampleSet, config: RunConfig, *, site: str, device: torch.device
) -> npt.NDArray[np.float64]:
    """logits_N of all examples, by the mean of the models once each was adapted, in place, to a few patients.

    ``evaluate.adapt-patients`` patients are chosen by the run's seed, all of them where there are no more. Their images
    set the statistics and their labels nothing, though patches lie where the annotations put them. The examples judged
    are the model's own, those patients' among them, so that the two scores compare on the same patients.
    """
    rng = derive(config.seed, "adaptation", site)
    chosen = rng.permutation(np.unique(examples.patients_N))[: config.evaluate.adapt_patients]
    images = _SomeExamples(examples, np.flatnonzero(np.isin(examples.patients_N, chosen)))
    batch_size, precision = config.optimizer.batch_size, config.optimizer.precision
    mirrored = config.model.mirrored
    logits = []
    for model in models:
        adapt_statistics(
            model,
            images,
            prior_examples=config.evaluate.adapt_prior,
            batch_size=batch_size,
            device=device,
            precision=precision,
        )
        logits.append(
            predict_logits(
                model, examples, batch_size=batch_size, device=device, precision=precision, mirrored=mirrored
            )
        )
    return np.mean(logits, axis=0)


class _SomeExamples:
    """Some of the examples, without their labels."""

    def __init__(self, examples: ExampleSet, indices_N: npt.NDArray[np.int64]) -> None:
        self._examples, self._indices_N = examples, indices_N

    def __len__(self) -> int:
        return len(self._indices_N)

    def load(self, indices_B: npt.NDArray[np.int64]) -> torch.Tensor:
        return self._examples.load(self._indices_N[indices_B])
