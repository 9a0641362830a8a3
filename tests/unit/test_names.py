"""One rule for a site's name, wherever it is met."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from fedlung.errors import ConfigError
from fedlung.names import as_site_name, is_site_name, kebab
from fedlung.protocol import SiteName
from fedlung.provisioning import make_kit

GOOD = ["GE", "a", "site-1", "St._Elsewhere.2", "4th", "x" * 64]
BAD = ["", "a b", "a/b", "../a", "-a", ".a", "Köln", "a\n", "(a)", "x" * 65, "a,b"]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_good_everywhere(name: str) -> None:
    assert is_site_name(name) and as_site_name(name) == name
    assert TypeAdapter(SiteName).validate_python(name) == name


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused_everywhere(name: str, tmp_path) -> None:
    assert not is_site_name(name) and is_site_name(as_site_name(name))
    with pytest.raises(ValidationError):
        TypeAdapter(SiteName).validate_python(name)
    with pytest.raises(ConfigError, match="site"):
        make_kit(tmp_path / "kit", "127.0.0.1:8000", [name])


def test_names_in_other_scripts_stay_apart() -> None:
    assert as_site_name("東芝") != as_site_name("日立")
    assert as_site_name(" ") == "unknown"


def test_keys_outside_are_kebab_case() -> None:
    assert kebab("hu_min") == "hu-min"
