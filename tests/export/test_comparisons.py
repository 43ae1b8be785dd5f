"""Each comparison of outputs finds its own kind of defect, also where the contents are not looked at."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_runtime.bundle.files import REFERENCE, open_bundle
from edge_runtime.decision import table
from edge_runtime.decision.table import CellTest
from export import comparison
from export.comparison import verify_bundle

pytestmark = pytest.mark.slow

Edit = Callable[[onnx.ModelProto], None]
Failing = Callable[..., set[str]]


@pytest.fixture
def failing(
    monkeypatch: pytest.MonkeyPatch, reseal: Callable[..., Path], run_folder: Path, cell_folder: Path
) -> Failing:
    """Seal an altered bundle again and compare outputs alone; gives the names of the checks that failed."""
    for name in ("check_graph", "check_manifest"):
        monkeypatch.setattr(comparison, name, lambda *_args: [])

    def compare(edit: Edit | None = None, run: Path = run_folder, **changes: object) -> set[str]:
        found = verify_bundle(run, reseal(edit, **changes), (str(cell_folder),), limit=2, batches=(2,))
        return {check.name for check in found.checks if not check.passed}

    return compare


def scaled(name: str, factor: float) -> Edit:
    """All of a constant times a factor."""

    def edit(model: onnx.ModelProto) -> None:
        (tensor,) = [t for t in model.graph.initializer if t.name == name]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))

    return edit


def node_of(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    (node,) = [node for node in model.graph.node if node.output[0] == output]
    return node


def test_nothing_fails_in_an_honest_bundle(failing: Failing) -> None:
    assert failing() == set()


def test_weights(failing: Failing) -> None:
    answer = {
        "batch 2: logits",
        "batch 2: logits.smoothed",
        "batch 2: value of margin",
        "reference: logits",
        "reference: logits.smoothed",
        "reference: value of margin",
        "reference: frame: value of margin",
    }
    # The stability of a few cells may be so near 0 that a hundredth of it is nothing.
    perhaps = {f"{where}: value of stability" for where in ("batch 2", "reference", "reference: frame")}
    found = failing(scaled("network.fc.weight", 1.01))
    assert answer <= found <= answer | perhaps
    assert failing(scaled("network.conv1.weight", 1.01)) >= {
        "batch 2: features.stem",
        "batch 2: features.layer4",
        "batch 2: distances",
        "second pass, forced: stem",
    }


@pytest.mark.parametrize("constant", ["whitening.layer2", "centres.layer2", "origin.layer2"])
def test_statistics(failing: Failing, constant: str) -> None:
    found = failing(scaled(constant, 1.001))
    assert found >= {"batch 2: distances", "reference: distances", "second pass, forced: layer2"}
    assert "batch 2: features.layer2" not in found


def test_gradient(failing: Failing) -> None:
    """Turned round, it pushes away from the nearest class."""
    found = failing(scaled("two", -1))
    assert found >= {f"batch 2: gradient.{name}, signs" for name in ("stem", "layer1", "layer4")}
    assert found >= {"signs against float64: stem", "signs against float64: layer4"}
    assert "batch 2: distances" not in found


def test_gradient_of_one_layer(failing: Failing) -> None:
    """A thousandth of one layer's signs, which the mean over all layers would hide."""

    def edit(model: onnx.ModelProto) -> None:
        sign = node_of(model, "gradient.layer3")
        mask = np.ones((1, 3, 125, 125), np.float32)
        mask.reshape(-1)[::600] = -1  # 1 in 600
        model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
        sign.op_type = "Mul"
        sign.input.append("mask")

    assert failing(edit) >= {"batch 2: gradient.layer3, signs", "signs against float64: layer3"}


def test_second_pass(failing: Failing) -> None:
    def edit(model: onnx.ModelProto) -> None:
        node_of(model, "perturbed.moved.layer1").input[1] = "origin.stem"

    found = failing(edit)
    assert found >= {"second pass, forced: layer1", "batch 2: confidences"}
    assert "second pass, forced: layer2" not in found


