"""The sites of a simulation: partition ``i`` is the i-th site of a federation folder.

The folder is the simulating machine's to choose (the environment variable FEDLUNG_SITES), never the run's. Without it
the sites are those of the phantom, each of which makes its own part where it is absent.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedlung.ct.phantom import PROFILES, PhantomConfig, default_phantom_folder, write_phantom
from fedlung.errors import DataError
from sites.profile import SiteProfile, load_profile

SITES = "FEDLUNG_SITES"


def simulated_profile(partition_id: int, num_partitions: int) -> SiteProfile:
    """The profile of a simulated site. Raises DataError where the federation has fewer sites than partitions."""
    named = os.environ.get(SITES)
    paths = sorted(Path(named).glob("*/site.toml")) if named else []
    names = [path.parent.name for path in paths] if named else sorted(PROFILES)
    if partition_id >= len(names):
        text = f"the federation has {len(names)} sites, there is none for partition {partition_id}"
        raise DataError(text, public=text)
    if named:
        return load_profile(paths[partition_id], num_simulated=num_partitions)
    return _phantom_profile(names[partition_id], num_partitions)


def make_data(profile: SiteProfile) -> None:
    """Make a simulated site's part of the default phantom unless it is there; sites that want the same one wait."""
    if os.environ.get(SITES) or not profile.num_simulated:
        return
    folder = default_phantom_folder(PhantomConfig())
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{profile.name}.lock"):
        write_phantom(folder, PhantomConfig(), sites=[profile.name], workers=1)


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


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
