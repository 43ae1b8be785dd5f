"""The tables: what stands in the record stands in them, and no spreadsheet runs any of it."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from exchange_samples import CELLS, HEADER, calls_of, field, long_slide

from edge_runtime.errors import StorageError
from edge_runtime.exchange.tables import write_tables
from edge_runtime.record.slide_record import SlideRecord


def tables_of(path: Path, out: Path) -> dict[str, list[dict[str, str]]]:
    with SlideRecord.open(path) as record:
        write_tables(record, out)
    assert sorted(file.name for file in out.iterdir()) == ["cells.csv", "fields.csv", "slide.csv"]
    return {file.stem: rows_of(file) for file in out.iterdir()}


def rows_of(file: Path) -> list[dict[str, str]]:
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")  # or Excel takes UTF-8 for something else
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream, strict=True))


def test_a_row_for_each_field_and_each_cell(
    recorded: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = recorded(
        field(1, CELLS["parasitized"], CELLS["not-judged"]),
        replace(field(2), reason="out-of-focus", moment=2.5),
        field(3, CELLS["suspect"]),
        calls=calls_of((3, 1, "none"), remark="platelet"),
    )
    found = tables_of(path, tmp_path / "out")
    assert [(row["field"], row["reason"], row["moment"]) for row in found["fields"]] == [
        ("1", "", ""),
        ("2", "out-of-focus", "2.5"),
        ("3", "", ""),
    ]
    assert found["fields"][0]["cells.not_judged"] == found["fields"][0]["cells.parasitized"] == "1"
    told = [
        (row["field"], row["cell"], row["status"], row["probability"], row["call.answer"], row["call.remark"])
        for row in found["cells"]
    ]
    assert told == [
        ("1", "1", "parasitized", "0.875", "", ""),
        ("1", "2", "not-judged", "", "", ""),
        ("3", "1", "rejected", "0.875", "none", "platelet"),
    ]
    assert found["cells"][0]["values.margin"] == "1.5"
    assert found["cells"][0]["box.width"] == "30"
    assert all(row["slide"] == "S-17" for rows in found.values() for row in rows)


def test_the_slides_numbers_have_units_and_none_where_it_is_not_readable(
    recorded: Callable[..., Path], tmp_path: Path
) -> None:
    found = tables_of(recorded(*long_slide(10)), tmp_path / "out")
    told = {row["name"]: row for row in found["slide"]}
    assert told["verdict.word"]["value"] == "parasites-seen"
    assert float(told["interval.low"]["value"]) < float(told["interval.high"]["value"])
    assert told["interval.low"]["unit"].endswith("0 to 1")
    assert "microlitre" in told["interval.per_microlitre.high"]["unit"]
    assert told["counts.parasitized"]["value"] == "120"


def test_a_slide_that_is_not_readable_has_counts_and_no_number(
    recorded: Callable[..., Path], tmp_path: Path
) -> None:
    found = tables_of(recorded(field(1, CELLS["parasitized"])), tmp_path / "out")
    told = {row["name"]: row["value"] for row in found["slide"]}
    assert told["counts.parasitized"] == "1"
    assert told["interval"] == told["limit_of_detection"] == told["share"] == ""


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\uff1d"])
def test_no_text_is_a_formula(
    recorded: Callable[..., Path],
    tmp_path: Path,
    start: str,
) -> None:
    text = f'{start}HYPERLINK("http://x","é, y")'
    negative = replace(CELLS["parasitized"], values={"margin": -2.5})
    calls = calls_of((1, 1, "none"), remark=text, reviewer=text)
    one = replace(field(1, negative), name=text)
    found = tables_of(recorded(one, header=replace(HEADER, slide=text), calls=calls), tmp_path / "out")
    written = [value for rows in found.values() for row in rows for value in row.values()]
    assert written.count(f"'{text}") > 5
    assert text not in written
    assert found["cells"][0]["values.margin"] == "-2.5"  # a number stays one


def test_a_folder_that_holds_something_is_left_alone(recorded: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("kept")
    with SlideRecord.open(recorded(field(1))) as record, pytest.raises(StorageError, match="not an empty"):
        write_tables(record, out)
    assert [file.name for file in out.iterdir()] == ["mine"]
