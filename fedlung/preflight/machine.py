"""What the machine has: processors, memory, a GPU, room on the disk."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

GB = 1e9


@dataclass(frozen=True)
class Machine:
    """Bytes are those of the whole machine, but for the disk's, which are free. ``gpu`` is empty where there is none.

    device  where the site will compute
    """

    num_cpus: int
    memory_bytes: int
    disk_free_bytes: int
    device: str
    gpu: str = ""
    gpu_memory_bytes: int = 0
    cuda_version: str = ""
    python_version: str = platform.python_version()
    torch_version: str = torch.__version__


def inspect_machine(store: Path, device: torch.device) -> Machine:
    """The machine, with the disk on which ``store`` is or will be, and the GPU that computes where one does."""
    of_gpu = device if device.type == "cuda" else torch.device("cuda")
    gpu = torch.cuda.get_device_properties(of_gpu) if torch.cuda.is_available() else None
    return Machine(
        num_cpus=_num_cpus(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_free_bytes=shutil.disk_usage(_nearest_folder(store)).free,
        device=str(device),
        gpu=gpu.name if gpu else "",
        gpu_memory_bytes=gpu.total_memory if gpu else 0,
        cuda_version=(torch.version.cuda or "") if gpu else "",
    )


def _num_cpus() -> int:
    """Those that this process may use, where the system says which."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _nearest_folder(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.is_dir()), Path("/"))
