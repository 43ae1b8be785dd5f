"""A run that comes back from its bundle computes and exports the same, and says what it does not know."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import numpy_helper

from edge_runtime.bundle.files import MODEL, REFERENCE, open_bundle
from edge_runtime.bundle.manifest import manifest_to_json
from edge_runtime.errors import SourceError
from export.forward import export_forward
from export.graph import _add_constants
from scripts.run_from_bundle import (
    fill_network,
    from_schema_7,
    main,
    open_any,
    recovered_gaussian,
    recovered_metrics,
)
from training.calibration_file import load_calibration
from training.networks import ResNet, build_network
from training.run import load_network, load_run, load_statistics
from training.statistics import to_tensor

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"
WIDTHS, LAYERS = (4, 8, 12, 16), ("stem", "layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(TINY / MODEL)


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def as_schema_7(text: str) -> dict[str, Any]:
    """The same manifest in the words of the schema before."""
    raw = json.loads(text)
    limits, performance = raw["detector"].pop("limits"), raw["performance"]
    assert limits.pop("wholeness") == 0
    raw["detector"] |= {
        "threshold": limits["confidence"],
        "least_margin": limits["margin"],
        "least_steadiness": limits["stability"],
        "least_colour": limits["colour"],
        "least_texture": limits["texture"],
    }
    performance["strangers_rejected"] = performance.pop("ood_rejected")
    performance["changes_accepted"] = performance.pop("corruptions_accepted")
    performance["changes_accuracy"] = performance.pop("corruptions_accuracy")
    raw["outputs"] = [name.replace("smoothed", "softened") for name in raw["outputs"]]
    return {**raw, "schema": 7}


def test_the_schema_before_says_the_same_in_other_words(tmp_path: Path) -> None:
    manifest = open_bundle(TINY).manifest
    old = as_schema_7(manifest_to_json(manifest))
    assert "smoothed" not in json.dumps(old["outputs"])
    assert from_schema_7(old) == json.loads(manifest_to_json(manifest))
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    (tmp_path / MODEL).write_bytes((TINY / MODEL).read_bytes())
    assert open_any(tmp_path)[0] == manifest


def test_the_network_says_what_the_bundle_says(model: onnx.ModelProto) -> None:
    network = ResNet(WIDTHS, 2).eval()
    fill_network(network, model)
    with np.load(TINY / REFERENCE, allow_pickle=False) as stored:
        images, expected = stored["images"], {name: stored[name] for name in stored.files}
    with torch.no_grad():
        logits, features = network(to_tensor(images))
    named = {"logits": logits, **{f"features.{n}": f for n, f in zip(LAYERS, features, strict=True)}}
    for name, found in named.items():
        np.testing.assert_allclose(found.numpy(), expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_folding_gives_the_same_weights_again(model: onnx.ModelProto) -> None:
    network = ResNet(WIDTHS, 2).eval()
    fill_network(network, model)
    theirs = constants(model.graph)
    ours = {n: a for n, a in constants(export_forward(network, 64).graph).items() if n.startswith("network.")}
    assert len(ours) > 40
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def test_a_convolution_with_a_bias_of_its_own_gets_none() -> None:
    """VGG-19's: the folded bias stands in the batch norm alone."""
    network = build_network("vgg19", 2).eval()
    assert isinstance(network, torch.nn.Module)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    layers = [name.removesuffix(".weight") for name, value in weights.items() if value.ndim in (2, 4)]
    graph = onnx.GraphProto()
    rng = np.random.default_rng(0)
    for layer in layers:
        shape = weights[f"{layer}.weight"].shape
        for name, size in ((f"network.{layer}.weight", shape), (f"{layer}.folded", shape[:1])):
            graph.initializer.append(numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name))
        inputs = ["x", f"network.{layer}.weight", f"{layer}.folded"]
        graph.node.append(onnx.helper.make_node("Conv", inputs, [f"{layer}.out"]))
    fill_network(network, onnx.helper.make_model(graph))
    given, filled = constants(graph), network.state_dict()
    assert not filled["features.0.bias"].any()
    np.testing.assert_array_equal(filled["features.1.bias"].numpy(), given["features.0.folded"])
    np.testing.assert_array_equal(filled["classifier.bias"].numpy(), given["classifier.folded"])


