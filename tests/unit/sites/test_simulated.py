"""A partition is a site of the federation folder, or of the phantom."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlung.ct.phantom import PROFILES, PhantomConfig, default_phantom_folder
from fedlung.errors import DataError
from sites.simulated import make_data, simulated_profile


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no federation folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FEDLUNG_SITES", raising=False)
    return tmp_path


def test_partitions_are_the_sites_of_the_folder_in_the_order_of_their_names(tmp_path: Path, monkeypatch) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "site.toml").write_text(f'name = "{name}"\narchive = "x.npz"\n', encoding="utf-8")
    monkeypatch.setenv("FEDLUNG_SITES", str(tmp_path))
    profiles = [simulated_profile(i, 3) for i in range(3)]
    assert [profile.name for profile in profiles] == ["a", "b", "c"]
    assert all(profile.num_simulated == 3 for profile in profiles)
    with pytest.raises(DataError, match="3 sites, there is none for partition 3"):
        simulated_profile(3, 4)


def test_without_a_folder_the_sites_are_the_phantoms_and_the_roll_call_makes_no_ct(cache: Path) -> None:
    profiles = [simulated_profile(i, len(PROFILES)) for i in range(len(PROFILES))]
    assert [profile.name for profile in profiles] == sorted(PROFILES) == ["GE", "Philips", "SIEMENS", "TOSHIBA"]
    assert all(profile.synthetic for profile in profiles)
    assert not any(cache.iterdir())


def test_a_site_makes_its_own_part_of_the_phantom_only(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(
        "sites.simulated.write_phantom", lambda folder, cfg, *, sites, workers: asked.append((folder, sites))
    )
    make_data(simulated_profile(2, 4))
    assert asked == [(default_phantom_folder(PhantomConfig()), ["SIEMENS"])]
    assert default_phantom_folder(PhantomConfig()).is_relative_to(cache)


def test_a_site_of_a_folder_makes_nothing(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = simulated_profile(0, 4)
    monkeypatch.setenv("FEDLUNG_SITES", str(tmp_path))
    make_data(profile)
    assert not default_phantom_folder(PhantomConfig()).exists()
