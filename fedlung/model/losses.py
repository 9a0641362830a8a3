"""The focal loss on logits, and its class weights from the counts of all sites together."""

# B batch

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fedlung.config import LossConfig
from fedlung.errors import DataError


def focal_loss(logits_B: Tensor, labels_B: Tensor, *, gamma: float, weights: tuple[float, float]) -> Tensor:
    """Mean over the batch of ``-w_y (1 - p_t)^gamma log p_t`` (Lin et al. 2017, equation 5), a float32 scalar.

    ``p_t`` is the probability given to the true label (0 or 1), ``weights`` are (negative, positive). Everything stays
    in logarithms, so that value and gradient are finite for logits of any size.
    """
    positive_B = labels_B.to(logits_B.device) > 0
    # The sign turns "probability of a positive" into "probability of the truth".
    truth_logits_B = logits_B.float().where(positive_B, -logits_B.float())
    log_p_B = functional.logsigmoid(truth_logits_B)
    log_rest_B = functional.logsigmoid(-truth_logits_B)
    weight_B = truth_logits_B.new_tensor(weights)[positive_B.long()]
    return -(weight_B * (gamma * log_rest_B).exp() * log_p_B).mean()


def class_weights(num_negative: int, num_positive: int, cfg: LossConfig) -> tuple[float, float]:
    """(w_negative, w_positive), which sum to 2, from the counts summed over all sites.

    'effective-number' is proportional to ``(1 - beta) / (1 - beta^n)`` (Cui et al. 2019, equation 2, and section 4.1
    for the sum), 'inverse' to ``1 / n``, 'none' is (1, 1). Raises DataError where a class has no example at all.
    """
    for count, kind in ((num_negative, "negative"), (num_positive, "positive")):
        if count < 1:
            raise _missing_class(kind)
    negative, positive = (_raw_weight(count, cfg) for count in (num_negative, num_positive))
    scale = 2.0 / (negative + positive)
    return negative * scale, positive * scale


def _raw_weight(count: int, cfg: LossConfig) -> float:
    if cfg.alpha == "none":
        return 1.0
    if cfg.alpha == "inverse":
        return 1.0 / count
    return (1.0 - cfg.beta) / (1.0 - cfg.beta**count)


def _missing_class(kind: str) -> DataError:
    text = (
        f"class weights: expected examples of both classes over all training sites, found no {kind} one. "
        "Add a site that has some, or change the task (task.name, task.readers): one class alone teaches nothing."
    )
    return DataError(text, public=text)
