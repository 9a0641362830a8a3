"""Paired scans: one virtual patient under every scanner, and the table that says which scans are of one patient.

What a model does worse on the same patients under another scanner is the scanner's doing alone. PatientID and UIDs
differ by site all the same, as in real hospitals, so nothing but the table joins a pair.

A leave-one-site-out run on paired sites has the held-out patients' anatomy and nodules in training. That is right for
"what does this scanner change?" and wrong for "how well are new patients done?". For the second question split by the
table's ``virtual_patient``: train on some of them at the source sites, test on the others at the held-out one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedlung.ct.phantom.config import PhantomConfig
from fedlung.ct.phantom.dicom import Identity
from fedlung.ct.phantom.profiles import PROFILES
from fedlung.files import replace_text

PAIRS = "pairs.csv"
COLUMNS = ("virtual_patient", "site", "patient_id", "series_uid")


@dataclass(frozen=True)
class Pairing:
    """A site's patient and the virtual patient who was scanned."""

    virtual_patient: int
    site: str
    patient_id: str
    series_uid: str


def pairings(cfg: PhantomConfig) -> Iterator[Pairing]:
    """Every patient of every site, written yet or not, by virtual patient; none when the phantom is not paired."""
    for patient in range(cfg.patients_per_site if cfg.paired else 0):
        for site in PROFILES:
            identity = Identity.of(cfg.seed, site, patient)
            yield Pairing(patient, site, identity.patient_id, identity.series_uid)


def write_pairs(folder: Path, cfg: PhantomConfig) -> None:
    """Write ``pairs.csv``: the same text whichever sites are written, in one or in several goes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([getattr(pairing, column) for column in COLUMNS] for pairing in pairings(cfg))
    replace_text(folder / PAIRS, text.getvalue())


def read_pairs(folder: Path) -> list[Pairing]:
    """The table of a paired phantom's folder."""
    with (folder / PAIRS).open(newline="", encoding="utf-8") as file:
        return [
            Pairing(int(row["virtual_patient"]), row["site"], row["patient_id"], row["series_uid"])
            for row in csv.DictReader(file)
        ]
