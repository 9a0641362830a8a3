"""Affine, elastic, noise and contrast on every cube of 64, in one thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from timing import Way, begin, parser, race

from fedlung.config import AugmentConfig
from fedlung.patches.augment import apply, draw

BASE = "batchgeneratorsv2"
ALWAYS = AugmentConfig(
    rotation_probability=1.0,
    scale_probability=1.0,
    shift_probability=1.0,
    elastic_probability=1.0,
    noise_probability=1.0,
    contrast_probability=1.0,
    brightness_probability=0.0,
    flip=False,
)


def by_fedlung(x_BCDHW: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    return apply(x_BCDHW, draw(len(x_BCDHW), x_BCDHW.shape[-1], ALWAYS, rng))


def by_batchgenerators(x_BCDHW: torch.Tensor) -> list[object]:
    from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform

    edge = x_BCDHW.shape[-1]
    spatial = SpatialTransform(
        (edge,) * 3,
        0,
        False,
        p_elastic_deform=1.0,
        p_rotation=1.0,
        rotation=(-0.26, 0.26),
        p_scaling=1.0,
        scaling=(0.85, 1.15),
        bg_style_seg_sampling=False,
    )
    noise = GaussianNoiseTransform((0.0004, 0.0004), p_per_channel=1.0)
    contrast = ContrastTransform((0.85, 1.15), False, True, p_per_channel=1.0)
    return [contrast(**noise(**spatial(image=x_CDHW.clone()))) for x_CDHW in x_BCDHW]


def by_torchio(x_BCDHW: torch.Tensor) -> list[object]:
    import torchio

    affine = torchio.RandomAffine(scales=(0.85, 1.15), degrees=15, translation=5)
    elastic = torchio.RandomElasticDeformation(num_control_points=7, max_displacement=4)
    change = torchio.Compose([affine, elastic, torchio.RandomNoise(std=0.02), torchio.RandomGamma((-0.15, 0.15))])
    return [change(x_CDHW) for x_CDHW in x_BCDHW]


def by_monai(x_BCDHW: torch.Tensor) -> list[object]:
    from monai.transforms import Compose, Rand3DElastic, RandAdjustContrast, RandGaussianNoise

    edge = x_BCDHW.shape[-1]
    elastic = Rand3DElastic(
        sigma_range=(5, 7),
        magnitude_range=(50, 100),
        prob=1.0,
        rotate_range=(0.26,) * 3,
        scale_range=(0.15,) * 3,
        translate_range=(5,) * 3,
        spatial_size=(edge,) * 3,
        padding_mode="border",
    )
    change = Compose([elastic, RandGaussianNoise(prob=1.0, std=0.02), RandAdjustContrast(prob=1.0, gamma=(0.85, 1.15))])
    return [change(x_CDHW) for x_CDHW in x_BCDHW]


def main(arguments: Sequence[str] | None = None) -> None:
    options_of = parser(__doc__)
    options_of.set_defaults(threads=1)
    options = options_of.parse_args(arguments)
    begin(options)
    num, edge = (2, 16) if options.quick else (16, 64)
    x_BCDHW = torch.rand(num, 1, edge, edge, edge, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    ways = [
        Way("fedlung draw + apply", partial(by_fedlung, x_BCDHW, rng)),
        Way(BASE, partial(by_batchgenerators, x_BCDHW), ("batchgeneratorsv2",)),
        Way("MONAI", partial(by_monai, x_BCDHW), ("monai",)),
        Way("torchio", partial(by_torchio, x_BCDHW), ("torchio",)),
    ]
    title = f"{num} cubes of {edge} along each edge"
    race(title, ways, base=BASE, rounds=min(options.rounds, 5), things=(num, "volumes"))
    print("  target: at least 50 volumes/s of 64 along each edge in one thread")


if __name__ == "__main__":
    main()
