"""What a server checks before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlung.config import RunConfig
from fedlung.errors import ConfigError
from fedlung.launch.server import start_server
from fedlung.provisioning import make_kit


@pytest.mark.parametrize(("days", "num_warnings"), [(20, 1), (365, 0)])
def test_certificates_that_are_about_to_expire_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int, num_warnings: int
) -> None:
    kit = make_kit(tmp_path / "kit", "127.0.0.1:9443", ["North"], days=days)
    with pytest.raises(ConfigError):
        start_server(kit.server, RunConfig(), tmp_path / "runs", app=tmp_path / "no-app")
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == num_warnings
    assert all("expire in 19 days" in text and "fedlung kit" in text for text in warnings)
    assert not (tmp_path / "runs").exists()
