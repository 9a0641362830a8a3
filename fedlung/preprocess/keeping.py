"""How a store keeps an array or some fields in a file: as they are, or encrypted. Both have the same four verbs.

Reading raises StoreError for a file that is absent or not what was written. Writing is whole or not at all, and raises
OSError where the disk refuses.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import torch

from fedlung.errors import StoreError
from fedlung.files import replacing
from fedlung.preprocess.sealed import SealedArray
from fedlung.preprocess.vault import Label, Vault, damaged, version_of


class Keeping(Protocol):
    """The files of a store. A version is a file's own and changes whenever it is written; "" where none is kept."""

    array_suffix: str
    fields_suffix: str

    def write_array(self, path: Path, label: Label, array: npt.NDArray[Any]) -> str: ...

    def read_array(self, path: Path, label: Label, version: str) -> Any: ...

    def write_fields(self, path: Path, label: Label, fields: dict[str, Any]) -> None: ...

    def read_fields(self, path: Path, label: Label, version: str = "") -> dict[str, Any]: ...

    def version(self, path: Path) -> str: ...


class PlainFiles:
    """.npy, read through the page cache without a copy, and .json."""

    array_suffix, fields_suffix = ".npy", ".json"

    def write_array(self, path: Path, label: Label, array: npt.NDArray[Any]) -> str:
        with replacing(path) as file:
            _save_npy(file, np.ascontiguousarray(array))
        return ""

    def read_array(self, path: Path, label: Label, version: str) -> npt.NDArray[Any]:
        try:
            return mapped_npy(path)
        except (OSError, ValueError) as error:
            raise damaged(path, f"cannot be mapped ({error})") from error

    def write_fields(self, path: Path, label: Label, fields: dict[str, Any]) -> None:
        with replacing(path) as file:
            _dump(file, fields)

    def read_fields(self, path: Path, label: Label, version: str = "") -> dict[str, Any]:
        return read_json(path)

    def version(self, path: Path) -> str:
        return ""


class SealedFiles:
    """Everything encrypted, each file under its own label."""

    array_suffix, fields_suffix = ".sealed", ".fields.sealed"

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    def write_array(self, path: Path, label: Label, array: npt.NDArray[Any]) -> str:
        with replacing(path) as file:
            return self.vault.seal(file, label, array)

    def read_array(self, path: Path, label: Label, version: str) -> SealedArray:
        return SealedArray(self.vault.open(path, label, version=version))

    def write_fields(self, path: Path, label: Label, fields: dict[str, Any]) -> None:
        text = json.dumps(fields, allow_nan=False).encode()
        self.write_array(path, label, np.frombuffer(text, dtype=np.uint8))

    def read_fields(self, path: Path, label: Label, version: str = "") -> dict[str, Any]:
        return json.loads(self.vault.open(path, label, version=version).read().tobytes())

    def version(self, path: Path) -> str:
        return version_of(path)


def _save_npy(file: BinaryIO, array: npt.NDArray[Any]) -> None:
    """As ``np.save``, which does not notice a disk that is full at the last bytes: it never looks at its ``fclose``."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(array.reshape(-1).view(np.uint8).data)


def mapped_npy(path: Path) -> npt.NDArray[Any]:
    """The array of an .npy file as ``np.save`` writes it, memory-mapped and read-only; no file stays open.

    NumPy's own mapping keeps a file descriptor for each array, and the usual limit is 1,024 open files in a process:
    some 500 cases. Raises ValueError for a file that is not whole, or is of another version than small arrays have.
    """
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("unknown version of the .npy format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
    num_bytes = path.stat().st_size
    if fortran_order or dtype.hasobject or num_bytes != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{num_bytes} bytes do not hold {dtype} {shape}")
    content = torch.from_file(str(path), shared=False, size=num_bytes, dtype=torch.uint8).numpy()
    array = content[start:].view(dtype).reshape(shape)
    array.flags.writeable = False
    return array


def read_json(path: Path) -> dict[str, Any]:
    """The fields of a JSON file. Raises StoreError."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    if not isinstance(fields, dict):
        raise damaged(path, "does not hold fields")
    return fields


def write_json(path: Path, fields: dict[str, Any]) -> None:
    """Replace a JSON file. Raises StoreError where the disk refuses."""
    try:
        with replacing(path) as file:
            _dump(file, fields)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error for a disk that refuses."""
    return StoreError(
        f"{path}: cannot be written ({error}); make room or choose another folder.",
        public="the site's case store cannot be written",
    )


def _dump(file: BinaryIO, fields: dict[str, Any]) -> None:
    file.write(json.dumps(fields, allow_nan=False).encode())
