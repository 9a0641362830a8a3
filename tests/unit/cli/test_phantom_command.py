"""The phantom's switches on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fedlung.cli import main
from fedlung.ct.phantom import PhantomConfig, read_pairs


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs ``fedlung phantom OUT`` with these options; gives the configuration that would be written, or the error."""
    written: list[PhantomConfig] = []
    monkeypatch.setattr("fedlung.ct.phantom.write_phantom", lambda out, cfg, **_: written.append(cfg))

    def run(*options: str) -> PhantomConfig | str:
        monkeypatch.setattr(sys, "argv", ["fedlung", "phantom", "somewhere", *options])
        with pytest.raises(SystemExit):
            main()
        return written.pop() if written else " ".join(capsys.readouterr().err.split())

    return run


def test_without_options_the_phantom_is_the_default_one(asked) -> None:
    assert asked() == PhantomConfig()
    assert asked("--shift", "acquisition") == PhantomConfig()


def test_a_control_is_asked_for_by_its_name(asked) -> None:
    assert asked("--control", "null", "--matrix", "192") == PhantomConfig.for_control("null", matrix=192)
    assert asked("--control", "positive", "--odd-site", "GE") == PhantomConfig.for_control("positive", odd_site="GE")
    assert asked("--control", "positive", "--paired") == PhantomConfig.for_control("positive", paired=True)


def test_shifts_are_switched_on_one_by_one_and_all_others_off(asked) -> None:
    both = asked("--shift", "prevalence", "--shift", "size", "--coverage-mm", "60")
    assert (both.acquisition, both.prevalence, both.size, both.coverage_mm) == ("same", "by-site", "by-site", 60.0)
    nothing, everything = asked("--shift", "none"), asked("--shift", "all")
    assert {nothing.acquisition, nothing.prevalence, nothing.size} == {"same"}
    assert {everything.acquisition, everything.prevalence, everything.size} == {"by-site"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--control", "null", "--shift", "size"], "Give one of the two"),
        (["--shift", "none", "--shift", "size"], "--shift none stands alone, and these are given: none, size"),
        (["--shift", "kernel"], "--shift knows acquisition, prevalence, size, all, none, and is given kernel"),
        (["--odd-site", "GE"], "--odd-site is for --control positive"),
        (["--paired", "--shift", "size"], "every site has the same patients"),
    ],
)
def test_what_does_not_go_together_is_said_in_words(asked, options: list[str], words: str) -> None:
    assert words in asked(*options)


def test_a_paired_phantom_is_written_with_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["--matrix", "64", "--coverage-mm", "40", "--patients", "1", "--workers", "1", "--site", "GE"]
    monkeypatch.setattr(sys, "argv", ["fedlung", "phantom", str(tmp_path), "--control", "null", "--paired", *small])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert (tmp_path / "GE" / "site.toml").is_file()
    assert [row.virtual_patient for row in read_pairs(tmp_path)] == [0, 0, 0, 0]
