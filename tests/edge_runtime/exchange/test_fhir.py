"""The FHIR bundle: it validates, its references lead somewhere, and it claims no more than was seen."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from exchange_samples import CELLS, HEADER, calls_of, field, long_slide

from edge_runtime.exchange.fhir import write_fhir
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.texts import ENGLISH


def bundle_of(path: Path) -> dict[str, Any]:
    out = path.with_name("fhir.json")
    with SlideRecord.open(path) as record:
        write_fhir(record, out)
    return json.loads(out.read_text(encoding="utf-8"))


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def observation(bundle: dict[str, Any], loinc: str) -> dict[str, Any]:
    (found,) = (
        one
        for one in resources(bundle, "Observation")
        if one["code"].get("coding", [{}])[0].get("code") == loinc
    )
    return found


def every(value: object, name: str) -> Iterator[Any]:
    """What stands under a name, at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and name in value:
        yield value[name]
    for one in inner:
        yield from every(one, name)


@pytest.mark.parametrize("parasitized", [0, 10, None])
@pytest.mark.parametrize("reviewed", [True, False])
def test_it_validates(
    recorded: Callable[..., Path],
    parasitized: int | None,
    reviewed: bool,
) -> None:
    # It has R4B, in which these resources are what they are in R4.
    models = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources is not installed")
    fields = [field(1, CELLS["suspect"])] if parasitized is None else long_slide(parasitized)
    calls = calls_of((1, 1, "parasite")) if reviewed else []
    full = replace(HEADER, operator="A. Diop", device="0123456789ab", libraries="numpy 2")
    bundle = bundle_of(recorded(*fields, header=full if reviewed else HEADER, calls=calls))
    checked = models.Bundle.model_validate(bundle)
    # It takes every element in; UTC it writes in its own way.
    assert json.loads(checked.model_dump_json(exclude_none=True).replace('Z"', '+00:00"')) == bundle


def test_the_validator_would_tell(recorded: Callable[..., Path]) -> None:
    models = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources is not installed")
    bundle = bundle_of(recorded(field(1)))
    del bundle["entry"][1]["resource"]["code"]
    with pytest.raises(ValueError, match="code"):
        models.Bundle.model_validate(bundle)


@pytest.mark.parametrize("parasitized", [0, None])
def test_codes_of_required_value_sets_and_the_invariants_of_r4(
    recorded: Callable[..., Path], parasitized: int | None
) -> None:
    """Which fhir.resources leaves unchecked: hl7.org/fhir/R4, the pages of these resources."""
    bundle = bundle_of(recorded(*([field(1)] if parasitized is None else long_slide(parasitized))))
    (report,), (device,) = resources(bundle, "DiagnosticReport"), resources(bundle, "Device")
    assert bundle["type"] in {
        "document",
        "message",
        "transaction",
        "batch",
        "history",
        "searchset",
        "collection",
    }
    assert report["status"] in {"registered", "partial", "preliminary", "final", "amended", "corrected"}
    assert report["text"]["status"] in {"generated", "extensions", "additional", "empty"}
    assert {name["type"] for name in device["deviceName"]} <= {"udi-label-name", "model-name", "other"}
    for one in resources(bundle, "Observation"):
        assert one["status"] in {"registered", "preliminary", "final", "amended"}
        values = [name for name in one if name.startswith("value")]
        assert len(values) + ("dataAbsentReason" in one) == 1  # obs-6
        assert one["code"] not in [component["code"] for component in one.get("component", [])]  # obs-7
        for held in every(one, "valueRange"):
            assert held["low"]["value"] <= held["high"]["value"]  # rng-2


def test_every_reference_leads_to_an_entry(recorded: Callable[..., Path]) -> None:
    bundle = bundle_of(recorded(*long_slide(10)))
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(set(urls)) == len(urls) == 6
    assert all(entry["fullUrl"] == f"urn:uuid:{entry['resource']['id']}" for entry in bundle["entry"])
    references = list(every(bundle, "reference"))
    assert len(references) == 10
    assert set(references) <= set(urls)
    assert len(resources(bundle, "DiagnosticReport")[0]["result"]) == len(resources(bundle, "Observation"))


def test_parasites_seen(recorded: Callable[..., Path]) -> None:
    bundle = bundle_of(recorded(*long_slide(10)))
    presence = observation(bundle, "51587-4")["valueCodeableConcept"]["coding"][0]
    assert (presence["system"], presence["code"]) == ("http://snomed.info/sct", "260373001")
    share = observation(bundle, "48427-9")
    interval, asked, called = share["component"]
    low, high = (interval["valueRange"][end]["value"] for end in ("low", "high"))
    assert low < share["valueQuantity"]["value"] < high
    assert share["valueQuantity"]["value"] == pytest.approx(1000 * 120 / 6012, rel=0.3)
    assert (asked["valueInteger"], called["valueInteger"]) == (6012, 120)
    assert {quantity["code"] for quantity in [share["valueQuantity"], *interval["valueRange"].values()]} == {
        "/10*3.{RBCs}"
    }


def test_none_seen_is_told_with_the_limit_of_detection(recorded: Callable[..., Path]) -> None:
    bundle = bundle_of(recorded(*long_slide(0)))
    assert observation(bundle, "51587-4")["valueCodeableConcept"]["coding"][0]["code"] == "260415000"
    (density,) = (one for one in resources(bundle, "Observation") if "coding" not in one["code"])
    limit = density["component"][1]
    assert limit["code"]["text"] == "limit of detection"
    assert limit["valueQuantity"]["value"] > 0
    assert limit["valueQuantity"]["code"] == "/uL"
    assert "assumed" in density["note"][0]["text"]


