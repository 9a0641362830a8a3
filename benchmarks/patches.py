"""Patches of 64 voxels along each edge out of a case store, plain and encrypted, in batches as training takes them."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import inputs
import numpy as np
import torch
from timing import Way, begin, parser, race

from fedlung.config import PrepareConfig
from fedlung.patches.dataset import PatchSet
from fedlung.preprocess import CaseStore, prepare_case, store_fingerprint
from fedlung.preprocess.case import Case

NP_LOAD = "np.load of the volume for each patch"
BATCH = 16
CFG = PrepareConfig()


class Mapped(torch.utils.data.Dataset):
    """The usual data set on memory-mapped volumes: one patch an item."""

    def __init__(self, images: list[Path], starts_N3: np.ndarray, edge: int) -> None:
        self.arrays, self.starts_N3, self.edge = [np.load(path, mmap_mode="r") for path in images], starts_N3, edge

    def __len__(self) -> int:
        return len(self.starts_N3)

    def __getitem__(self, index: int) -> torch.Tensor:
        return windowed(self.arrays[index % len(self.arrays)], self.starts_N3[index], self.edge)


def windowed(image_DHW: np.ndarray, start_3: np.ndarray, edge: int) -> torch.Tensor:
    z, y, x = (slice(int(at), int(at) + edge) for at in start_3)
    patch = image_DHW[z, y, x].astype(np.float32)
    return torch.from_numpy((patch - CFG.hu_min) / (CFG.hu_max - CFG.hu_min))[None]


def by_fedlung(store: CaseStore, centers_N3: np.ndarray, edge: int) -> None:
    cases = [store.load(case_id) for case_id in store.case_ids]
    num = len(centers_N3)
    nothing = np.zeros(num, dtype=np.int64)
    case_N = np.arange(num) // BATCH % len(cases)  # a batch from one case, as the training loop groups them
    patches = PatchSet(cases, case_N, centers_N3, nothing, nothing.astype(np.float32), size=edge, prepare=CFG)
    for start in range(0, num, BATCH):
        patches.load(np.arange(start, min(start + BATCH, num)))


def by_loader(images: list[Path], starts_N3: np.ndarray, edge: int) -> None:
    for _ in torch.utils.data.DataLoader(Mapped(images, starts_N3, edge), batch_size=BATCH):
        pass


def by_np_load(images: list[Path], starts_N3: np.ndarray, edge: int) -> None:
    for number, start_3 in enumerate(starts_N3):
        windowed(np.load(images[number % len(images)]), start_3, edge)


def filled(folder: Path, cases: list[Case], secret: bytes | None) -> CaseStore:
    store = CaseStore.open(folder, store_fingerprint(CFG), secret=secret)
    for case in cases:
        store.add(case)
    return store


def main(arguments: Sequence[str] | None = None) -> None:
    options_of = parser(__doc__)
    options_of.set_defaults(threads=1)
    options = options_of.parse_args(arguments)
    begin(options)
    edge, num = (16, 32) if options.quick else (64, 512)
    one = prepare_case(inputs.chest(quick=options.quick), [], CFG, site_key=b"key", device=torch.device("cpu"))
    cases = [dataclasses.replace(one, case_id=f"{number:032x}") for number in range(4)]
    high = np.asarray(one.image_DHW.shape) - edge
    starts_N3 = np.random.default_rng(0).integers(0, high, size=(num, 3))
    centers_N3 = starts_N3 + (edge - 1) / 2
    with tempfile.TemporaryDirectory() as temporary:
        plain = filled(Path(temporary, "plain"), cases, None)
        sealed = filled(Path(temporary, "sealed"), cases, os.urandom(32))
        images = [Path(temporary, "plain", "cases", f"{case.case_id}.image.npy") for case in cases]
        few = starts_N3[: num // 16]
        ways = [
            Way("fedlung PatchSet, plain store", partial(by_fedlung, plain, centers_N3, edge)),
            Way("fedlung PatchSet, encrypted store", partial(by_fedlung, sealed, centers_N3, edge)),
            Way("DataLoader on memory maps, no worker", partial(by_loader, images, starts_N3, edge)),
        ]
        title = f"{num} patches of {edge} along each edge from cases of {one.image_DHW.shape}"
        base = "DataLoader on memory maps, no worker"
        race(title, ways, base=base, rounds=options.rounds, things=(num, "patches"))
        print("  target: at least 2,000 patches/s of 64 along each edge")
        slow = [Way(NP_LOAD, partial(by_np_load, images, few, edge))]
        race(f"{len(few)} patches", slow, base=NP_LOAD, rounds=min(3, options.rounds), things=(len(few), "patches"))


if __name__ == "__main__":
    main()
