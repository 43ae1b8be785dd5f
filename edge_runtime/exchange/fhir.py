"""A slide as a FHIR R4 bundle: report, observations, specimen and device; no patient (hl7.org/fhir/R4).

Codes are those of LOINC, SNOMED CT, UCUM and HL7. LOINC 51587-4 is "Plasmodium sp [Presence] in Blood by
Light microscopy", 48427-9 "Erythrocytes.Plasmodium sp infected/1000 erythrocytes in Blood"; for a density of
parasitized red cells in a microlitre there is no code that fits, so it has words alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from edge_runtime.console import to_json
from edge_runtime.exchange.entries import Slide, slide_of
from edge_runtime.record.readings import SlideHeader
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.estimate import Estimate
from edge_runtime.report.summary import SlideSummary
from edge_runtime.report.texts import ENGLISH
from edge_runtime.storage import write_whole

Resource = dict[str, Any]

_NAMESPACE = UUID("2fef76aa-0c83-40c5-9f8d-1b886c1fdd40")  # of cellgate's identifiers
_HL7 = "http://terminology.hl7.org/CodeSystem"
_LOINC, _SNOMED = "http://loinc.org", "http://snomed.info/sct"
_PRESENCE = "Plasmodium sp [Presence] in Blood by Light microscopy"
_SHARE = "Erythrocytes.Plasmodium sp infected/1000 erythrocytes in Blood"
_DENSITY = "Erythrocytes infected by Plasmodium sp in a microlitre of blood"
_RESEARCH = {
    "security": [{"system": f"{_HL7}/v3-ActReason", "code": "HRESCH", "display": "healthcare research"}]
}
_RESEARCH_ONLY = ENGLISH.say("research")
_METHOD = "images of a thin blood film, classified by software"
_REVIEWED = "what it called parasitized or doubted looked at by"
_FOUND = {
    "parasites-seen": ("260373001", "Detected"),
    "none-seen": ("260415000", "Not detected"),
}


def write_fhir(record: SlideRecord, path: str | Path) -> Slide:
    """Write a slide as a FHIR R4 bundle in JSON, whole or not at all.

    Args:
        record: of the slide.
        path: of the file.

    Returns:
        The slide as it was written.

    Raises:
        StorageError: the file cannot be written.
    """
    slide = slide_of(record)
    write_whole(Path(path), to_json(fhir_bundle(slide), indent=2) + "\n")
    return slide


def fhir_bundle(slide: Slide) -> Resource:
    """A slide as a FHIR R4 bundle of type "collection"; the same record gives the same bundle."""
    header, issued = slide.header, _issued(slide)
    about = {
        **({"issued": issued} if issued else {}),
        **({"performer": [{"display": header.operator}]} if header.operator else {}),
        "specimen": _reference(header, "specimen"),
        "device": _reference(header, "device"),
    }
    observations = _observations(slide.summary, about)
    resources = {
        "report": _report(slide, list(observations)),
        **observations,
        "specimen": _specimen(header),
        "device": _device(header),
    }
    entries = []
    for role, resource in resources.items():
        named = {"resourceType": resource.pop("resourceType"), "id": _id(header, role), **resource}
        entries.append({"fullUrl": f"urn:uuid:{named['id']}", "resource": named})
    return {
        "resourceType": "Bundle",
        "id": _id(header, "bundle"),
        "identifier": {"type": {"text": "sha256 that seals the slide's record"}, "value": slide.seal},
        "type": "collection",
        "entry": entries,
    }


def _report(slide: Slide, results: Sequence[str]) -> Resource:
    """The report; never "final", which says that an authorized person has verified it.

    R4 calls "partial" what may be unverified, and of that "preliminary" what somebody has verified in part.
    """
    header, issued = slide.header, _issued(slide)
    reviewers = sorted({call.reviewer for call in slide.calls.values()})
    told = _conclusion(slide, reviewers)
    return {
        "resourceType": "DiagnosticReport",
        "meta": _RESEARCH,
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(told)}</p></div>',
        },
        "status": "preliminary" if reviewers else "partial",
        "category": [_coded(f"{_HL7}/v2-0074", "MB", "Microbiology")],
        "code": _coded(_LOINC, "51587-4", _PRESENCE),
        **({"issued": issued} if issued else {}),
        **({"resultsInterpreter": [{"display": name} for name in reviewers]} if reviewers else {}),
        "specimen": [_reference(header, "specimen")],
        "result": [_reference(header, role) for role in results],
        "conclusion": told,
    }


def _conclusion(slide: Slide, reviewers: Sequence[str]) -> str:
    """The verdict, after review where it came to its end, and what people said of the cells."""
    answers = Counter(call.answer for call in slide.calls.values())
    told = ", ".join(f"{number} {answer}" for answer, number in sorted(answers.items()))
    reviewed = f"Cells reviewed by {', '.join(reviewers)}: {told}." if reviewers else "Not reviewed."
    end = slide.summary.last_verdict
    word = ENGLISH.say(f"verdict.{end.word}")
    return f"{_RESEARCH_ONLY} {word}: {'; '.join(end.reasons)}. {reviewed}"


def _observations(summary: SlideSummary, about: Mapping[str, Any]) -> dict[str, Resource]:
    """What was observed, by role; where the slide is not readable there is no number, and why."""
    found, end = summary.last_estimate, summary.last_verdict
    method = _METHOD
    if summary.reviewed and end is summary.reviewed.verdict:
        method = f"{method}, {_REVIEWED} {', '.join(summary.reviewed.reviewers)}"
    codes = {
        "presence": _coded(_LOINC, "51587-4", _PRESENCE),
        "share": _coded(_LOINC, "48427-9", _SHARE),
        "density": {"text": _DENSITY},
    }
    unknown = _coded(f"{_HL7}/data-absent-reason", "unknown", "Unknown", "; ".join(end.reasons))
    values: dict[str, Resource] = {role: {"dataAbsentReason": unknown} for role in codes}
    if end.word in _FOUND:
        values["presence"] = {"valueCodeableConcept": _coded(_SNOMED, *_FOUND[end.word])}
    if found is not None:
        values |= {"share": _share(found), "density": _density(found)}
    return {
        role: {
            "resourceType": "Observation",
            "meta": _RESEARCH,
            "status": "preliminary",
            "category": [_coded(f"{_HL7}/observation-category", "laboratory", "Laboratory")],
            "code": code,
            "method": {"text": method},
            **about,
            **values[role],
        }
        for role, code in codes.items()
    }


def _share(found: Estimate) -> Resource:
    def per_thousand(share: float) -> Resource:
        return _quantity(1000 * share, "per 1000 erythrocytes", "/10*3.{RBCs}")

    counted = {"red cells asked": found.cells, "red cells called parasitized": found.parasitized}
    return {
        "valueQuantity": per_thousand(_best(found)),
        "component": [
            _interval(per_thousand(found.interval.low), per_thousand(found.interval.high)),
            *({"code": {"text": name}, "valueInteger": number} for name, number in counted.items()),
        ],
    }


def _density(found: Estimate) -> Resource:
    def per_microlitre(share: float) -> Resource:
        return _quantity(found.red_cells.density(share), "per microlitre", "/uL")

    components = [_interval(per_microlitre(found.interval.low), per_microlitre(found.interval.high))]
    if found.detectable is not None:
        limit = {"code": {"text": "limit of detection"}, "valueQuantity": per_microlitre(found.detectable)}
        components.append(limit)
    return {
        "valueQuantity": per_microlitre(_best(found)),
        "note": [{"text": f"a microlitre is taken {found.red_cells}"}],
        "component": components,
    }


def _best(found: Estimate) -> float:
    """The share that the interval is of: corrected by the bundle's rates, where these are known."""
    return found.share if found.corrected is None else found.corrected


