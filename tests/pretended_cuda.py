"""A device that is not the CPU, on a machine without one: the library's own code on tensors that say ``cuda:0``.

A tensor "on the device" is a CPU tensor whose memory is noted. Two of torch's modes stand between the code and torch:
one sees the calls (``.to``, ``device=``, ``.device``, ``.numpy()``, generators), one every operation, those of the
backward pass too. All is computed by the CPU, so that values can be compared.

It shows, as CUDA does: an error where an operation mixes the device with a CPU tensor of one dimension or more, where a
tensor of the device is made a NumPy array, where a generator is another device's, where memory is short; and, as CUDA
does not, where an operation gives other numbers at each run. It cannot show: the values of CUDA's kernels, operations
and types that CUDA lacks, what cuDNN and cuBLAS choose and take, work that is not done when a call returns, several
devices, other threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
OWN = {Tensor.device: CUDA, Tensor.is_cuda: True}  # attributes
OF_TWO_DEVICES = {"copy_", "set_data", "_has_compatible_shallow_copy_type"}  # by intention
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # by indices that may lie on the CPU
# From the list of torch.use_deterministic_algorithms: they add up in whatever order the threads come.
UNREPEATABLE = {"max_pool3d_with_indices_backward", "grid_sampler_3d_backward", "cumsum"}
LAYERS = ("avg_pool", "_adaptive_avg_pool", "adaptive_max_pool", "upsample_trilinear", "replication_pad")
UNREPEATABLE |= {f"{layer}3d_backward" for layer in LAYERS}
UNREPEATABLE |= {f"{name}{end}" for name in ("index_add", "scatter_add", "scatter_reduce") for end in ("", "_")}


class Device(TorchDispatchMode):
    """What lies on the pretended device, of ``memory_bytes`` where these are limited; it sees every operation."""

    def __init__(self, memory_bytes: int | None) -> None:
        super().__init__()
        self.memory_bytes = memory_bytes
        self.creating = False  # whether what is made of no tensor is made here
        self._memory: dict[int, StorageWeakRef] = {}  # a weak reference keeps an address from being used again

    def has(self, x: Any) -> bool:
        return isinstance(x, Tensor) and x.layout == torch.strided and x.untyped_storage()._cdata in self._memory

    def take(self, x: Tensor) -> Tensor:
        """Notes that the tensor lies here. Raises torch.OutOfMemoryError where there is no room."""
        if not self.has(x):
            self._memory[x.untyped_storage()._cdata] = StorageWeakRef(x.untyped_storage())
            if self.memory_bytes is not None and self._used_bytes() > self.memory_bytes:
                raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return x

    def _used_bytes(self) -> int:
        alive = (ref.cdata for ref in self._memory.values() if not ref.expired())
        return sum(torch.UntypedStorage._new_with_weak_ptr(one).nbytes() for one in alive)

    def __torch_dispatch__(self, func: Any, _: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        name, kwargs = func._schema.name.removeprefix("aten::"), kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(map(self.has, given))
        if here and name not in OF_TWO_DEVICES:
            self._check(name, [args[0], *args[2:3]] if name in INDEXING and self.has(args[0]) else given)
        is_coarse = "convolution" in name and args[0].dtype == torch.bfloat16
        made = _in_float32(func, args) if is_coarse else func(*args, **kwargs)
        if name not in OF_TWO_DEVICES and (here or (self.creating and not given)):
            tree_map_only(Tensor, self.take, made)
        return made

    def _check(self, name: str, given: Sequence[Tensor]) -> None:
        """Raises RuntimeError for a CPU tensor, unless it is a single number and the operation is not a fused one."""
        if name in UNREPEATABLE:
            raise RuntimeError(f"{name} gives other numbers at each run on CUDA")
        if not all(self.has(x) or (x.ndim == 0 and "_fused" not in name) for x in given):
            raise RuntimeError(f"{name}: Expected all tensors to be on the same device, but found cuda:0 and cpu")


class _Calls(TorchFunctionMode):
    """What is asked of torch by name, before it comes down to operations, which know the CPU alone."""

    def __init__(self, device: Device) -> None:
        self._on = device

    def __torch_function__(self, func: Callable, _: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs, is_here = dict(kwargs or {}), self._on.has(next(iter(args), None))
        if getattr(func, "__name__", "") == "__get__":
            return OWN[func.__self__] if is_here and func.__self__ in OWN else func(*args)
        if is_here and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return self._moved(func, *args, **kwargs)
        if to_here := "cuda" in str(kwargs.get("device")):
            del kwargs["device"]
        here = to_here or any(map(self._on.has, tree_leaves((args, kwargs))))
        if getattr(kwargs.get("generator"), "is_cuda", here) != here:
            raise RuntimeError(f"Expected a '{'cuda' if here else 'cpu'}' device type for generator")
        with patch.object(self._on, "creating", here):
            made = func(*args, **kwargs)
        if to_here or (is_here and func is Tensor.new_tensor):
            return self._on.take(made.clone() if func is torch.as_tensor else made)
        return made

    def _moved(self, func: Callable, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if func is not Tensor.to:
            target, dtype = CPU if func is Tensor.cpu else CUDA, None
        elif args and isinstance(args[0], Tensor):
            target, dtype = CUDA if self._on.has(args[0]) else CPU, args[0].dtype
        else:
            target, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        x = x if dtype is None else x.to(dtype)
        if target is not None and (target.type == "cuda") != self._on.has(x):
            with _disable_current_modes():
                x = x.clone()
        return self._on.take(x) if target is not None and target.type == "cuda" else x


class _Generator(torch.Generator):
    """One that remembers whose it is; it draws what the CPU's draws."""

    def __new__(cls, device: torch.device | str = "cpu") -> _Generator:
        made = super().__new__(cls)
        made.is_cuda = torch.device(device).type == "cuda"
        return made


def _in_float32(func: Any, args: Sequence[Any]) -> Any:
    """bfloat16 with sums in float32, as cuDNN's; the CPU's own reads memory that nobody wrote."""
    return tree_map_only(Tensor, Tensor.bfloat16, func(*tree_map_only(Tensor, Tensor.float, args)))


@contextmanager
def pretended_cuda(memory_bytes: int | None = None) -> Iterator[Device]:
    """Inside, and in this thread, there is one CUDA device, with the name "pretended"."""
    gpu, autocast = SimpleNamespace(name="pretended", total_memory=1 << 33, major=9, minor=0), torch.autocast
    said = {"is_available": True, "device_count": 1, "get_device_name": "pretended", "get_device_properties": gpu}
    with (
        patch.multiple(torch.cuda, **{name: Mock(return_value=answer) for name, answer in said.items()}),
        patch.object(torch, "autocast", lambda kind, *how, **more: autocast(kind.replace("cuda", "cpu"), *how, **more)),
        patch.object(torch, "Generator", _Generator),
        Device(memory_bytes) as device,
        _Calls(device),
    ):
        yield device
