"""A checkpoint comes back as it was, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fedlung.errors import StoreError
from fedlung.training.checkpoint import load_checkpoint, save_checkpoint

METADATA = {"round": 3, "sites": ["GE", "Zürich"], "auc": 0.875, "note": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small checkpoint on disk."""
    path = tmp_path / "checkpoints" / "round-03.safetensors"
    state = {
        "weight": torch.tensor([[1.0, float("-inf")], [3.5, -0.0]]),
        "half": torch.tensor([0.1], dtype=torch.bfloat16),
        "empty": torch.zeros(0, 4),
        "num_batches_tracked": torch.tensor(7),
    }
    save_checkpoint(path, state, METADATA)
    return path


def test_state_and_metadata_come_back_bit_for_bit(path: Path) -> None:
    state, metadata = load_checkpoint(path)
    assert metadata == METADATA
    assert state["weight"].view(torch.int32).tolist() == [[0x3F800000, -0x00800000], [0x40600000, -0x80000000]]
    assert state["half"].dtype == torch.bfloat16
    assert state["empty"].shape == (0, 4)
    assert state["num_batches_tracked"].item() == 7


def test_any_byte_that_is_changed_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for index in range(len(content)):
        path.write_bytes(content[:index] + bytes([content[index] ^ 0xFF]) + content[index + 1 :])
        with pytest.raises(StoreError):
            load_checkpoint(path)


def test_a_file_cut_short_is_noticed_wherever_it_is_cut(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(StoreError):
            load_checkpoint(path)


def test_a_transposed_weight_is_saved_by_its_values(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3).t()
    save_checkpoint(tmp_path / "w.safetensors", {"w": weight}, {})
    assert torch.equal(load_checkpoint(tmp_path / "w.safetensors").state["w"], weight)


def test_an_absent_file_is_refused_with_words_and_without_its_path_leaving(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"gone\.safetensors cannot be used: there is no such file") as caught:
        load_checkpoint(tmp_path / "gone.safetensors")
    assert "gone" not in caught.value.public


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(StoreError, match="no sha256"):
        load_checkpoint(tmp_path / "foreign.safetensors")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(StoreError, match="no safetensors file"):
        load_checkpoint(tmp_path / "w.pt")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("fedlung.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {"weight": torch.ones(100)}, {})
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
