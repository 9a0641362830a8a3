"""Native spacing to 1 mm isotropic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import inputs
import numpy as np
import torch
from scipy import ndimage
from timing import Way, begin, parser, race

from fedlung.ct import Volume
from fedlung.preprocess.resample import isotropic_target, resample

SIMPLEITK = "SimpleITK Resample, linear"


def by_fedlung(volume: Volume, interpolation: str, antialias: bool) -> torch.Tensor:
    return resample(
        torch.from_numpy(volume.voxels_DHW),
        volume.geometry,
        isotropic_target(volume.geometry, 1.0),
        interpolation=interpolation,
        antialias=antialias,
        device=torch.device("cpu"),
    )


def by_simpleitk(volume: Volume) -> np.ndarray:
    import SimpleITK

    target = isotropic_target(volume.geometry, 1.0)
    image = SimpleITK.GetImageFromArray(volume.voxels_DHW)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.origin_mm)
    size, origin, spacing = target.shape_DHW[::-1], target.origin_mm, target.spacing_mm
    kind = SimpleITK.sitkLinear
    transform, direction = SimpleITK.Transform(), image.GetDirection()
    out = SimpleITK.Resample(image, size, transform, kind, origin, spacing, direction, 0.0, SimpleITK.sitkFloat32)
    return SimpleITK.GetArrayFromImage(out)


def by_monai(volume: Volume) -> object:
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    affine = np.diag([*volume.spacing_mm, 1.0])
    image = MetaTensor(torch.from_numpy(volume.voxels_DHW[None].astype(np.float32)), affine=torch.from_numpy(affine))
    return Spacing((1.0, 1.0, 1.0), mode="bilinear")(image)


def by_torchio(volume: Volume) -> object:
    import torchio

    affine = np.diag([*volume.spacing_mm, 1.0])
    image = torchio.ScalarImage(tensor=torch.from_numpy(volume.voxels_DHW[None]), affine=affine)
    return torchio.Resample(1.0)(image).data


def by_scipy(volume: Volume) -> np.ndarray:
    return ndimage.zoom(volume.voxels_DHW.astype(np.float32), volume.spacing_mm, order=1)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__).parse_args(arguments)
    begin(options)
    volume = inputs.chest(quick=options.quick)
    ways = [
        Way("fedlung, linear", partial(by_fedlung, volume, "linear", False)),
        Way("fedlung, Catmull-Rom, antialiased", partial(by_fedlung, volume, "catmull-rom", True)),
        Way(SIMPLEITK, partial(by_simpleitk, volume), ("SimpleITK",)),
        Way("MONAI Spacing, linear", partial(by_monai, volume), ("monai",)),
        Way("torchio Resample, linear", partial(by_torchio, volume), ("torchio",)),
        Way("SciPy zoom, linear (grid in the wrong place)", partial(by_scipy, volume)),
    ]
    title = f"{volume.voxels_DHW.shape} at {volume.spacing_mm} mm to 1 mm, float32"
    race(title, ways, base=SIMPLEITK, rounds=options.rounds, target=0.5)


if __name__ == "__main__":
    main()
