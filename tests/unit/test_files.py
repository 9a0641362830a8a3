"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlung.files import replace_text, replacing


def test_a_text_takes_the_place_of_the_old_one_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    replace_text(path, "ä\r\nb\n")
    assert path.read_bytes() == "ä\r\nb\n".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]


def test_an_error_on_the_way_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half of the n")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
