"""The sites of a simulation: partition ``i`` is the i-th site of a federation folder.

The folder is the simulating machine's to choose (the environment variable FEDLUNG_SITES), never the run's. Without it
the sites are those of the phantom, each of which makes its own part where it is absent.
"""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from fedlung.ct.phantom import PROFILES, PhantomConfig, default_phantom_folder, write_phantom
from fedlung.errors import DataError
from fedlung.hospital.profile import SiteProfile, load_profile

SITES = "FEDLUNG_SITES"


def simulated_profile(partition_id: int, num_partitions: int) -> SiteProfile:
    """The profile of a simulated site. Raises DataError where the federation has fewer sites than partitions."""
    paths = _site_files()
    names = sorted(PROFILES) if paths is None else [path.parent.name for path in paths]
    if partition_id >= len(names):
        text = f"the federation has {len(names)} sites, there is none for partition {partition_id}"
        raise DataError(text, public=text)
    if paths is None:
        return _phantom_profile(names[partition_id], num_partitions)
    return load_profile(paths[partition_id], num_simulated=num_partitions)


def simulated_file(partition_id: int) -> Path | None:
    """The site.toml of a simulated site; None where it has none."""
    return dict(enumerate(_site_files() or ())).get(partition_id)


def make_data(profile: SiteProfile) -> None:
    """Make a simulated site's part of the default phantom unless it is there; sites that want the same one wait."""
    if os.environ.get(SITES) or not profile.num_simulated:
        return
    folder = default_phantom_folder(PhantomConfig())
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{profile.name}.lock"):
        write_phantom(folder, PhantomConfig(), sites=[profile.name], workers=1)


def _site_files() -> list[Path] | None:
    """Those of the federation folder, in the order of their partitions; None without such a folder."""
    named = os.environ.get(SITES)
    return sorted(Path(named).glob("*/site.toml")) if named else None


def _phantom_profile(name: str, num_partitions: int) -> SiteProfile:
    """As in the phantom's own site.toml, which may not be there yet: a roll call does not wait for CT to be made."""
    folder = default_phantom_folder(PhantomConfig()) / name
    return SiteProfile(
        name=name,
        dicom=folder / "dicom",
        annotations=str(folder / "annotations.csv"),
        store=folder / "cases",
        synthetic=True,
        num_simulated=num_partitions,
    )
