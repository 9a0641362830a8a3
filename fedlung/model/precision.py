"""How numbers are computed on a device: in bfloat16 or float32, and the same way every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from fedlung.config import Precision
from fedlung.errors import ConfigError

BFLOAT16_SINCE = (8, 0)  # NVIDIA's Ampere of 2020: torch has cuDNN convolve in it from there on, and is slow before


def uses_bfloat16(device: torch.device, precision: Precision) -> bool:
    """'auto' means bfloat16 on a GPU that is made for it; asked for by name, it is used everywhere."""
    if precision != "auto":
        return precision == "bfloat16"
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= BFLOAT16_SINCE


def require_training_precision(device: torch.device, precision: Precision) -> None:
    """Raises ConfigError for training in bfloat16 on a CPU; predicting in it is sound.

    There the weight gradient of a 3D convolution on maps of one or two voxels' edge reads memory that nobody wrote
    (PyTorch 2.13 with oneDNN: other numbers at each call, or NaN). The last stages of a small patch have such maps.
    """
    if device.type == "cpu" and uses_bfloat16(device, precision):
        text = (
            "optimizer.precision: found bfloat16 for training on a CPU, where its gradients of small feature maps are "
            "wrong. Set it to auto (bfloat16 on a GPU that has it) or to float32."
        )
        raise ConfigError(text, public=text)


def autocasting(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """For one forward pass and its loss, no more: autocast keeps its copies of the weights until it is left."""
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bfloat16(device, precision))


@contextmanager
def deterministic_convolutions() -> Iterator[None]:
    """Inside, cuDNN takes the same algorithm every time, and float32 means float32, in matrix products as well.

    TensorFloat-32 has 10 bits of mantissa and would set a GPU's figures apart from a CPU's. The process's own settings
    are put back on leaving.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
