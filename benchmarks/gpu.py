"""From a decoded series to a prepared case, patches and augmentation on a CUDA device, beside MONAI on the same one.

Every time includes the transfers there and back, and ends when the device is done. Before the tables stands how far
the device's results are from the CPU's. ``--device cpu`` runs the same script where there is no CUDA device.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import augment
import inputs
import lungs
import numpy as np
import numpy.typing as npt
import patches
import torch
from timing import Way, begin, parser, race

from fedlung.ct import Geometry, Volume
from fedlung.patches.dataset import PatchSet
from fedlung.preprocess import CaseStore, prepare_case
from fedlung.preprocess.case import Case
from fedlung.preprocess.resample import cube_target, isotropic_target, resample

CPU = torch.device("cpu")
MONAI = "MONAI on the device"
CFG = patches.CFG


def finished(result: object, device: torch.device) -> object:
    """A result, once the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return result


# --- ours ----------------------------------------------------------------------------------------


def resampled(volume: Volume, target: Geometry, device: torch.device) -> torch.Tensor:
    voxels = torch.from_numpy(volume.voxels_DHW)
    return resample(voxels, volume.geometry, target, interpolation="linear", antialias=True, device=device).cpu()


def prepared(volume: Volume, device: torch.device) -> Case:
    return prepare_case(volume, [], CFG, site_key=b"key", device=device)


def batches(store: CaseStore, centers_N3: npt.NDArray, edge: int, device: torch.device) -> None:
    """Patches out of a store, moved to the device and augmented there."""
    cases, num, rng = [store.load(case_id) for case_id in store.case_ids], len(centers_N3), np.random.default_rng(0)
    nothing = np.zeros(num, dtype=np.int64)
    found = PatchSet(cases, nothing, centers_N3, nothing, nothing.astype(np.float32), size=edge, prepare=CFG)
    for start in range(0, num, patches.BATCH):
        x_BCDHW = found.load(np.arange(start, min(start + patches.BATCH, num)))
        augment.by_fedlung(x_BCDHW.to(device), rng)
    finished(None, device)


def augmented(change: Callable[[torch.Tensor], object], x_BCDHW: torch.Tensor, device: torch.device) -> object:
    return finished(change(x_BCDHW.to(device)), device)


# --- MONAI ---------------------------------------------------------------------------------------


def by_monai(volume: Volume, device: torch.device, *, spacing_mm: float = 1.0, edge: int = 0) -> torch.Tensor:
    """To cubic voxels, and to a cube where an edge is given; not antialiased."""
    from monai.transforms import Resize, Spacing

    out = Spacing((spacing_mm,) * 3, mode="bilinear")(_image(volume, device))
    return (Resize((edge,) * 3, mode="trilinear")(out) if edge else out).cpu()


def case_by_monai(volume: Volume, device: torch.device) -> npt.NDArray[np.float32]:
    """The usual transforms: to the case's spacing, window, the foreground; no lungs are looked for."""
    from monai.transforms import Compose, CropForeground, ScaleIntensityRange, Spacing

    steps = [
        Spacing((CFG.spacing_mm,) * 3, mode="bilinear"),
        ScaleIntensityRange(CFG.hu_min, CFG.hu_max, 0.0, 1.0, clip=True),
        CropForeground(select_fn=lambda x: x > 0.1, allow_smaller=True),
    ]
    return np.asarray(Compose(steps)(_image(volume, device)).cpu())


def batches_by_monai(image_DHW: npt.NDArray[np.int16], num: int, edge: int, device: torch.device) -> None:
    """As many cubes cut at random places out of a case in memory, moved to the device and augmented there."""
    from monai.transforms import RandSpatialCropSamples

    image = torch.from_numpy(image_DHW[None].astype(np.float32))
    for start in range(0, num, patches.BATCH):
        cut = RandSpatialCropSamples((edge,) * 3, num_samples=min(patches.BATCH, num - start), random_size=False)
        augment.by_monai(torch.stack([one.as_tensor() for one in cut(image)]).to(device))
    finished(None, device)


def _image(volume: Volume, device: torch.device) -> torch.Tensor:
    from monai.data import MetaTensor

    affine = torch.from_numpy(np.diag([*volume.spacing_mm, 1.0]))
    return MetaTensor(torch.from_numpy(volume.voxels_DHW[None]).to(device).float(), affine=affine)


# --- the tables ----------------------------------------------------------------------------------


