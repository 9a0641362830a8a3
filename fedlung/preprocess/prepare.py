"""A volume in Hounsfield units to a case: clip, lungs, grid, resample, window, nodules.

What changes a pixel is in ``PrepareConfig`` or counted in ``PIPELINE_VERSION``; both are in the store's fingerprint.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from fedlung.config import PrepareConfig
from fedlung.ct.geometry import Geometry
from fedlung.ct.nodule import Nodule
from fedlung.ct.scanners import known_kernel, known_maker
from fedlung.ct.volume import Volume
from fedlung.preprocess.case import Case, Remark, digest_of
from fedlung.preprocess.lungs import Lungs, find_lungs
from fedlung.preprocess.remarks import remark, volume_remarks
from fedlung.preprocess.resample import crop, cube_target, isotropic_target, resample

PIPELINE_VERSION = 3  # one more whenever this package gives another pixel for the same configuration
SCANNER_HU = (-1024, 3071)  # the range of 12 bits, which every scanner has; beyond are padding and metal

logger = logging.getLogger(__name__)


def store_fingerprint(cfg: PrepareConfig) -> str:
    """What a case's pixels depend on, as ``key=value`` words that a person can compare. No more than that: the crop's
    margin without a crop, or the spacing of a cube, changes nothing and is left out."""
    unused = (
        {"spacing_mm", "lung_crop", "lung_margin_mm"} if cfg.cube else set() if cfg.lung_crop else {"lung_margin_mm"}
    )
    settings = cfg.model_dump(mode="json", by_alias=True, exclude=unused)
    return " ".join(f"{key}={value}" for key, value in {"pipeline-version": PIPELINE_VERSION, **settings}.items())


def keyed_name(site_key: bytes, name: str) -> str:
    """32 hex digits of HMAC-SHA256: the same for the same name at one site, and not to be guessed without its key."""
    return hmac.new(site_key, name.encode(), hashlib.sha256).hexdigest()[:32]


def prepare_case(
    volume: Volume, nodules: Sequence[Nodule], cfg: PrepareConfig, *, site_key: bytes, device: torch.device
) -> Case:
    """The case of a volume; what is odd about it goes to the log. See ``prepare_with_remarks``."""
    case, remarks = prepare_with_remarks(volume, nodules, cfg, site_key=site_key, device=device)
    for one in remarks:
        logger.warning("case %s: %s: %s", case.case_id, one.code, one.sentence)
    return case


def prepare_with_remarks(
    volume: Volume, nodules: Sequence[Nodule], cfg: PrepareConfig, *, site_key: bytes, device: torch.device
) -> tuple[Case, tuple[Remark, ...]]:
    """The case of a volume, and what is odd about it, in words without names.

    The array lies in the case's memory layout on the CPU whatever the device. Nodules off the case's grid are left out
    with a remark; those outside of the lung mask stay, with a remark.
    """
    # ORDER: clip before resampling, else metal and padding ring into the tissue beside them. Not yet to the window:
    # averaging clipped bone would darken every edge of a rib.
    low, high = min(SCANNER_HU[0], cfg.hu_min), max(SCANNER_HU[1], cfg.hu_max)
    voxels_DHW = torch.from_numpy(np.clip(volume.voxels_DHW, low, high))
    lungs = find_lungs(voxels_DHW, volume.geometry)
    target = _target(volume.geometry, lungs, cfg)
    hu_DHW = resample(
        voxels_DHW, volume.geometry, target, interpolation=cfg.interpolation, antialias=cfg.antialias, device=device
    )
    lung_DHW = lungs.mask_on(target)
    on_grid, off_grid, nodule_remarks = place_nodules(nodules, target, lung_DHW)
    image_DHW = hu_DHW.clamp_(cfg.hu_min, cfg.hu_max).round_().to(torch.int16).cpu().numpy()
    case = Case(
        case_id=keyed_name(site_key, volume.series_uid),
        patient_key=keyed_name(site_key, volume.patient_id or volume.series_uid),
        image_DHW=image_DHW,
        lung_DHW=lung_DHW,
        geometry=target,
        nodules=on_grid,
        off_grid=off_grid,
        manufacturer=known_maker(volume.acquisition.manufacturer),
        kernel=known_kernel(volume.acquisition.kernel),
        slice_thickness_mm=volume.acquisition.slice_thickness_mm,
        synthetic=volume.acquisition.synthetic,
        image_digest=digest_of(image_DHW),
    )
    return case, (*volume_remarks(volume, lungs), *nodule_remarks)


def place_nodules(
    nodules: Sequence[Nodule], grid: Geometry, lung_DHW: npt.NDArray[np.bool_]
) -> tuple[tuple[Nodule, ...], tuple[Nodule, ...], tuple[Remark, ...]]:
    """The nodules with their centre on the grid, those off it, and remarks on these and on those outside the lungs."""
    if not nodules:
        return (), (), ()
    index_N3 = grid.world_to_index([nodule.center_mm for nodule in nodules])
    on_grid_N = grid.contains(index_N3)
    inside = lung_DHW[tuple(np.rint(index_N3[on_grid_N]).astype(int).clip(0, np.asarray(grid.shape_DHW) - 1).T)]
    remarks = []
    if off := int(np.count_nonzero(~on_grid_N)):
        sentence = f"{off} of {len(nodules)} nodules lie outside of the prepared grid and are not in the case."
        remarks.append(remark("NODULE_OFF_GRID", sentence))
    if outside := int(np.count_nonzero(~inside)):
        sentence = (
            f"{outside} of {len(nodules)} nodules have their centre outside of the lung mask; they stay in the case."
        )
        remarks.append(remark("NODULE_OUTSIDE_LUNG", sentence))
    by_place = {side: tuple(nodules[int(n)] for n in np.flatnonzero(on_grid_N == side)) for side in (True, False)}
    return by_place[True], by_place[False], tuple(remarks)


def _target(source: Geometry, lungs: Lungs, cfg: PrepareConfig) -> Geometry:
    """The case's grid; a crop takes whole voxels of the uncropped one, so both have the same values."""
    if cfg.cube:
        return cube_target(source, cfg.cube)
    whole = isotropic_target(source, cfg.spacing_mm)
    return crop(whole, lungs.box_on(whole, cfg.lung_margin_mm)) if cfg.lung_crop and lungs.found else whole
