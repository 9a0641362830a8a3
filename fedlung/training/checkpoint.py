"""Weights on disk: safetensors with what they are, written whole or not at all, checked when read. Never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from fedlung.errors import StoreError
from fedlung.files import replacing

DIGEST_KEY = "sha256"


class Checkpoint(NamedTuple):
    """A model's state and what was said about it; the values of ``metadata`` are whatever JSON can say."""

    state: dict[str, Tensor]
    metadata: dict[str, Any]


def save_checkpoint(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes ``path`` in one move: a reader sees the old file or the new one, and a crash leaves no half of either."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    texts = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    texts[DIGEST_KEY] = digest(tensors, texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(save(tensors, texts))


def load_checkpoint(path: Path) -> Checkpoint:
    """What ``save_checkpoint`` wrote. Raises StoreError where it is absent, damaged or without its digest."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            texts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise _unusable(path, "there is no such file") from None
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _unusable(path, f"it is no safetensors file: {error}") from error
    expected = texts.pop(DIGEST_KEY, None)
    if expected is None:
        raise _unusable(path, f"it has no {DIGEST_KEY} in its metadata")
    if digest(tensors, texts) != expected:
        raise _unusable(path, "its content does not have the sha256 that it was written with")
    return Checkpoint(tensors, {key: json.loads(text) for key, text in texts.items()})


def digest(tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    """SHA-256 over the metadata and each tensor's name, type, shape and bytes, in the order of the names."""
    sha256 = hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():  # of a tensor without elements torch gives no view as bytes
            sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def _unusable(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"checkpoint {path} cannot be used: {reason}. Expected a file that this library wrote and nobody changed: "
        "take another round's checkpoint from the same run, or copy the file again from where it was written.",
        public="the checkpoint is missing, damaged or was changed",
    )
