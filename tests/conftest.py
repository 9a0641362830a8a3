"""What all tests share: where the real data are, one thread of torch, and a console of a known width."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from fedlung.cli import progress

ROOT = Path(__file__).resolve().parents[1]

torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked ``gpu`` skip where there is none, also when they are asked for."""
    if item.get_closest_marker("gpu") is not None and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture
def wide_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a verb prints has room for a temporary folder's path, whatever terminal the tests run in."""
    monkeypatch.setattr(progress.console, "width", 320)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real LIDC-IDRI data; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("FEDLUNG_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set FEDLUNG_DATA to a folder with lidc-idri/ and tables/")
    return folder


@pytest.fixture(scope="session")
def lidc_folder(shared_data: Path) -> Path:
    """The folder of whole LIDC-IDRI series."""
    return shared_data / "lidc-idri"
