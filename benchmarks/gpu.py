"""Resampling and augmentation on a CUDA device, beside MONAI on the same one; transfers there and back included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import augment
import inputs
import numpy as np
import torch
from timing import Way, begin, parser, race

from fedlung.ct import Geometry, Volume
from fedlung.preprocess.resample import cube_target, isotropic_target, resample


def by_fedlung(volume: Volume, target: Geometry, device: str) -> torch.Tensor:
    on = torch.device(device)
    voxels = torch.from_numpy(volume.voxels_DHW)
    return resample(voxels, volume.geometry, target, interpolation="linear", antialias=True, device=on).cpu()


def by_monai(volume: Volume, edge: int = 0) -> torch.Tensor:
    from monai.data import MetaTensor
    from monai.transforms import Resize, Spacing

    affine = torch.from_numpy(np.diag([*volume.spacing_mm, 1.0]))
    image = MetaTensor(torch.from_numpy(volume.voxels_DHW[None]).cuda().float(), affine=affine)
    out = Spacing((1.0, 1.0, 1.0), mode="bilinear")(image)
    return (Resize((edge,) * 3, mode="trilinear")(out) if edge else out).cpu()


def augmented(change: Callable[[torch.Tensor], object], x_BCDHW: torch.Tensor) -> None:
    change(x_BCDHW.cuda())
    torch.cuda.synchronize()


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    if not torch.cuda.is_available():
        print("\nno CUDA device here: nothing to measure")
        return
    print(torch.cuda.get_device_name())
    volume, edge = inputs.chest(quick=options.quick), 24 if options.quick else 128
    for title, target, peer in (
        ("to 1 mm", isotropic_target(volume.geometry, 1.0), partial(by_monai, volume)),
        (f"to {edge} along each edge", cube_target(volume.geometry, edge), partial(by_monai, volume, edge)),
    ):
        ways = [
            Way("fedlung on CUDA, antialiased", partial(by_fedlung, volume, target, "cuda")),
            Way("fedlung on the CPU, antialiased", partial(by_fedlung, volume, target, "cpu")),
            Way("MONAI on CUDA, aliased", peer, ("monai",)),
        ]
        race(f"{volume.voxels_DHW.shape} {title}", ways, base="MONAI on CUDA, aliased", rounds=options.rounds)
    x_BCDHW, rng = torch.rand(32, 1, 64, 64, 64), np.random.default_rng(0)
    ways = [
        Way("fedlung draw + apply on CUDA", partial(augmented, partial(augment.by_fedlung, rng=rng), x_BCDHW)),
        Way("MONAI on CUDA", partial(augmented, augment.by_monai, x_BCDHW), ("monai",)),
    ]
    race("32 cubes of 64", ways, base="MONAI on CUDA", rounds=min(options.rounds, 5), things=(32, "volumes"))


if __name__ == "__main__":
    main()
