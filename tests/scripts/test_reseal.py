"""A bundle exported again from itself alone says the same."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper

from edge_runtime.bundle.classifier import GRADIENT, Classifier
from edge_runtime.bundle.files import MODEL, REFERENCE, open_bundle
from edge_runtime.bundle.manifest import SCHEMA
from edge_runtime.decision import table
from edge_runtime.decision.evidence import Evidence
from edge_runtime.errors import SourceError
from export.forward import export_forward
from export.graph import _add_constants
from scripts.recovered import fill_network, recovered_gaussian
from scripts.reseal import fitted, main, run_info
from training.networks import ResNet, build_network
from training.statistics import to_tensor

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"
WIDTHS, LAYERS = (4, 8, 12, 16), ("stem", "layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(TINY / MODEL)


def constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_limits_of_tests_of_the_picture_are_fitted_to_cells() -> None:
    manifest = open_bundle(TINY).manifest
    looks = np.random.default_rng(0).normal(-6, 1, (4000, 7))
    nothing = np.zeros((4000, 0), np.float32)
    pictures = Evidence(nothing, nothing, nothing, np.zeros((4000, 1, 1, 3), np.uint8), looks, looks[:, 0])
    found = fitted(manifest, pictures, ["colour", "texture"])
    shares = {test.name: test.share * manifest.calibrated.alpha for test in table.TESTS}
    for name, place in (("colour", 5), ("texture", 6)):
        below = (looks[:, place] < found.limits[name]).sum()
        assert below == int(4001 * shares[name]) - 1
    others = {name: limit for name, limit in found.limits.items() if name not in {"colour", "texture"}}
    assert others.items() <= manifest.detector.limits.items()
    with pytest.raises(SourceError, match="--refit margin: not one of wholeness, colour, texture"):
        fitted(manifest, pictures, ["margin"])


def of_the_schema_before(bundle: Path, old: Path) -> Path:
    """A copy, as the schema before this one had it: it did not have the output that the graph lacked."""
    shutil.copytree(bundle, old)
    raw = json.loads((bundle / "manifest.json").read_text())
    outputs = [name for name in raw["outputs"] if name != GRADIENT]
    (old / "manifest.json").write_text(json.dumps({**raw, "schema": SCHEMA - 1, "outputs": outputs}))
    return old


def test_a_bundle_of_the_schema_before_that_was_altered_is_refused(tmp_path: Path) -> None:
    old = of_the_schema_before(TINY, tmp_path / "old")
    (old / MODEL).write_bytes(b"other")
    done = CliRunner().invoke(main, [str(old), str(tmp_path / "new")])
    assert done.exit_code == 1
    assert "altered since the bundle was sealed" in done.output


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
    gaussian = recovered_gaussian(model, layer)
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


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True])
def test_a_bundle_is_exported_again_from_itself(bundle_folder: Path, tmp_path: Path, *, before: bool) -> None:
    given = of_the_schema_before(bundle_folder, tmp_path / "old") if before else bundle_folder
    done = CliRunner().invoke(main, [str(given), str(tmp_path / "new")], catch_exceptions=False)
    assert done.exit_code == 0
    old, new = open_bundle(bundle_folder), open_bundle(tmp_path / "new")
    assert replace(new.manifest, parity={}, files={}) == replace(old.manifest, parity={}, files={})
    images = np.random.default_rng(0).integers(1, 256, (5, 125, 125, 3), np.uint8)
    ours, theirs = (Classifier.open(bundle).evidence(images) for bundle in (new, old))
    np.testing.assert_array_equal(ours.logits, theirs.logits)
    np.testing.assert_allclose(ours.confidences, theirs.confidences, rtol=5e-3)


def test_what_a_bundle_was_trained_on_must_be_told_as_we_tell_it(tmp_path: Path) -> None:
    manifest = open_bundle(TINY).manifest
    assert run_info(manifest).counts["train"] > 0
    other = replace(manifest, provenance=replace(manifest.provenance, trained_on="many cells"))
    with pytest.raises(SourceError, match="cannot read what the bundle was trained on: 'many cells'"):
        run_info(other)
