"""Every number and every node of a bundle's graph is looked at, however little it shows in the outputs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import numpy_helper

from edge_runtime.bundle.files import MODEL, Bundle, open_bundle
from edge_runtime.bundle.parity import all_passed
from edge_runtime.decision import table
from export.contents import CONSTANTS_LIMIT, NEGLIGIBLE, check_graph, check_manifest, constant_difference
from training.trained import TrainedDetector

Edit = Callable[[onnx.GraphProto], None]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("built_once")]


@pytest.fixture(scope="module")
def bundle(bundle_folder: Path) -> Bundle:
    return open_bundle(bundle_folder)


def graph_passes(trained: TrainedDetector, bundle: Bundle, edit: Edit) -> bool:
    model = onnx.load_from_string(bundle.contents[MODEL])
    edit(model.graph)
    contents = {**bundle.contents, MODEL: model.SerializeToString()}
    return all_passed(check_graph(trained, replace(bundle, contents=contents)))


def test_passes_as_it_was_sealed(trained: TrainedDetector, bundle: Bundle) -> None:
    assert graph_passes(trained, bundle, lambda _graph: None)


def test_one_entry_of_any_tensor_one_percent_off(trained: TrainedDetector, bundle: Bundle) -> None:
    """In each tensor its smallest entry that counts: measured against the largest it would seem right."""
    model = onnx.load_from_string(bundle.contents[MODEL])
    floats = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert len(floats) > 40
    unseen = [name for name in floats if graph_passes(trained, bundle, smallest_entry_off(name))]
    assert unseen == []


def smallest_entry_off(name: str) -> Edit:
    def edit(graph: onnx.GraphProto) -> None:
        tensor = next(t for t in graph.initializer if t.name == name)
        array = numpy_helper.to_array(tensor).copy()
        flat = array.reshape(-1)
        negligible = np.abs(flat) <= NEGLIGIBLE * np.abs(flat).max()
        sizes = np.where(negligible, np.inf, np.abs(flat))
        if np.isinf(sizes).all():
            flat[0] = 0.01
        else:
            flat[sizes.argmin()] *= np.float32(1.01)
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return edit


def find(graph: onnx.GraphProto, kind: str) -> onnx.NodeProto:
    return next(node for node in graph.node if node.op_type == kind)


def another_kind(graph: onnx.GraphProto) -> None:
    find(graph, "ReduceMin").op_type = "ReduceMax"


def another_attribute(graph: onnx.GraphProto) -> None:
    """A ReLU's mask that is a little less steep: no output moves by a bit."""
    (alpha,) = [a for a in find(graph, "HardSigmoid").attribute if a.name == "alpha"]
    alpha.f = 1e37


def another_input(graph: onnx.GraphProto) -> None:
    node = find(graph, "ReduceSumSquare")
    node.input[0] = node.input[0].replace("stem", "layer1")


def one_node_more(graph: onnx.GraphProto) -> None:
    graph.node.add().CopyFrom(onnx.helper.make_node("Identity", ["image"], ["unused"]))


def one_constant_more(graph: onnx.GraphProto) -> None:
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "unused"))


def one_integer_off(graph: onnx.GraphProto) -> None:
    (axis,) = [t for t in graph.initializer if t.name == "axis.1"]
    axis.CopyFrom(numpy_helper.from_array(np.array([2]), "axis.1"))


def not_a_number(graph: onnx.GraphProto) -> None:
    (origin,) = [t for t in graph.initializer if t.name == "origin.layer4"]
    array = numpy_helper.to_array(origin).copy()
    array[5] = np.nan
    origin.CopyFrom(numpy_helper.from_array(array, origin.name))


@pytest.mark.parametrize(
    "edit",
    [
        another_kind,
        another_attribute,
        another_input,
        one_node_more,
        one_constant_more,
        one_integer_off,
        not_a_number,
    ],
)
def test_anything_else_in_the_graph_altered(trained: TrainedDetector, bundle: Bundle, edit: Edit) -> None:
    assert not graph_passes(trained, bundle, edit)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [True, True]),
        ({"classes": ("parasitized", "uninfected")}, [False, True]),
        ({"outputs": ("logits", "logits.smoothed", "confidences")}, [False, True]),
        ({"perturbation": "none"}, [False, True]),
        ({"detector": {"epsilon": 1.01}}, [True, False]),
        ({"detector": {"bias": 1.01}}, [True, False]),
        *(({"limits": {test.name: 1.01}}, [True, False]) for test in table.TESTS),
    ],
)
def test_manifest(
    trained: TrainedDetector, bundle: Bundle, changed: dict[str, Any], expected: list[bool]
) -> None:
    """The detector's entries and the limits of its tests are factors."""
    detector = bundle.manifest.detector
    if "limits" in changed:
        ((name, factor),) = changed["limits"].items()
        limits = {**detector.limits, name: detector.limits[name] * factor + 1e-3}  # a limit may be 0
        changed = {"detector": replace(detector, limits=limits)}
    elif "detector" in changed:
        ((name, factor),) = changed["detector"].items()
        changed = {"detector": replace(detector, **{name: getattr(detector, name) * factor})}
    checks = check_manifest(trained, replace(bundle.manifest, **changed))
    assert [check.passed for check in checks] == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 1000.0], [1.0, 1000.0], 0.0),
        ([1.01, 1000.0], [1.0, 1000.0], 0.00999),  # of 1.001: the entry and a millionth of the largest
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.5, 0.0], [0.0, 0.0], 0.5),
        ([], [], 0.0),
        ([1.0], [1.0, 1.0], np.inf),
        ([np.nan, 1.0], [1.0, 1.0], np.nan),
    ],
)
def test_difference_of_constants(ours: list[float], theirs: list[float], expected: float) -> None:
    arrays = [np.array(values, np.float32) for values in (ours, theirs)]
    assert constant_difference(*arrays) == pytest.approx(expected, rel=1e-4, nan_ok=True)


def test_difference_of_other_types() -> None:
    one = np.array([-(2**63)])
    assert constant_difference(one, one) == 0
    assert constant_difference(one + 1, one) == np.inf  # the same float64
    assert constant_difference(np.ones(2, np.float64), np.ones(2, np.float32)) == np.inf


# Far from the smallest float32, next to which a rounding is large.
ENTRIES = st.just(0.0) | st.floats(2**-20, 100, width=32) | st.floats(-100, -(2**-20), width=32)


@given(npst.arrays(np.float32, 5, elements=ENTRIES), st.integers(0, 4))
def test_one_rounding_passes_and_a_thousandth_does_not(array: np.ndarray, index: int) -> None:
    rounded, moved = array.copy(), array.copy()
    rounded[index] = np.nextafter(array[index], np.float32(200))
    moved[index] += np.float32(0.001) * max(abs(array[index]), np.float32(0.01))
    assert constant_difference(rounded, array) <= CONSTANTS_LIMIT
    assert constant_difference(moved, array) > CONSTANTS_LIMIT