def tell_equality(volume: Volume, targets: dict[str, Geometry], device: torch.device) -> None:
    """How far the device's results are from the CPU's."""
    print(f"\n{device} beside the CPU")
    for title, target in targets.items():
        apart = (resampled(volume, target, device) - resampled(volume, target, CPU)).abs().max()
        print(f"  {title}: at most {float(apart):.5f} HU apart")
    here, there = prepared(volume, CPU), prepared(volume, device)
    assert here.geometry == there.geometry, "a case has one grid whatever the device"
    apart_DHW = np.abs(here.image_DHW.astype(np.int32) - there.image_DHW)
    both, either = (np.count_nonzero(how(here.lung_DHW, there.lung_DHW)) for how in (np.logical_and, np.logical_or))
    print(f"  case: at most {apart_DHW.max()} HU apart, in {np.mean(apart_DHW > 0):.2%} of its voxels")
    print(f"  lung mask: intersection over union {both / either:.6f}")


def race_volumes(volume: Volume, targets: dict[str, Geometry], edge: int, device: torch.device, rounds: int) -> None:
    for (title, target), peer_edge in zip(targets.items(), (0, edge), strict=True):
        ways = _both(partial(resampled, volume, target), device)
        ways.append(Way(MONAI, partial(by_monai, volume, device, edge=peer_edge), ("monai",)))
        race(f"{volume.voxels_DHW.shape} {title}; MONAI aliased", ways, base=MONAI, rounds=rounds)
    voxels_DHW = np.clip(volume.voxels_DHW, -1024, 3071).astype(np.int16)
    mask = Way("fedlung on the CPU, as always", partial(lungs.by_fedlung, voxels_DHW, volume.geometry))
    race("lung mask; MONAI has none", [mask], base=mask.name, rounds=rounds)
    ways = _both(partial(prepared, volume), device)
    ways.append(Way(MONAI, partial(case_by_monai, volume, device), ("monai",)))
    race(f"a decoded series to a case at {CFG.spacing_mm} mm; MONAI without lungs", ways, base=MONAI, rounds=rounds)


def _both(run: Callable[[torch.device], object], device: torch.device) -> list[Way]:
    """Ours on the device, and on the CPU if that is another one."""
    on_device = Way(f"fedlung on {device}", lambda: finished(run(device), device))
    return [on_device] if device == CPU else [on_device, Way("fedlung on the CPU", partial(run, CPU))]


def race_patches(volume: Volume, edge: int, num: int, device: torch.device, rounds: int) -> None:
    case, rng = prepared(volume, CPU), np.random.default_rng(0)
    centers_N3 = rng.integers(0, np.asarray(case.image_DHW.shape) - edge, size=(num, 3)) + (edge - 1) / 2
    cubes = f"{num} cubes of {edge} along each edge"
    with tempfile.TemporaryDirectory() as temporary:
        store = patches.filled(Path(temporary), [case], None)
        ways = [
            Way(f"fedlung on {device}", partial(batches, store, centers_N3, edge, device)),
            Way(MONAI, partial(batches_by_monai, case.image_DHW, num, edge, device), ("monai",)),
        ]
        race(f"{cubes} out of a case, augmented", ways, base=MONAI, rounds=rounds, things=(num, "patches"))
    x_BCDHW = torch.rand(num, 1, edge, edge, edge, generator=torch.Generator().manual_seed(0))
    ways = [
        Way(f"fedlung on {device}", partial(augmented, partial(augment.by_fedlung, rng=rng), x_BCDHW, device)),
        Way(MONAI, partial(augmented, augment.by_monai, x_BCDHW, device), ("monai",)),
    ]
    race(f"{cubes}, augmented", ways, base=MONAI, rounds=rounds, things=(num, "volumes"))


def main(arguments: Sequence[str] | None = None) -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--device", default="cuda", help="cpu shows that the script runs")
    options = options_of.parse_args(arguments)
    begin(options)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("\nno CUDA device here: nothing to measure")
        return
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "on the CPU: no measure of a GPU")
    volume, edge = inputs.chest(quick=options.quick), 24 if options.quick else 128
    one_mm, cube = isotropic_target(volume.geometry, 1.0), cube_target(volume.geometry, edge)
    targets = {"to 1 mm": one_mm, f"to {edge} along each edge": cube}
    tell_equality(volume, targets, device)
    race_volumes(volume, targets, edge, device, options.rounds)
    patch_edge, num = (16, 4) if options.quick else (64, 32)
    race_patches(volume, patch_edge, num, device, min(options.rounds, 5))


if __name__ == "__main__":
    main()
