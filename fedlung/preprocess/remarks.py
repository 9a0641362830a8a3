"""What is odd about a volume or its nodules, in words without names: the same code has the same mend everywhere."""

from __future__ import annotations

import re

from fedlung.ct.volume import Volume
from fedlung.preprocess.case import Remark
from fedlung.preprocess.lungs import PLAUSIBLE_L, Lungs
from fedlung.preprocess.tissue import check_tissue

LOOK = "Look at the series."
REMEDIES = {
    "MAYBE_TRUNCATED": "Compare the number of slices with the archive's; export the series again if some are missing.",
    "MAYBE_MERGED": "Compare with the archive's series; split it if they are several.",
    "SEAM": "Look at the series in a coronal view; export it again if it is not of one piece.",
    "NUMBERS_WITH_GAPS": "Compare the number of slices with the archive's.",
    "DERIVED": "Export the original reconstruction where there is one.",
    "NOT_AXIAL": "Export the axial reconstruction where there is one.",
    "LOSSY": "Export the images without lossy compression where the archive has them.",
    "BURNED_IN": "Look at the pixels; take the series out if it shows a name.",
    "LUNGS_NOT_FOUND": "Look at the series; leave it out when it shows no chest.",
    "PATIENT_UNKNOWN": "Export with pseudonyms, else one patient may train and test.",
    "NODULE_OFF_GRID": (
        "Check that the coordinates are this series' own, in DICOM's LPS; if they are, raise prepare.lung-margin-mm."
    ),
    "NODULE_OUTSIDE_LUNG": "Look at them in the image; check that the coordinates are in DICOM's LPS.",
}


def remark(code: str, sentence: str) -> Remark:
    """A remark with its code's mend. ``what`` is empty: whoever keeps it knows what it is about."""
    remedy = "Export the series anew if its original is whole." if code.startswith("REPAIRED_") else LOOK
    return Remark(what="", code=code, sentence=sentence, remedy=REMEDIES.get(code, remedy))


def volume_remarks(volume: Volume, lungs: Lungs) -> list[Remark]:
    """What is odd about a volume as it was read, its tissues and its lungs."""
    remarks = reading_remarks(volume)
    tissue = check_tissue(volume.voxels_DHW)
    if tissue.code:
        remarks.append(Remark(what="", code=tissue.code, sentence=tissue.sentence, remedy=tissue.remedy))
    if not lungs.found:
        sentence = (
            f"{lungs.volume_l:.2f} litres of air inside the body, expected {PLAUSIBLE_L[0]} to {PLAUSIBLE_L[1]}; "
            "the mask is the whole body and nothing is cropped."
        )
        remarks.append(remark("LUNGS_NOT_FOUND", sentence))
    if not volume.patient_id:
        remarks.append(remark("PATIENT_UNKNOWN", "The series names no patient; it counts as a patient of its own."))
    return remarks


def reading_remarks(volume: Volume) -> list[Remark]:
    """What the reader mended, and what it found odd and trusted. Its warnings begin with a code, or have none."""
    remarks = [
        remark(
            f"REPAIRED_{repair.upper().replace('-', '_')}",
            f"resampled along the true positions to mend {repair}, as the site asked for.",
        )
        for repair in volume.repairs
    ]
    for warning in volume.warnings:
        code, colon, sentence = warning.partition(": ")
        named = colon and re.fullmatch("[A-Z][A-Z0-9_]+", code)
        code, sentence = (code, sentence) if named else ("READ_WITH_WARNING", warning)
        if code != "REPAIRED":  # told above, by what was repaired
            remarks.append(remark(code, sentence))
    return remarks
