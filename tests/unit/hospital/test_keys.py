"""The site's secret: kept for its owner only, in a file or a keyring, and never replaced beside cases that it named."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.hospital.keys import KEY_FILE, kept_key
from fedlung.hospital.profile import SiteProfile, load_profile
from fedlung.preprocess.prepare import keyed_name
from fedlung.preprocess.store import CaseStore

SITE = 'name = "North"\ndicom = "dicom"\nannotations = "annotations.csv"\n'
IN_KEYRING = "keyring:fedlung/North"


class FakeKeyring(ModuleType):
    """A keyring that may be locked."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False
        self.errors = ModuleType("keyring.errors")
        self.errors.KeyringError = type("KeyringError", (Exception,), {})

    def get_password(self, service: str, name: str) -> str | None:
        if self.locked:
            raise self.errors.KeyringError
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        self.kept[service, name] = password


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> FakeKeyring:
    fake = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", fake)
    monkeypatch.setitem(sys.modules, "keyring.errors", fake.errors)
    return fake


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / KEY_FILE
    path.write_bytes(bytes(32))
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"Run: chmod 600 '{path}'") as refusal:
        kept_key(path, tmp_path / "cases")
    assert refusal.value.public == "the site's key can be read by others than its owner"
    path.chmod(0o600)
    assert kept_key(path, tmp_path / "cases") == bytes(32)


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_key(tmp_path / KEY_FILE, tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="chown 4711") as refusal:
        kept_key(tmp_path / KEY_FILE, tmp_path)
    assert str(tmp_path) not in refusal.value.public


def test_a_new_key_is_whole_random_and_its_owners_alone(tmp_path: Path) -> None:
    keys = [kept_key(tmp_path / name, tmp_path) for name in "ab"]
    assert keys[0] != keys[1] and {len(key) for key in keys} == {32}
    assert kept_key(tmp_path / "a", tmp_path) == keys[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_key_that_another_process_just_made_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(source: str, target: Path) -> None:
        target.write_bytes(bytes(32))
        target.chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert kept_key(tmp_path / KEY_FILE, tmp_path) == bytes(32)


@pytest.mark.parametrize("key", [None, IN_KEYRING])
def test_a_lost_key_is_not_replaced_where_there_is_a_store(tmp_path: Path, keyring, key: str | None) -> None:
    named = key or tmp_path / KEY_FILE
    CaseStore.open(tmp_path / "cases" / "0123", "fingerprint")
    with pytest.raises(ConfigError, match=r"is not there, and .* holds cases that it named. Restore it") as refusal:
        kept_key(named, tmp_path / "cases")
    assert refusal.value.public == "the site's key is missing, and its store has cases"
    assert not keyring.kept and not (tmp_path / KEY_FILE).exists()


def test_a_key_in_the_keyring_is_made_once(tmp_path: Path, keyring: FakeKeyring) -> None:
    (tmp_path / "site.toml").write_text(f'{SITE}key = "{IN_KEYRING}"\n')
    key = load_profile(tmp_path / "site.toml").site_key()
    assert keyring.kept == {("fedlung", "North"): key.hex()}
    assert load_profile(tmp_path / "site.toml").site_key() == key
    assert not (tmp_path / KEY_FILE).exists()


@pytest.mark.parametrize(("content", "words"), [("zz", "gives no key"), ("ab", "has 1 bytes, expected 32")])
def test_what_is_no_key_in_the_keyring_is_refused(tmp_path: Path, keyring, content: str, words: str) -> None:
    keyring.kept["fedlung", "North"] = content
    with pytest.raises(ConfigError, match=words):
        kept_key(IN_KEYRING, tmp_path)


def test_a_locked_keyring_is_told_with_the_mend(tmp_path: Path, keyring: FakeKeyring) -> None:
    keyring.locked = True
    with pytest.raises(ConfigError, match="must be unlocked") as refusal:
        kept_key(IN_KEYRING, tmp_path)
    assert refusal.value.public == "the site's key cannot be had from the system's keyring"


def test_without_the_package_the_command_that_installs_it_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"pip install \"fedlung\[keyring\]\""):
        kept_key(IN_KEYRING, tmp_path)


@pytest.mark.parametrize("key", ["keyring:", "keyring:North", "keyring:/North", "keyring:fedlung/"])
def test_a_keyring_name_without_its_two_parts_is_a_mistake_in_the_file(tmp_path: Path, key: str) -> None:
    (tmp_path / "site.toml").write_text(f'{SITE}key = "{key}"\n')
    with pytest.raises(ConfigError, match=r'key: .*expected "keyring:SERVICE/NAME"'):
        load_profile(tmp_path / "site.toml")


def test_what_is_made_of_a_key_is_what_it_was() -> None:
    """Names and seeds of sites that have a store must not change; both are recomputed here from their definition."""
    profile = SiteProfile(name="A", archive=Path("x"), num_simulated=2)
    key = hashlib.sha256(b"simulated site A").digest()
    assert profile.site_key() == key
    assert keyed_name(key, "1.2.3") == "bba8cc4c0a649c0e440649ee1586b462"
    assert profile.bootstrap_seed == int.from_bytes(hashlib.sha256(b"bootstrap" + key).digest()[:8], "big") >> 1


def test_a_store_is_encrypted_only_where_the_site_itself_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    assert load_profile(tmp_path / "site.toml").store_secret() is None
    (tmp_path / "site.toml").write_text(f"{SITE}encrypt = true\n")
    profile = load_profile(tmp_path / "site.toml")
    assert profile.store_secret() == profile.site_key()
    (tmp_path / "site.toml").write_text(f'{SITE}encrypt = "yes"\n')
    with pytest.raises(ConfigError, match="encrypt:"):
        load_profile(tmp_path / "site.toml")


def test_the_runs_configuration_says_nothing_of_keys_or_of_what_is_repaired() -> None:
    knobs = RunConfig().to_run_config()
    assert not [knob for knob in knobs if any(word in knob for word in ("key", "encrypt", "repair", "store", "secret"))]


def test_what_may_be_repaired_is_a_list_of_known_words(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(f'{SITE}repair = ["tilt", "missing-slices"]\n')
    assert load_profile(tmp_path / "site.toml").repair == {"tilt", "missing-slices"}
    (tmp_path / "site.toml").write_text(f'{SITE}repair = ["everything"]\n')
    with pytest.raises(ConfigError, match=r"repair.*'missing-slices', 'uneven-steps', 'tilt' or 'in-plane-jitter'"):
        load_profile(tmp_path / "site.toml")
