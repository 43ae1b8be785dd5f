"""The manifest is read strictly: every key, every type, nothing else."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.bundle.manifest import manifest_from_json, manifest_to_json
from edge_runtime.errors import BundleError

LIMITS = {
    "margin": 0.25,
    "stability": -0.75,
    "confidence": 3.0,
    "texture": -7.5,
    "colour": -6,
    "wholeness": 0,
    "certainty": 2.5,
    "small": 0.5,
    "large": 1.5,
}  # in any order
PARTS = ("input", "detector", "calibrated", "performance", "requires", "provenance")


@pytest.fixture
def raw(tiny_bundle: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((tiny_bundle / "manifest.json").read_text())
    return loaded


def refused(raw: object) -> str:
    with pytest.raises(BundleError) as caught:
        manifest_from_json(raw if isinstance(raw, str) else json.dumps(raw))
    message = str(caught.value)
    assert message.startswith("manifest.json")
    assert "\n" not in message
    return message


def test_what_is_written_is_what_is_read(tiny_bundle: Path) -> None:
    text = (tiny_bundle / "manifest.json").read_text()
    assert manifest_to_json(manifest_from_json(text)) == text


def test_values_arrive_where_they_belong(raw: dict[str, Any]) -> None:
    raw["detector"] = {
        "layers": ["stem", "layer1"],
        "epsilon": 0.5,
        "weights": [1, 2.5],
        "bias": -1.0,
        "outline_low": [-1, -2, -3, -4, -5.5],
        "outline_high": [1, 2, 3, 4, 5],
        "limits": LIMITS,
        "parasitized": [1],
    }
    raw["parity"] = {"logits": 1e-7}
    manifest = manifest_from_json(json.dumps(raw))
    assert manifest.classes == ("uninfected", "parasitized")
    assert manifest.input.size == 64
    assert manifest.detector.layers == ("stem", "layer1")
    assert manifest.detector.weights == (1, 2.5)
    assert (manifest.detector.epsilon, manifest.detector.bias) == (0.5, -1.0)
    assert manifest.detector.outline_low == (-1, -2, -3, -4, -5.5)
    assert manifest.detector.outline_high == (1, 2, 3, 4, 5)
    assert manifest.detector.limits == LIMITS
    assert manifest.parity == {"logits": 1e-7}


@pytest.mark.parametrize("schema", [0, 9, "10", None, 2.5, [3]])
def test_another_schema_is_refused_with_both_versions(raw: dict[str, Any], schema: object) -> None:
    raw["schema"] = schema
    assert f"schema {schema!r}, but this cellgate reads schema 12; " in refused(raw)


@pytest.mark.parametrize("text", ["", "{", "[1", '{"schema": 1', "[" * 100_000, "\0"])
def test_what_is_not_json_is_refused(text: str) -> None:
    assert "not JSON" in refused(text)


@pytest.mark.parametrize("text", ["[]", "1", '"manifest"', "null", "{}"])
def test_other_json_is_refused(text: str) -> None:
    assert "schema None" in refused(text)


@pytest.mark.parametrize("part", ["", *PARTS])
def test_an_unknown_key_is_named_wherever_it_stands(raw: dict[str, Any], part: str) -> None:
    (raw[part] if part else raw)["temperature"] = 1.0
    message = refused(raw)
    assert "unknown key 'temperature'; the bundle was made by another cellgate, export it again" in message
    assert part in message


def test_every_missing_key_is_named(raw: dict[str, Any]) -> None:
    for part in ("", *PARTS):
        for key in raw[part] if part else raw:
            damaged = copy.deepcopy(raw)
            del (damaged[part] if part else damaged)[key]
            message = refused(damaged)
            assert (
                "schema None" in message
                if key == "schema"
                else repr(key) in message or f", {key}: " in message
            )


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def replaced(raw: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return changed


def test_a_value_of_another_type_is_refused_wherever_it_stands(raw: dict[str, Any]) -> None:
    raw["parity"] = {"logits": 1e-7}
    found = list(leaves(raw))
    assert len(found) > 50
    for path, value in found:
        for wrong in (None, {}, [], [[]], True, 10**400, 2.5 if isinstance(value, str | int) else "2.5"):
            if not (
                (isinstance(value, int) and wrong == 10**400) or (value in {True, False} and wrong is True)
            ):
                refused(replaced(raw, path, wrong))


@pytest.mark.parametrize("value", [[], [0.1], [0.1, 0.2, 0.3], {}, 0.1])
def test_an_interval_has_two_ends(raw: dict[str, Any], value: object) -> None:
    raw["performance"]["accuracy_interval"] = value
    assert "accuracy_interval cannot be" in refused(raw)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [None, [], 1, "text"])
def test_a_part_that_is_no_object_is_refused(raw: dict[str, Any], part: str, value: object) -> None:
    raw[part] = value
    assert f"manifest.json, {part}: missing key" in refused(raw)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("input", "size"), 0, "input of 0 pixels"),
        (("input", "color_order"), "BGR", "this cellgate only makes"),
        (("input", "interpolation"), "nearest", "this cellgate only makes"),
        (("input", "range"), [0.0, 255.0], "this cellgate only makes"),
        (("classes",), ["uninfected"], "classes ('uninfected',); expected two or more names"),
        (("classes",), ["ring", "ring"], "classes ('ring', 'ring'); expected two or more names"),
        (("detector", "parasitized"), [], "classes () of 2 count as parasitized"),
        (("detector", "parasitized"), [0, 1], "classes (0, 1) of 2 count as parasitized"),
        (("detector", "parasitized"), [2], "classes (2,) of 2 count as parasitized"),
        (("perturbation",), "fused", "unknown perturbation 'fused'"),
        (("outputs",), ["logits", "logits.smoothed", "distances"], "confidences are needed"),
        (("outputs",), ["logits", "confidences"], "logits, logits.smoothed, confidences are needed"),
        (("detector", "weights"), [1.0], "as many layer weights as layers"),
        (("detector", "limits", "confidence"), float("-inf"), "no finite number"),
        (("detector", "bias"), float("nan"), "no finite number"),
        (("detector", "limits", "stability"), float("nan"), "no finite number"),
        (("detector", "outline_low"), [0.0, 0.0, 0.0, 0.0, float("nan")], "no finite number"),
        (("detector", "outline_low"), [0.0, 0.0], "ranges of the outline"),
        (("detector", "outline_high"), [-1e3] * 5, "each from low to high"),
        (("detector", "limits", "colour"), float("inf"), "no finite number"),
        (("detector", "limits", "texture"), float("nan"), "no finite number"),
        (("detector", "limits"), {}, "limits of []; this cellgate tests ['certainty', 'colour', "),
        (("orientation",), "low-is-in-distribution", "unknown orientation"),
    ],
)
def test_what_this_runtime_would_have_to_guess_is_refused(
    raw: dict[str, Any], path: tuple[str, ...], value: object, told: str
) -> None:
    message = refused(replaced(raw, path, value))
    assert told in message
    assert message.endswith("; export the bundle again")


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_missing_is_named(raw: dict[str, Any], name: str) -> None:
    del raw["detector"]["limits"][name]
    assert refused(raw) == (
        f"manifest.json: limits of {sorted(set(LIMITS) - {name})}; this cellgate tests {sorted(LIMITS)}; "
        "export the bundle again"
    )


def test_a_limit_of_a_test_that_is_not_known_is_named(raw: dict[str, Any]) -> None:
    raw["detector"]["limits"]["entropy"] = 0.5
    assert f"limits of {sorted({*LIMITS, 'entropy'})}; this cellgate tests {sorted(LIMITS)}" in refused(raw)


def test_the_order_of_the_classes_is_the_networks_own_affair(raw: dict[str, Any]) -> None:
    raw["classes"].reverse()
    assert manifest_from_json(json.dumps(raw)).classes == ("parasitized", "uninfected")