def test_another_network_is_refused(model: onnx.ModelProto) -> None:
    with pytest.raises(SourceError, match=r"conv1: not in this graph, or in another shape"):
        fill_network(ResNet((8, 8, 12, 16), 2), model)
    with pytest.raises(SourceError, match=r"features\.0: not in this graph"):
        fill_network(build_network("vgg19", 2), model)  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_statistics_give_the_same_constants_again(model: onnx.ModelProto, layer: str) -> None:
    gaussian = recovered_gaussian(model, layer, np.array([3.0, 4.0]))
    assert gaussian.relative
    graph = onnx.GraphProto()
    _add_constants(graph, layer, gaussian)
    theirs = constants(model.graph)
    ours = constants(graph)
    for exact in ("origin", "whitening"):
        np.testing.assert_array_equal(ours[f"{exact}.{layer}"], theirs[f"{exact}.{layer}"])
    # Centres are rounded, and so is the whitening that they are solved through.
    expected = theirs[f"centres.{layer}"]
    np.testing.assert_allclose(ours[f"centres.{layer}"], expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    # Of relative activations every mean adds up to as much.
    assert np.ptp(gaussian.means.sum(axis=1)) <= 1e-6 * len(gaussian.whitening)


def test_figures_have_their_names_in_a_run() -> None:
    performance = replace(
        open_bundle(TINY).manifest.performance,
        ood_rejected={"wbc (2) of 3 (130)": 0.5},
        corruptions_accepted={"warm cast": 0.9},
        corruptions_accuracy={"warm cast": 0.8},
    )
    assert recovered_metrics(performance) == {
        "corruptions": {"warm cast": {"accepted": 0.9, "accuracy_of_accepted": 0.8}},
        "ood": {"wbc (2) of 3": {"images": 130, "rejected": 0.5}},
    }


@pytest.fixture
def recover(bundle_folder: Path, cell_cache: Path, tmp_path: Path) -> Callable[..., Result]:
    def run(cells: Path) -> Result:
        arguments = [str(bundle_folder), str(tmp_path / "run"), "--cells", str(cells)]
        return CliRunner().invoke(main, [*arguments, "--cache", str(cell_cache)], catch_exceptions=False)

    return run


@pytest.mark.slow
def test_the_run_comes_back(
    recover: Callable[..., Result], tmp_path: Path, run_folder: Path, cell_folder: Path
) -> None:
    assert recover(cell_folder).exit_code == 0
    found, lost = load_run(tmp_path / "run"), load_run(run_folder)
    unknown = replace(lost.config, epochs=0, batch_size=0, learning_rate=0.0)
    assert replace(found, metrics={}) == replace(lost, config=unknown, metrics={})
    assert found.metrics["validation_accuracy"] == pytest.approx(lost.metrics["validation_accuracy"])
    calibration = load_calibration(run_folder)
    assert load_calibration(tmp_path / "run") == calibration
    image = torch.rand(2, 3, 125, 125)
    with torch.no_grad():
        ours, theirs = (load_network(r, found)(image) for r in (tmp_path / "run", run_folder))
    np.testing.assert_allclose(ours[0].numpy(), theirs[0].numpy(), rtol=1e-4, atol=1e-5)
    recovered, features = load_statistics(tmp_path / "run"), theirs[1]
    for (layer, gaussian), seen in zip(load_statistics(run_folder).items(), features, strict=True):
        np.testing.assert_allclose(
            recovered[layer].distances(seen.numpy()), gaussian.distances(seen.numpy()), rtol=1e-4
        )
        # Fitting took every training cell twice, in two lights.
        np.testing.assert_array_equal(2 * recovered[layer].counts, gaussian.counts)
        assert math.isnan(recovered[layer].shrinkage)


@pytest.mark.slow
def test_other_cells_are_refused(recover: Callable[..., Result], tmp_path: Path, cell_folder: Path) -> None:
    some = tmp_path / "cell_images"
    for file in sorted(cell_folder.rglob("*.png"))[::2]:
        (some / file.parent.name).mkdir(parents=True, exist_ok=True)
        (some / file.parent.name / file.name).write_bytes(file.read_bytes())
    refused = recover(some)
    assert refused.exit_code == 1
    assert "not the cells this bundle was trained on; give the same archive" in refused.stderr
    assert not (tmp_path / "run").exists()
