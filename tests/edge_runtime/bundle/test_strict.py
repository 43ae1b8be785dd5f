"""JSON is read into dataclasses as they say: nothing missing, left over, guessed or made something else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from edge_runtime.bundle.strict import MisfitError, read_strictly


@dataclass(frozen=True)
class Lens:
    power: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Microscope:
    lens: Lens
    light: Literal["warm", "cool"]
    owner: str | None
    range: tuple[float, float]
    counts: Mapping[str, int]
    notes: Mapping[str, Any]
    oiled: bool = False


def whole(**changes: object) -> dict[str, object]:
    return {
        "lens": {"power": 100, "names": ["plan", "apo"]},
        "light": "warm",
        "owner": None,
        "range": [0.0, 1],
        "counts": {"cells": 3},
        "notes": {"anything": [1, {"at": None}]},
        "oiled": True,
    } | changes


def refused(raw: object) -> str:
    with pytest.raises(MisfitError) as caught:
        read_strictly(Microscope, raw, "it.json")
    return str(caught.value)


def test_every_value_arrives_where_it_belongs() -> None:
    assert read_strictly(Microscope, whole(), "it.json") == Microscope(
        lens=Lens(100, ("plan", "apo")),
        light="warm",
        owner=None,
        range=(0.0, 1.0),
        counts={"cells": 3},
        notes={"anything": [1, {"at": None}]},
        oiled=True,
    )
    assert read_strictly(Microscope, whole(owner="ward 3"), "it.json").owner == "ward 3"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"colour": "red"}, "it.json: unknown key 'colour'"),
        ({"lens": {"power": 1.0}}, "it.json, lens: missing key 'names'"),
        ({"lens": {"power": 1.0, "names": [], "zoom": 2}}, "it.json, lens: unknown key 'zoom'"),
        ({"lens": None}, "it.json, lens: missing key 'names', missing key 'power'"),
        ({"lens": {"power": "1", "names": []}}, "it.json, lens: power cannot be '1'"),
        ({"lens": {"power": True, "names": []}}, "it.json, lens: power cannot be True"),
        ({"lens": {"power": 2**53, "names": []}}, "it.json, lens: power cannot be 9007199254740992"),
        ({"lens": {"power": 1.0, "names": ["a", 1]}}, "it.json, lens: names cannot be ['a', 1]"),
        ({"light": "blue"}, "it.json: light cannot be 'blue'"),
        ({"light": None}, "it.json: light cannot be None"),
        ({"light": ["warm"]}, "it.json: light cannot be ['warm']"),
        ({"owner": 3}, "it.json: owner cannot be 3"),
        ({"range": [0.0]}, "it.json: range cannot be [0.0]"),
        ({"range": [0.0, 1.0, 2.0]}, "it.json: range cannot be [0.0, 1.0, 2.0]"),
        ({"counts": {"cells": 2.5}}, "it.json: counts cannot be {'cells': 2.5}"),
        ({"counts": []}, "it.json: counts cannot be []"),
        ({"notes": None}, "it.json: notes cannot be None"),
        ({"oiled": 1}, "it.json: oiled cannot be 1"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(changes: dict[str, object], told: str) -> None:
    assert refused(whole(**changes)) == told


def test_a_default_does_not_stand_in_for_a_missing_key() -> None:
    raw = whole()
    del raw["oiled"]
    assert refused(raw) == "it.json: missing key 'oiled'"


@pytest.mark.parametrize("raw", [None, [], 3, "text"])
def test_what_is_no_object_has_none_of_the_keys(raw: object) -> None:
    assert refused(raw).startswith("it.json: missing key 'counts', missing key 'lens'")
