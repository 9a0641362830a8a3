"""Native spacing to a cube of 128 voxels along each edge, antialiased."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import inputs
import numpy as np
import torch
from scipy import ndimage
from timing import Way, begin, parser, race

from fedlung.ct import Volume
from fedlung.preprocess.resample import cube_target, resample

MONAI = "MONAI Spacing + Crop + Resize (aliased)"


def by_fedlung(volume: Volume, edge: int, interpolation: str) -> torch.Tensor:
    return resample(
        torch.from_numpy(volume.voxels_DHW),
        volume.geometry,
        cube_target(volume.geometry, edge),
        interpolation=interpolation,
        antialias=True,
        device=torch.device("cpu"),
    )


def by_monai(volume: Volume, edge: int, *, antialias: bool = False, lazy: bool = False) -> object:
    """To 1 mm, the body, then the cube: the usual three. Lazy ones are fused to one resampling, as far as they can."""
    from monai.data import MetaTensor
    from monai.transforms import Compose, CropForeground, Resize, Spacing

    affine = torch.from_numpy(np.diag([*volume.spacing_mm, 1.0]))
    image = MetaTensor(torch.from_numpy(volume.voxels_DHW[None].astype(np.float32)), affine=affine)
    crop = CropForeground(select_fn=lambda hu: hu > -900, allow_smaller=True)
    resize = Resize((edge, edge, edge), mode="trilinear", anti_aliasing=antialias)
    return Compose([Spacing((1.0, 1.0, 1.0)), crop, resize], lazy=lazy)(image)


def by_scipy(volume: Volume, edge: int) -> np.ndarray:
    """A Gaussian against aliasing, then a zoom."""
    factors = [edge / num for num in volume.voxels_DHW.shape]
    smooth = [max(0.0, (1 / factor - 1) / 2) for factor in factors]
    return ndimage.zoom(ndimage.gaussian_filter(volume.voxels_DHW.astype(np.float32), smooth), factors, order=1)


def main(arguments: Sequence[str] | None = None) -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--antialiased-peer", action="store_true", help="MONAI's Resize antialiased too: slow")
    options = options_of.parse_args(arguments)
    begin(options)
    volume, edge = inputs.chest(quick=options.quick), 24 if options.quick else 128
    ways = [
        Way("fedlung, linear", partial(by_fedlung, volume, edge, "linear")),
        Way("fedlung, Catmull-Rom", partial(by_fedlung, volume, edge, "catmull-rom")),
        Way(MONAI, partial(by_monai, volume, edge), ("monai",)),
        Way("the same, lazy (aliased)", partial(by_monai, volume, edge, lazy=True), ("monai",)),
        Way("SciPy Gaussian + zoom", partial(by_scipy, volume, edge)),
    ]
    if options.antialiased_peer:
        antialiased = partial(by_monai, volume, edge, antialias=True)
        ways.append(Way("the same, antialiased", antialiased, ("monai",)))
    title = f"{volume.voxels_DHW.shape} to {edge} along each edge, antialiased"
    race(title, ways, base=MONAI, rounds=min(options.rounds, 5), target=0.03)


if __name__ == "__main__":
    main()
