"""A hospital with more than ten faults: each is named with its mend, and nobody's name leaves the site's own table."""

from __future__ import annotations

import csv
import io
import logging
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from typer.testing import CliRunner

from fedlung.cli.app import app
from fedlung.preflight.public import PublicReport
from fedlung.sitefile import site_toml, write_site_file

NAME, UID_ROOT = "Zebedee^Quixworth", "1.2.826.0.1.3680043.8.498.7"
TWINS = ("TWIN-A", "TWIN-B")
FREE_TEXTS = (
    "Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "StationName", "SeriesDescription", "ProtocolName",
    "StudyDescription", "ImageComments", "DerivationDescription",
)  # fmt: skip


def named(name: str):
    def edit(header: FileDataset, number: int) -> None:
        header.PatientName, header.PatientBirthDate, header.PatientIdentityRemoved = name, "19340117", "NO"
        header.InstitutionName, header.OtherPatientIDs = f"Clinic of {name}", name
        for keyword in FREE_TEXTS:
            setattr(header, keyword, name.partition("^")[2])

    return edit


def set_to(**values: object):
    def edit(header: FileDataset, number: int) -> None:
        for keyword, value in values.items():
            setattr(header, keyword, value)

    return edit


def tilt(header: FileDataset, number: int) -> None:
    header.ImagePositionPatient = [header.ImagePositionPatient[0], -157.5 + 1.3 * number, -87.5 + 5 * number]


def another_patient_half_way(header: FileDataset, number: int) -> None:
    header.PatientID = "P5" if number < 18 else "SOMEBODY-ELSE"


def plant(hospital) -> None:
    """Series 1 and 2 are whole; of the others each has its own fault."""
    hospital.add(1)
    hospital.add(2)
    hospital.add(3, skip=frozenset({17}))
    hospital.add(4, edit=tilt)
    hospital.add(5, edit=another_patient_half_way)
    hospital.add(6, edit=set_to(RescaleIntercept=0), nodule_mm=None)
    hospital.add(7, edit=set_to(SliceThickness=8.0))
    hospital.add(8, nodule_mm=(0.0, 85.0, 20.0))
    hospital.add(9, nodule_mm=(900.0, 0.0, 20.0))
    hospital.add(10, patient=TWINS[0], edit=named(NAME))
    hospital.add(11, patient=TWINS[1], edit=named(NAME))
    hospital.add(12)
    torn = hospital.dicom / "study-12" / "19.dcm"
    torn.write_bytes(torn.read_bytes()[:4000])
    hospital.add(
        13, edit=set_to(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), skip=frozenset(range(1, 36)), nodule_mm=None
    )
    hospital.add(14, edit=set_to(ImageType=["DERIVED", "SECONDARY"]))
    hospital.add(15, patient="P1", study="1.2.3.4.5")
    hospital.add(16, patient="P16", study="1.2.3.4.5")
    hospital.add(17, edit=set_to(PhotometricInterpretation="ZEBEDEE"), nodule_mm=None)
    hospital.add(18, edit=set_to(Modality="ZEBEDEE"), nodule_mm=None)
    with warnings.catch_warnings(action="ignore"):  # pydicom's, that this is no UID
        hospital.add(19, edit=set_to(SeriesInstanceUID=NAME), skip=frozenset({17}), nodule_mm=None)
    hospital.rows += [f"{UID_ROOT}.99,0,0,0,5", "Quixworth Z.,0,0,0,5"]


FAULTS = {
    3: ("FAIL", "NONUNIFORM_OR_MISSING_SLICES"),
    4: ("FAIL", "TILT_OR_INPLANE_SHIFT"),
    5: ("FAIL", "MIXED_PATIENTS"),
    6: ("WARN", "HU_SHIFTED"),
    7: ("WARN", "THICK_SLICES"),
    8: ("WARN", "NODULE_OUTSIDE_LUNG"),
    9: ("WARN", "NODULE_OFF_GRID"),
    10: ("WARN", "SAME_PERSON_TWO_IDS"),
    11: ("WARN", "SAME_PERSON_TWO_IDS"),
    12: ("FAIL", "PIXELDATA_SHORT"),
    14: ("WARN", "DERIVED"),
    15: ("WARN", "SAME_STUDY_TWO_PATIENTS"),
    16: ("WARN", "SAME_STUDY_TWO_PATIENTS"),
    17: ("FAIL", "NOT_MONOCHROME2"),
    19: ("FAIL", "NONUNIFORM_OR_MISSING_SLICES"),
}