def _interval(low: Resource, high: Resource) -> Resource:
    """An interval as a component: R4 has no extension for it; a reference range is of healthy people."""
    code = _coded(f"{_HL7}/precision-estimate-type", "CI", "confidence interval", "95 % confidence interval")
    return {"code": code, "valueRange": {"low": low, "high": high}}


def _specimen(header: SlideHeader) -> Resource:
    return {
        "resourceType": "Specimen",
        "identifier": [{"type": {"text": "code of the slide"}, "value": header.slide}],
        "type": _coded(_SNOMED, "119297000", "Blood specimen", "thin blood film"),
    }


def _device(header: SlideHeader) -> Resource:
    known = {"sha256 of the bundle": header.bundle_digest, "device": header.device}
    runs = {"software": header.software, "bundle": header.bundle, "libraries": header.libraries}
    return {
        "resourceType": "Device",
        "identifier": [{"type": {"text": name}, "value": value} for name, value in known.items() if value],
        "deviceName": [{"name": "cellgate", "type": "model-name"}],
        "type": {"text": "software that classifies the cells of a blood film"},
        "version": [{"type": {"text": name}, "value": value} for name, value in runs.items() if value],
        "note": [{"text": _RESEARCH_ONLY}],
    }


def _issued(slide: Slide) -> str | None:
    """When the last of it was known; None where the clock that said so cannot be trusted."""
    return slide.time(max([slide.header.finished or "", *(call.at for call in slide.calls.values())]))


def _coded(system: str, code: str, display: str, text: str = "") -> Resource:
    coding = {"system": system, "code": code, "display": display}
    return {"coding": [coding], "text": text or display}


def _quantity(value: float, unit: str, code: str) -> Resource:
    """Three digits that count: no share of cells is known any better."""
    rounded = float(f"{value:.3g}")
    return {"value": rounded, "unit": unit, "system": "http://unitsofmeasure.org", "code": code}


def _id(header: SlideHeader, role: str) -> str:
    """The same for the same reading, whoever writes it out and whenever."""
    reading = (header.slide, header.source, header.bundle_digest, header.started, role)
    return str(uuid5(_NAMESPACE, "\n".join(reading)))


def _reference(header: SlideHeader, role: str) -> Resource:
    return {"reference": f"urn:uuid:{_id(header, role)}"}