def longer_step(model: onnx.ModelProto) -> None:
    """Half a step too much, in every layer."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.5, np.float32), "more"))
    for layer in ("stem", "layer1", "layer2", "layer3", "layer4"):
        step = node_of(model, f"step.{layer}")
        longer = onnx.helper.make_node("Mul", [step.input[0], "more"], [f"longer.{layer}"])
        model.graph.node.insert(list(model.graph.node).index(step), longer)
        step.input[0] = f"longer.{layer}"


def test_step(failing: Failing) -> None:
    """Only what comes after it is wrong."""
    found = failing(longer_step)
    assert "batch 2: confidences" in found
    assert not any("signs" in name or "forced" in name for name in found)


def test_smoothing(failing: Failing) -> None:
    """Of cells that come out half as bright, the answer is another one."""
    found = failing(scaled("smooth.kernels", 0.5))
    assert found >= {
        "batch 2: logits.smoothed",
        "batch 2: value of stability",
        "reference: logits.smoothed",
        "reference: value of stability",
        "reference: frame: value of stability",
    }
    right = {"logits", *(f"value of {test.name}" for test in table.TESTS if test.name != "stability")}
    assert not found & {f"{where}: {name}" for where in ("batch 2", "reference") for name in right}


def test_outputs_that_are_no_numbers(failing: Failing) -> None:
    assert failing(scaled("network.fc.bias", np.nan)) >= {"batch 2: logits", "reference: logits"}


# Of crops no size is known, and of a network this small all cells may be called uninfected.
FOR_EVERY_CROP = [test for test in table.TESTS if test.name not in {"small", "large", "certainty"}]


@pytest.mark.parametrize("test", FOR_EVERY_CROP, ids=lambda test: test.name)
def test_limit(failing: Failing, bundle_folder: Path, test: CellTest) -> None:
    """What is measured is the same; what is decided of it is not."""
    detector = open_bundle(bundle_folder).manifest.detector
    strict = {**detector.limits, test.name: test.sign * 1e6}
    assert failing(detector=replace(detector, limits=strict)) == {"batch 2: decisions that differ"}


def test_range_of_the_outline(failing: Failing, bundle_folder: Path) -> None:
    detector = open_bundle(bundle_folder).manifest.detector
    narrow = replace(detector, outline_high=tuple(low + 1e-9 for low in detector.outline_low))
    assert failing(detector=narrow) >= {"batch 2: decisions that differ", "batch 2: value of wholeness"}


def test_layer_weight(failing: Failing, bundle_folder: Path) -> None:
    detector = open_bundle(bundle_folder).manifest.detector
    weights = tuple(weight * 1.1 for weight in detector.weights)
    assert "batch 2: value of confidence" in failing(detector=replace(detector, weights=weights))


@pytest.mark.parametrize(
    ("name", "tests"), [("logits", ["margin", "stability"]), ("logits.smoothed", ["stability"])]
)
def test_reference_vectors(failing: Failing, bundle_folder: Path, name: str, tests: list[str]) -> None:
    """Altered and sealed again, they would fail a device that is right."""
    with np.load(bundle_folder / REFERENCE) as stored:
        vectors = dict(stored)
    vectors[name] *= np.float32(1.01)
    buffer = io.BytesIO()
    np.savez(buffer, **vectors)
    assert failing(files={REFERENCE: buffer.getvalue()}) == {
        f"reference: {name}",
        *(f"reference: value of {test}" for test in tests),
    }


def test_a_graph_that_can_perturb_is_compared_at_an_epsilon_above_0(
    failing: Failing, bundle_folder: Path, run_folder: Path, tmp_path: Path
) -> None:
    """Also where calibration chose 0, and the device will not perturb."""
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    calibration = json.loads((run / "calibration.json").read_text())
    calibration["detector"]["epsilon"] = 0.0
    (run / "calibration.json").write_text(json.dumps(calibration))
    detector = replace(open_bundle(bundle_folder).manifest.detector, epsilon=0.0)
    # The reference vectors were made with the run's first epsilon.
    found = failing(longer_step, run=run, detector=detector)
    assert {name for name in found if not name.startswith("reference: ")} == {
        "perturbed by 0.002: confidences"
    }
