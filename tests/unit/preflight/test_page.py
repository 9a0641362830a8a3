"""The page: runs nothing, asks for nothing, escapes everything, and says in words what it shows."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from fedlung.ct.series import LeftOut
from fedlung.preflight.estimate import Estimate
from fedlung.preflight.findings import FAIL, PASS, WARN, Finding, SeriesCheck, SiteCheck
from fedlung.preflight.html import duration, needs, page, reasons
from fedlung.preflight.machine import Machine
from fedlung.preflight.style import STYLE

JPEG = b"\xff\xd8\xff\xe0 not really \xff\xd9"
HOSTILE = '<script>alert("x")</script><img src="https://evil.example/?'
MACHINE = Machine(8, 64_000_000_000, 500_000_000_000, "cpu")


def series(number: int, level: str = PASS, code: str = "CODE", **fields: object) -> SeriesCheck:
    findings = () if level == PASS else (Finding(level, code, "odd in 3 places.", "Mend it."),)
    given = {"patient": f"P{number}", "picture": JPEG, "picture_says": "slice 3 of 9, no nodule", "num_slices": 9}
    return SeriesCheck(number, f"1.2.{number}", findings, **{**given, **fields})


@pytest.fixture
def check() -> SiteCheck:
    rows = (series(1), series(2, WARN, kernel=HOSTILE, slice_thickness_mm=2.5), series(3, FAIL, "GONE", picture=b""))
    on_site = (Finding(WARN, "SITE_CODE", f"said {HOSTILE}.", "Look."),)
    estimate = Estimate(2, 2, 30.0, 5e7, 0.5, 40, "resnet10")
    left_out = (LeftOut("/data/ward 7", "NOT_DICOM", "letter to Smith.doc: not DICOM.", "Nothing to do.", 4, False),)
    return SiteCheck(rows, left_out, on_site, MACHINE, estimate)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.found if tag == name]


def test_the_policy_allows_the_pages_own_style_and_images_within_and_nothing_else(check: SiteCheck) -> None:
    tags = Tags(page(check))
    (policy,) = [meta["content"] for meta in tags.of("meta") if "http-equiv" in meta]
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert not any("style" in attrs for _, attrs in tags.found), "inline styles would be refused"


def test_nothing_is_run_and_nothing_is_fetched_whatever_a_sentence_says(check: SiteCheck) -> None:
    text = page(check)
    tags = Tags(text)
    assert not tags.of("script") and not tags.of("link") and not tags.of("iframe")
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in tags.of("img"))
    assert all(str(link["href"]).startswith("#s") for link in tags.of("a"))
    assert "&lt;script&gt;" in text


def test_every_picture_says_what_it_shows_and_is_loaded_when_it_is_looked_at(check: SiteCheck) -> None:
    images = Tags(page(check)).of("img")
    assert [image["alt"] for image in images] == [f"Series {n}: slice 3 of 9, no nodule" for n in (2, 1)]
    assert all(image["loading"] == "lazy" for image in images)


def test_headings_go_down_one_by_one_and_every_section_has_one(check: SiteCheck) -> None:
    tags = Tags(page(check))
    levels = [int(tag[1]) for tag, _ in tags.found if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {section["aria-labelledby"] for section in tags.of("section")} <= set(ids)


def test_neither_a_path_nor_a_file_nor_an_unknown_kernel_nor_a_uid_is_on_it(check: SiteCheck) -> None:
    text = page(check)
    for hidden in ("ward 7", "Smith", "evil.example/?&lt;", "1.2.3"):
        assert hidden not in text.replace("said &lt;script&gt;", "")
    assert "other" in text


def test_what_fails_comes_first_and_codes_are_counted_with_their_series(check: SiteCheck) -> None:
    text = page(check)
    assert text.index('id="s3"') < text.index('id="s2"') < text.index('id="s1"')
    assert [(one.level, one.code, one.numbers) for one in reasons(check)] == [
        (FAIL, "GONE", (3,)),
        (WARN, "CODE", (2,)),
    ]


def test_five_hundred_series_make_a_page_of_some_megabytes(check: SiteCheck) -> None:
    many = tuple(series(number, picture=b"x" * 12_000) for number in range(1, 501))
    assert len(page(replace(check, series=many))) < 12e6


def test_needs_are_the_numbers_of_the_estimate(check: SiteCheck) -> None:
    said = dict(needs(check))
    assert said["Preparing every series"] == "about 60 s, once"
    assert said["Disk for the prepared cases"] == "about 0.10 GB"
    assert said["One epoch of training"] == "about 20 s for 40 steps of resnet10"
    assert said["GPU"] == "none that torch can use"
    assert "Preparing every series" not in dict(needs(replace(check, estimate=None)))


def test_durations_have_the_unit_that_fits() -> None:
    assert [duration(s) for s in (0.42, 40, 720, 12600)] == ["0.4 s", "40 s", "12 min", "3.5 h"]


def test_an_empty_site_has_a_page_as_well() -> None:
    assert "This site can join" in page(SiteCheck((), (), (), MACHINE))