def test_what_is_not_readable_has_a_reason_and_no_value(recorded: Callable[..., Path]) -> None:
    bundle = bundle_of(recorded(field(1, CELLS["parasitized"])))
    for one in resources(bundle, "Observation"):
        assert one["dataAbsentReason"]["coding"][0]["code"] == "unknown"
        assert "read on" in one["dataAbsentReason"]["text"]
        assert not [name for name in one if name.startswith(("value", "component"))]


def test_no_machine_calls_a_report_final(recorded: Callable[..., Path]) -> None:
    path = recorded(*long_slide(10))
    before = bundle_of(path)
    (report,) = resources(before, "DiagnosticReport")
    assert report["status"] == "partial"
    assert "resultsInterpreter" not in report
    with SlideRecord.open_for_calls(path) as record:
        for call in calls_of((1, 1, "parasite"), (1, 2, "none")):
            record.add_call(call)
    reviewed = bundle_of(path)
    assert [entry["fullUrl"] for entry in reviewed["entry"]] == [
        entry["fullUrl"] for entry in before["entry"]
    ]
    assert reviewed["identifier"]["value"] != before["identifier"]["value"]  # another state of the record
    (report,) = resources(reviewed, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert report["resultsInterpreter"] == [{"display": "N. Khumalo"}]
    assert report["conclusion"].endswith("Cells reviewed by N. Khumalo: 1 none, 1 parasite.")
    assert {one["status"] for one in resources(reviewed, "Observation")} == {"preliminary"}


@pytest.mark.parametrize("parasites", [0, 3])
def test_after_review_it_says_what_people_saw(
    recorded: Callable[..., Path],
    parasites: int,
) -> None:
    """The model called 120 cells parasitized, and twelve perhaps so; people looked at all of them."""
    flagged = [(of, cell) for of in range(1, 13) for cell in (*range(1, 11), 501)]
    told = [(*cell, "parasite" if n < parasites else "none") for n, cell in enumerate(flagged)]
    path = recorded(*long_slide(10), calls=calls_of(*told[:-1]))
    seen = "260373001"
    before = observation(bundle_of(path), "51587-4")  # one cell waits
    assert before["valueCodeableConcept"]["coding"][0]["code"] == seen
    assert "looked at" not in before["method"]["text"]
    with SlideRecord.open_for_calls(path) as record:
        record.add_call(calls_of(told[-1])[0])
    bundle = bundle_of(path)
    after = observation(bundle, "51587-4")
    assert after["valueCodeableConcept"]["coding"][0]["code"] == (seen if parasites else "260415000")
    assert after["method"]["text"].endswith("looked at by N. Khumalo")
    assert observation(bundle, "48427-9")["component"][2]["valueInteger"] == parasites
    assert resources(bundle, "DiagnosticReport")[0]["status"] == "preliminary"


def test_a_parasite_that_a_person_saw_counts_on_a_slide_without_numbers(
    recorded: Callable[..., Path],
) -> None:
    bundle = bundle_of(recorded(field(1, CELLS["suspect"]), calls=calls_of((1, 1, "parasite"))))
    assert observation(bundle, "51587-4")["valueCodeableConcept"]["coding"][0]["code"] == "260373001"
    assert "valueQuantity" not in observation(bundle, "48427-9")
    assert observation(bundle, "48427-9")["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_it_says_what_it_is_for_and_names_no_patient(recorded: Callable[..., Path]) -> None:
    bundle = bundle_of(recorded(*long_slide(10)))
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["conclusion"].startswith(ENGLISH.say("research"))
    assert {"DiagnosticReport", "Observation", "Specimen", "Device"} == {
        entry["resource"]["resourceType"] for entry in bundle["entry"]
    }
    assert not list(every(bundle, "subject"))
    assert {code["code"] for labels in every(bundle, "security") for code in labels} == {"HRESCH"}


def test_what_stands_in_the_page_of_the_report_is_escaped(recorded: Callable[..., Path]) -> None:
    hostile = "<script>alert(1)</script>"
    path = recorded(field(1, CELLS["suspect"]), calls=calls_of((1, 1, "none"), reviewer=hostile))
    (report,) = resources(bundle_of(path), "DiagnosticReport")
    assert hostile not in report["text"]["div"]
    assert hostile in report["conclusion"]


def test_the_same_record_gives_the_same_bundle_and_another_slide_other_names(
    recorded: Callable[..., Path], tmp_path: Path
) -> None:
    path = recorded(field(1))
    first = bundle_of(path)
    assert bundle_of(path) == first
    path.rename(tmp_path / "other.sqlite")
    path.parent.joinpath("fhir.json").unlink()
    path.parent.rmdir()
    other = bundle_of(recorded(field(1), header=replace(HEADER, slide="S-18")))
    ids = [{entry["fullUrl"] for entry in bundle["entry"]} for bundle in (first, other)]
    assert not ids[0] & ids[1]


def test_times_have_a_zone_and_there_is_none_of_a_clock_that_was_never_set(
    recorded: Callable[..., Path],
) -> None:
    bundle = bundle_of(recorded(field(1), finished="1970-01-01T00:10:00+00:00"))
    assert not list(every(bundle, "issued"))
    assert "1970" not in json.dumps(bundle)


def test_the_time_of_a_reading(recorded: Callable[..., Path]) -> None:
    assert set(every(bundle_of(recorded(field(1))), "issued")) == {"2025-01-02T04:00:00+00:00"}