@dataclass(frozen=True)
class Outcome:
    """Of ``fedlung check`` on that hospital: what it wrote, printed and logged."""

    folder: Path
    exit_code: int
    printed: str
    logged: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """The site's own table."""
        with (self.folder / "check.series.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, make_hospital) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("planted")
    hospital = make_hospital(folder / "site")
    plant(hospital)
    annotations = hospital.write_annotations()
    write_site_file(hospital.folder, site_toml("North", {"dicom": "dicom", "annotations": annotations.name}))
    log = io.StringIO()
    handler, root = logging.StreamHandler(log), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    words = ["check", str(hospital.folder), "--json", str(folder / "check.json"), "--html", str(folder / "check.html")]
    try:
        result = CliRunner().invoke(app, words, env={"COLUMNS": "200"}, catch_exceptions=False)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    yield Outcome(folder, result.exit_code, result.output, log.getvalue())


@pytest.mark.parametrize("number", FAULTS)
def test_each_planted_fault_is_named_with_its_mend(outcome: Outcome, number: int) -> None:
    level, code = FAULTS[number]
    found = {
        row["code"]: row
        for row in outcome.rows
        if row["folder"].endswith(f"/study-{number}") or row["series_uid"].endswith(f".7.{number}")
    }
    assert code in found
    assert found[code]["level"] == level
    assert found[code]["remedy"]


def test_whole_series_pass_and_nothing_is_said_of_them(outcome: Outcome) -> None:
    (whole,) = [row for row in outcome.rows if row["series_uid"].endswith(".7.2")]
    assert (whole["level"], whole["code"]) == ("PASS", "")


def test_a_localizer_is_a_file_beside_the_series_and_a_series_that_is_not_there_a_row(outcome: Outcome) -> None:
    assert [row["own_words"] for row in outcome.rows if row["code"] == "LOCALIZER"] == ["1 file"]
    absent = [row for row in outcome.rows if row["code"] == "ANNOTATED_BUT_NOT_FOUND"]
    assert [row["level"] for row in absent] == ["FAIL", "FAIL"]


def test_the_console_says_every_code_its_mend_and_that_the_site_can_join(outcome: Outcome) -> None:
    for _, code in FAULTS.values():
        assert code in outcome.printed
    assert "no word that it was removed: 2." in outcome.printed
    assert "The site can join." in outcome.printed
    assert "UserWarning" not in outcome.logged, "of a value that is judged here by itself"
    assert outcome.exit_code == 0


@pytest.mark.parametrize("what", ["check.json", "check.html", "printed", "logged"])
def test_nobody_is_named_and_nothing_is_placed(outcome: Outcome, what: str) -> None:
    text = (outcome.folder / what).read_text() if "." in what else getattr(outcome, what)
    for secret in ("Zebedee", "Quixworth", "ZEBEDEE", "19340117", *TWINS, "SOMEBODY-ELSE", UID_ROOT):
        assert secret not in text
    if what != "printed":  # the site's own terminal, which says where a series lies
        assert "study-" not in text and str(outcome.folder) not in text


def test_nobody_is_named_in_the_case_store_but_in_its_owners_rows(outcome: Outcome) -> None:
    words = ["prepare", str(outcome.folder / "site"), "-s", "prepare.spacing-mm=8"]
    printed = CliRunner().invoke(app, words, env={"COLUMNS": "200"}, catch_exceptions=False).output
    store = outcome.folder / "site" / "cases"
    for_the_owner = {"left-out.csv", "errors.log"}
    texts = [path.read_bytes() for path in store.rglob("*") if path.is_file() and path.name not in for_the_owner]
    assert any(b"B30f" in text for text in texts), "what a header may say is there to be read"
    for secret in (b"zebedee", b"quixworth", b"19340117", *(twin.lower().encode() for twin in TWINS)):
        assert secret not in printed.lower().encode()
        assert not any(secret in text.lower() for text in texts)


def test_what_names_somebody_is_the_owners_alone(outcome: Outcome) -> None:
    for name in ("check.html", "check.series.csv"):
        assert stat.S_IMODE((outcome.folder / name).stat().st_mode) == 0o600


def test_the_counts_keep_to_their_schema_and_to_the_suppression(outcome: Outcome) -> None:
    report = PublicReport.model_validate_json((outcome.folder / "check.json").read_text())
    assert report.num_readable == 11
    assert report.levels == {"PASS": None, "WARN": None}, "one passes, ten have a warning"
    assert report.num_failed is None and report.failed_because is None, "nine cannot be used"
    assert report.slice_thickness_mm is not None
    assert set(report.slice_thickness_mm.values()) == {None}, (
        "ten of 5 mm, one of 8: without a large cell no zero shows"
    )
    assert report.kernels == {"smooth": None, "sharp": None, "unknown": None}, "two of a name that nobody knows"
    assert report.num_patients is None and report.can_join is None, "whether it is below 3 would be told"
    assert report.reasons == () and report.schema_version == 1
