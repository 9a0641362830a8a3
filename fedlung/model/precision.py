"""How numbers are computed on a device: in bfloat16 or float32, and the same way every time."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from fedlung.config import Precision
from fedlung.errors import ConfigError


def uses_bfloat16(device: torch.device, precision: Precision) -> bool:
    """'auto' means bfloat16 on CUDA only; asked for by name, it is used everywhere."""
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda")


def require_training_precision(device: torch.device, precision: Precision) -> None:
    """Raises ConfigError for training in bfloat16 on a CPU; predicting in it is sound.

    There the weight gradient of a 3D convolution on maps of one or two voxels' edge reads memory that nobody wrote
    (PyTorch 2.13 with oneDNN: other numbers at each call, or NaN). The last stages of a small patch have such maps.
    """
    if device.type == "cpu" and uses_bfloat16(device, precision):
        text = (
            "optimizer.precision: found bfloat16 for training on a CPU, where its gradients of small feature maps are "
            "wrong. Set it to auto (bfloat16 on CUDA, float32 elsewhere) or to float32."
        )
        raise ConfigError(text, public=text)


def autocasting(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """For one forward pass and its loss, no more: autocast keeps its copies of the weights until it is left."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(device, precision))


def deterministic_convolutions() -> AbstractContextManager[None]:
    """Inside, cuDNN takes the same algorithm every time, and float32 means float32.

    TensorFloat-32 has 10 bits of mantissa and would set a GPU's figures apart from a CPU's. The process's own settings
    are put back on leaving.
    """
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
