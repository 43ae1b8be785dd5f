"""`verify` passes on an honest bundle, and on no other: one number off by a hundredth is enough."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from edge_runtime.bundle.files import open_bundle
from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from export.__main__ import main

pytestmark = pytest.mark.slow

CELLS = 3
Verify = Callable[[Path], Result]


@pytest.fixture
def verify(run_folder: Path, cell_folder: Path) -> Verify:
    """The command, in this process."""

    def run(bundle: Path) -> Result:
        options = [
            *("--run", str(run_folder)),
            *("--bundle", str(bundle)),
            *("--cells", str(cell_folder)),
            *("--limit", "2"),
        ]
        return CliRunner().invoke(main, ["verify", *options])

    return run


def off(name: str, index: int = 0) -> Callable[[onnx.ModelProto], None]:
    """Make one entry of a constant a hundredth larger."""

    def edit(model: onnx.ModelProto) -> None:
        (tensor,) = [t for t in model.graph.initializer if t.name == name]
        array = numpy_helper.to_array(tensor).copy()
        assert array.flat[index] != 0
        array.flat[index] *= np.float32(1.01)
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return edit


def failed(result: Result) -> list[str]:
    """The names of the checks that failed."""
    lines = [line for line in result.stdout.splitlines() if line.startswith("FAIL ")]
    return [line.removeprefix("FAIL ").partition("  ")[0] for line in lines]


def test_an_honest_bundle_in_a_process_of_its_own(
    run_folder: Path, bundle_folder: Path, cell_folder: Path
) -> None:
    """The graph is built again elsewhere, and comes out the same to the last name."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "export", "verify", "--json", "--limit", str(CELLS)),
            *("--run", run_folder, "--bundle", bundle_folder, "--cells", cell_folder),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["passed"] is True
    assert told["cells"] == CELLS
    assert told["provider"] == "CPUExecutionProvider"
    assert {check["name"] for check in told["checks"]} >= {
        "batch 1: logits",
        "batch 7: features.stem",
        "batch 64: distances",
        *(f"batch 64: value of {test.name}" for test in table.TESTS),
        "batch 64: gradient.layer4, signs",
        "batch 64: decisions that differ",
        "second pass, forced: layer4",
        "signs against float64: layer4",
        "reference: confidences",
    }
    assert "torchvision" not in done.stderr  # the exporter's own talk


@pytest.mark.usefixtures("built_once")
def test_an_honest_bundle_sealed_again(verify: Verify, reseal: Callable[..., Path]) -> None:
    """That the altered ones below fail is not due to how they were made."""
    result = verify(reseal())
    assert (result.exit_code, failed(result)) == (0, [])
    assert "decides as its run does: 2 cells on CPUExecutionProvider" in result.stdout


@pytest.mark.parametrize("name", ["network.conv1.weight", "centres.layer4", "whitening.stem"])
@pytest.mark.usefixtures("built_once")
def test_one_weight_mean_or_whitening_entry_altered(
    verify: Verify, reseal: Callable[..., Path], name: str
) -> None:
    result = verify(reseal(off(name)))
    assert result.exit_code == 1
    assert "largest difference of a constant" in failed(result)
    assert "DOES NOT decide as its run does" in result.stdout


def limit_off(name: str) -> Callable[[Detector], Detector]:
    def change(detector: Detector) -> Detector:
        return replace(detector, limits={**detector.limits, name: detector.limits[name] * 1.01})

    return change


def last_weight_off(detector: Detector) -> Detector:
    *rest, last = detector.weights  # those of the shallow layers are 0
    return replace(detector, weights=(*rest, last * 1.01))


@pytest.mark.parametrize(
    "change",
    [
        limit_off("confidence"),
        limit_off("stability"),
        lambda detector: replace(detector, epsilon=detector.epsilon * 1.01),
        last_weight_off,
    ],
    ids=["limit of the confidence", "limit of the stability", "epsilon", "layer weight"],
)
@pytest.mark.usefixtures("built_once")
def test_the_detector_altered(
    verify: Verify,
    reseal: Callable[..., Path],
    bundle_folder: Path,
    change: Callable[[Detector], Detector],
) -> None:
    result = verify(reseal(detector=change(open_bundle(bundle_folder).manifest.detector)))
    assert result.exit_code == 1
    assert "threshold or layer weights differ" in failed(result)


@pytest.mark.usefixtures("built_once")
def test_a_node_altered(verify: Verify, reseal: Callable[..., Path]) -> None:
    def edit(model: onnx.ModelProto) -> None:
        (node,) = [node for node in model.graph.node if node.output[0] == "least.layer3"]
        node.op_type = "ReduceMax"

    result = verify(reseal(edit))
    assert result.exit_code == 1
    assert "graph differs from the run's" in failed(result)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("parasitized", "uninfected")},
        {"outputs": ("logits", "logits.smoothed", "confidences")},
    ],
    ids=["classes exchanged", "outputs left out"],
)
@pytest.mark.usefixtures("built_once")
def test_the_manifest_altered(verify: Verify, reseal: Callable[..., Path], changes: dict[str, Any]) -> None:
    result = verify(reseal(**changes))
    assert result.exit_code == 1
    assert "classes, input or outputs differ" in failed(result)


def test_a_manifest_that_denies_the_perturbation(verify: Verify, reseal: Callable[..., Path]) -> None:
    result = verify(reseal(perturbation="none"))
    assert result.exit_code == 1
    assert "epsilon" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bundle_whose_hashes_are_not_right(verify: Verify, reseal: Callable[..., Path]) -> None:
    altered = reseal()
    data = bytearray((altered / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (altered / "model.onnx").write_bytes(data)
    result = verify(altered)
    assert result.exit_code == 1
    assert "model.onnx: altered" in result.stderr
