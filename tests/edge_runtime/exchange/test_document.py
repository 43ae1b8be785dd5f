"""The JSON document: its names, its nulls, and that it is written whole and a field at a time."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exchange_samples import CELLS, HEADER, calls_of, field, long_slide

from edge_runtime.errors import CellgateError
from edge_runtime.exchange.document import write_document
from edge_runtime.record.slide_record import SlideRecord


def document_of(path: Path) -> dict[str, Any]:
    out = path.with_name("slide.json")
    with SlideRecord.open(path) as record:
        write_document(record, out)
    return json.loads(out.read_text(encoding="utf-8"))


def test_the_names_that_are_promised(
    recorded: Callable[..., Path],
) -> None:
    found = document_of(recorded(*long_slide(10), calls=calls_of((2, 1, "parasite"))))
    assert {
        "schema",
        "units",
        "counts",
        "verdict",
        "interval",
        "limit_of_detection",
        "fields",
        "cells",
    } <= set(found)
    assert found["verdict"]["word"] == "parasites-seen"
    assert 0 < found["interval"]["low"] < found["share"]["corrected"] < found["interval"]["high"] < 0.1
    red_cells = found["red_cells"]["per_microlitre"]
    assert found["interval"]["per_microlitre"]["low"] == pytest.approx(found["interval"]["low"] * red_cells)
    assert found["limit_of_detection"]["share"] > 0
    assert [field["field"] for field in found["fields"]] == list(range(1, 13))
    assert len(found["cells"]) == 12 * 502
    for status in ("uninfected", "parasitized", "rejected", "not_judged"):
        assert sum(field["cells"][status] for field in found["fields"]) == found["counts"][status]
    called = [cell for cell in found["cells"] if cell["call"]]
    assert [(cell["field"], cell["cell"], cell["status"]) for cell in called] == [(2, 1, "parasitized")]
    assert called[0]["call"]["answer"] == "parasite"
    after = found["reviewed"]
    assert (after["reviewers"], after["cells"], after["waiting"]) == (["N. Khumalo"], 1, 131)
    assert after["verdict"] is after["interval"] is None  # as long as cells wait
    assert sum(cell["status"] == "parasitized" for cell in found["cells"]) == found["counts"]["parasitized"]


def test_not_readable_means_no_number(recorded: Callable[..., Path]) -> None:
    found = document_of(recorded(field(1, CELLS["parasitized"], CELLS["not-judged"])))
    assert found["verdict"]["word"] == "not-readable"
    assert found["interval"] is found["limit_of_detection"] is found["share"] is found["red_cells"] is None
    assert found["cells"][1]["probability"] is None
    assert set(found["cells"][1]["values"].values()) == {None}


def test_a_time_of_a_clock_that_was_never_set_is_none(
    recorded: Callable[..., Path],
) -> None:
    never = "1970-01-01T00:01:00+00:00"
    path = recorded(
        replace(field(1, CELLS["suspect"]), read_at=never),
        field(2),
        header=replace(HEADER, started=never),
        calls=[replace(call, at=never) for call in calls_of((1, 1, "none"))],
    )
    found = document_of(path)
    assert found["slide"]["started"] is None
    assert found["slide"]["finished"]
    assert found["fields"][0]["read_at"] is None
    assert found["fields"][1]["read_at"]
    assert found["cells"][0]["call"]["at"] is None


def test_there_are_no_times_where_the_clock_was_set_meanwhile(
    recorded: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(field(1))
    monkeypatch.setattr(SlideRecord, "clock_doubts", lambda _: ["the clock of this device was set"])
    found = document_of(path)
    assert found["slide"]["clock_doubts"] == ["the clock of this device was set"]
    assert found["slide"]["started"] is found["slide"]["finished"] is found["fields"][0]["read_at"] is None


def test_the_seal_is_that_of_the_record(recorded: Callable[..., Path]) -> None:
    path = recorded(field(1))
    with SlideRecord.open(path) as record:
        assert document_of(path)["slide"]["seal"] == record.seal() != ""


def test_every_unit_is_of_a_name_that_is_there(recorded: Callable[..., Path]) -> None:
    found = document_of(recorded(*long_slide(10)))
    first = found | {name: found[name][0] for name in ("fields", "cells")}
    for name in found["units"]:
        inner = first
        for part in name.split("."):
            assert part in inner, name
            inner = inner[part]


def test_a_record_without_a_field_is_a_document_too(recorded: Callable[..., Path]) -> None:
    found = document_of(recorded())
    assert found["fields"] == found["cells"] == []


def test_a_damaged_record_leaves_the_file_of_before(
    recorded: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(field(1, CELLS["parasitized"]))
    before = document_of(path)

    def broken(_: SlideRecord) -> Any:
        yield field(1, CELLS["parasitized"])
        raise CellgateError("torn")

    monkeypatch.setattr(SlideRecord, "fields", broken)
    with pytest.raises(CellgateError, match="torn"):
        document_of(path)
    assert json.loads(path.with_name("slide.json").read_text()) == before
    assert not list(path.parent.glob("*.part"))
