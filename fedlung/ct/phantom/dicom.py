"""Series on disk: real CT Image Storage, byte for byte the same each time, every header saying SYNTHETIC.

Slices of a series differ in four values only, so pydicom encodes the header once, with stand-ins of fixed width that
are then replaced; that is a hundred times faster than encoding each. Shapes: D slices, H rows, W columns.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from fedlung.ct.phantom.scanner import Scan
from fedlung.seeding import derive, derive_int

DATE, TIME = "20000101", "120000"
COMMENT = "SYNTHETIC: a computed phantom for testing software. Not a patient, not a measurement, not for clinical use."
IMPLEMENTATION_UID = "2.25.182774519320547863319024518273"
# Stand-ins: each occurs where its value belongs and nowhere else, and is as long as the value will be.
Z_STAND_IN, NUMBER_STAND_IN, UID_LEAF = "-9876.543210", "98765432", ".1000"


@dataclass(frozen=True)
class Identity:
    """Who this is: invented names and numbers that depend on seed, site and patient number alone."""

    site: str
    patient: int
    study_uid: str
    series_uid: str

    @classmethod
    def of(cls, seed: int, site: str, patient: int) -> Identity:
        """The identity of a site's patient."""
        study, series = (derive_int(seed, "phantom", site, patient, kind) for kind in ("study", "series"))
        return cls(site, patient, f"2.25.{study}", f"2.25.{series}")

    @property
    def patient_id(self) -> str:
        """DICOM's PatientID."""
        return f"PHANTOM-{self.site}-{self.patient:04d}"

    @property
    def patient_name(self) -> str:
        """DICOM's PatientName."""
        return f"PHANTOM^{self.site}^{self.patient:04d}"


def write_series(
    folder: Path, scan: Scan, identity: Identity, seed: int, *, shift_mm: tuple[float, float, float]
) -> None:
    """Write a scan as one file a slice into a new folder; the files' names say nothing of their order.

    ``shift_mm`` (zyx) leads from the scene's space to the patient's.
    """
    folder.mkdir(parents=True)
    num_slices = len(scan.hu_DHW)
    header = _encoded(_header(scan, identity, shift_mm), identity)
    z_mm = scan.grid.axis_mm(0) + shift_mm[0]
    names = derive(seed, "phantom", identity.site, identity.patient, "names").permutation(num_slices)
    stored_DHW = stored_values(scan)
    for k in range(num_slices):
        number = k + 1 if scan.profile.feet_first else num_slices - k
        path = folder / f"IM{names[k]:05d}.dcm"
        path.write_bytes(_of_slice(header, identity, z_mm[k], number) + stored_DHW[k].tobytes())


def stored_values(scan: Scan) -> npt.NDArray[np.int16] | npt.NDArray[np.uint16]:
    """(D, H, W) little-endian values as this vendor stores them, padded outside its field of view."""
    profile = scan.profile
    stored = scan.hu_DHW.astype(np.int32) - profile.intercept
    if not profile.signed:
        stored = np.maximum(stored, 0)
    if profile.padding is not None:
        _, y, x = scan.grid.open_zyx()
        stored[:, np.hypot(y, x)[0] > 0.5 * profile.fov_mm] = profile.padding
    return stored.astype("<i2" if profile.signed else "<u2")


def _of_slice(header: bytes, identity: Identity, z_mm: float, number: int) -> bytes:
    leaf = f".{1000 + number}"
    return (
        header.replace(f"{identity.series_uid}{UID_LEAF}".encode(), f"{identity.series_uid}{leaf}".encode())
        .replace(Z_STAND_IN.encode(), f"{z_mm:.5f}".ljust(len(Z_STAND_IN)).encode())
        .replace(NUMBER_STAND_IN.encode(), str(number).ljust(len(NUMBER_STAND_IN)).encode())
    )


def _encoded(header: Dataset, identity: Identity) -> bytes:
    """The header with its preamble, up to where the pixels begin."""
    buffer = BytesIO()
    dcmwrite(buffer, header, enforce_file_format=True)
    num_bytes = 2 * header.Rows * header.Columns
    encoded = buffer.getvalue() + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, num_bytes)
    found = [encoded.count(text.encode()) for text in (Z_STAND_IN, NUMBER_STAND_IN, f"{identity.series_uid}{UID_LEAF}")]
    assert found == [2, 1, 2], f"a stand-in occurs by chance in the header: {found}"
    return encoded


def _header(scan: Scan, identity: Identity, shift_mm: tuple[float, float, float]) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = UID(f"{identity.series_uid}{UID_LEAF}")
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    header.SOPClassUID = CTImageStorage
    _say_who(header, identity)
    _say_how(header, scan)
    _say_where(header, scan, shift_mm)
    _say_pixels(header, scan)
    return header


def _say_who(header: Dataset, identity: Identity) -> None:
    header.SpecificCharacterSet = "ISO_IR 100"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = DATE
    header.StudyTime = header.SeriesTime = header.AcquisitionTime = header.ContentTime = TIME
    header.AccessionNumber = header.ReferringPhysicianName = header.PatientBirthDate = header.PatientSex = ""
    header.Modality = "CT"
    header.StudyDescription = header.SeriesDescription = "SYNTHETIC CHEST"
    header.PatientName, header.PatientID = identity.patient_name, identity.patient_id
    header.StudyInstanceUID, header.SeriesInstanceUID = identity.study_uid, identity.series_uid
    header.FrameOfReferenceUID = f"{identity.study_uid}.1"
    header.PositionReferenceIndicator = ""
    header.StudyID, header.SeriesNumber, header.AcquisitionNumber = "1", "2", "1"
    header.ImageComments = COMMENT


def _say_how(header: Dataset, scan: Scan) -> None:
    protocol, profile = scan.protocol, scan.profile
    header.Manufacturer, header.ManufacturerModelName = profile.manufacturer, scan.model
    header.InstitutionName = "SYNTHETIC"
    header.BodyPartExamined = "CHEST"
    header.KVP = str(protocol.kvp)
    header.XRayTubeCurrent = str(round(protocol.tube_current_ma * scan.dose))
    header.ConvolutionKernel = protocol.kernel
    header.SliceThickness = f"{protocol.thickness_mm:g}"
    header.SpacingBetweenSlices = f"{protocol.increment_mm:g}"
    header.ReconstructionDiameter = f"{profile.fov_mm:g}"
    header.PatientPosition = "FFS" if profile.feet_first else "HFS"
    if scan.iodine_hu:
        header.ContrastBolusAgent = "IV"


def _say_where(header: Dataset, scan: Scan, shift_mm: tuple[float, float, float]) -> None:
    _, y_mm, x_mm = (origin + shift for origin, shift in zip(scan.grid.origin_mm, shift_mm, strict=True))
    header.InstanceNumber = NUMBER_STAND_IN
    header.ImagePositionPatient = [f"{x_mm:.5f}", f"{y_mm:.5f}", Z_STAND_IN]
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.SliceLocation = Z_STAND_IN


def _say_pixels(header: Dataset, scan: Scan) -> None:
    profile = scan.profile
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = scan.hu_DHW.shape[1:]
    header.PixelSpacing = [f"{step:.8g}" for step in scan.grid.spacing_mm[1:]]
    bits = 16 if profile.signed else 12
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, bits, bits - 1
    header.PixelRepresentation = int(profile.signed)
    if profile.padding is not None:
        header.PixelPaddingValue = profile.padding
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = str(profile.intercept), "1", "HU"
    header.WindowCenter, header.WindowWidth = "-600", "1500"
