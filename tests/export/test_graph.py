"""The multi-output graph against the PyTorch reference, with and without the perturbation."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from scipy.spatial.distance import mahalanobis
from smoothing import smoothed

from edge_runtime.cells.preprocessing import InputSpec
from export import graph
from export.forward import export_forward
from export.graph import Perturbation, build_graph, output_names
from export.identity import Identity
from training.gaussians import LayerGaussian, relative_activations
from training.networks import Network, ResNet
from training.reference import FeatureModel, Reference, asked_gradient, perturbed_outputs, smooth

pytestmark = pytest.mark.slow

SIZE = 33
EPSILON = 0.01
LAYERS = ("stem", "layer1", "layer2", "layer3", "layer4")
PLAIN = [
    "logits",
    "logits.smoothed",
    "features.stem",
    "features.layer1",
    "features.layer2",
    "features.layer3",
    "features.layer4",
    "distances",
    "confidences",
    "gradient.asked",
]
GRADIENTS = [
    "gradient.stem",
    "gradient.layer1",
    "gradient.layer2",
    "gradient.layer3",
    "gradient.layer4",
]

Gaussians = Mapping[str, LayerGaussian]


def images_of(batch: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(batch).random((batch, 3, size, size), np.float32)


def identity_of(size: int) -> Identity:
    return Identity("ward 3", "7", ("uninfected", "parasitized"), InputSpec(size=size))


def gaussians_of(network: Network, size: int, *, relative: bool = True) -> Gaussians:
    """Class means well off the features, and a whitening far from singular: what differs is no rounding."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        _, features = network(torch.from_numpy(images_of(10, size)))
    gaussians = {}
    for layer, tensor in zip(network.layers, features, strict=True):
        f = tensor.numpy().astype(np.float64)
        f = relative_activations(f) if relative else f
        channels = f.shape[1]
        triangle = np.tril(rng.normal(0, 1 / channels, (channels, channels))) + np.eye(channels)
        means = f.mean(axis=0) * rng.uniform(0.5, 1.5, (2, channels))
        whitening = triangle / np.abs(f).mean()
        gaussians[layer] = LayerGaussian(means, whitening, np.full(2, 20.0), 0.0, 1.0, relative)
    return gaussians


@pytest.fixture(scope="module")
def network(random_network: Callable[[ResNet], ResNet]) -> ResNet:
    torch.manual_seed(5)
    return random_network(ResNet((4, 8, 12, 16), 2))


@pytest.fixture(scope="module", params=[True, False], ids=["relative activations", "as they are"])
def gaussians(network: ResNet, request: pytest.FixtureRequest) -> Gaussians:
    return gaussians_of(network, SIZE, relative=request.param)


@pytest.fixture(scope="module")
def models(network: ResNet, gaussians: Gaussians) -> Mapping[str, onnx.ModelProto]:
    """Both graphs, on one forward graph: an export takes seconds."""
    forward = export_forward(network, SIZE)
    kinds: tuple[Perturbation, ...] = ("none", "per-layer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "export_forward", lambda _network, _size: copied(forward))
        return {
            kind: build_graph(FeatureModel(network, gaussians), identity=identity_of(SIZE), perturbation=kind)
            for kind in kinds
        }


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def run(
    model: onnx.ModelProto,
    images: np.ndarray,
    epsilon: float | None = None,
    names: list[str] | None = None,
    asked: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    feed = {"image": images, "asked": np.zeros((0, 7), np.float32) if asked is None else asked}
    feed |= {} if epsilon is None else {"epsilon": np.array(epsilon, np.float32)}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = names or [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def test_inputs_and_outputs(models: Mapping[str, onnx.ModelProto], network: ResNet) -> None:
    named = {kind: [output.name for output in model.graph.output] for kind, model in models.items()}
    assert named == {"none": PLAIN, "per-layer": PLAIN + GRADIENTS}
    assert [given.name for given in models["none"].graph.input] == ["image", "asked"]
    assert [given.name for given in models["per-layer"].graph.input] == ["image", "asked", "epsilon"]
    assert [list(output_names(network, kind)) for kind in ("none", "per-layer")] == list(named.values())


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_shapes_are_as_declared(models: Mapping[str, onnx.ModelProto], batch: int) -> None:
    got = run(models["per-layer"], images_of(batch), EPSILON, asked=np.ones((batch, 7), np.float32))
    assert {value.dtype for value in got.values()} == {np.dtype(np.float32)}
    channels = zip(LAYERS, (4, 4, 8, 12, 16), strict=True)
    assert {name: value.shape for name, value in got.items()} == {
        "logits": (batch, 2),
        "logits.smoothed": (batch, 2),
        "distances": (batch, 5, 2),
        "confidences": (batch, 5),
        **{f"features.{layer}": (batch, c) for layer, c in channels},
        **{f"gradient.{layer}": (batch, 3, SIZE, SIZE) for layer in ("asked", *LAYERS)},
    }
    for output in models["per-layer"].graph.output:
        first, *rest = output.type.tensor_type.shape.dim
        assert first.dim_param == ("M" if output.name == "gradient.asked" else "N")
        assert tuple(d.dim_value for d in rest) == got[output.name].shape[1:]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_perturbing_graph_against_the_reference(
    models: Mapping[str, onnx.ModelProto], network: ResNet, gaussians: Gaussians, batch: int
) -> None:
    images = images_of(batch)
    reference = perturbed_outputs(FeatureModel(network, gaussians), torch.from_numpy(images), EPSILON)
    assert_agrees(run(models["per-layer"], images, EPSILON), reference, LAYERS)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_plain_graph_against_the_reference(
    models: Mapping[str, onnx.ModelProto], network: ResNet, gaussians: Gaussians, batch: int
) -> None:
    images = images_of(batch)
    reference = perturbed_outputs(FeatureModel(network, gaussians), torch.from_numpy(images), 0.0)
    assert_agrees(run(models["none"], images), reference, LAYERS)


@pytest.mark.parametrize("kind", ["none", "per-layer"])
def test_the_gradient_that_is_asked_for_is_the_references(
    models: Mapping[str, onnx.ModelProto], network: ResNet, gaussians: Gaussians, kind: str
) -> None:
    """Of every cell another sum: one logit, one layer's distance, all of them."""
    images, asked = images_of(8), np.concatenate([np.eye(7), np.ones((1, 7))]).astype(np.float32)
    epsilon = EPSILON if kind == "per-layer" else None
    got = run(models[kind], images, epsilon, ["gradient.asked"], asked)["gradient.asked"]
    model = FeatureModel(network, gaussians)
    expected = asked_gradient(model, torch.from_numpy(images), torch.from_numpy(asked)).numpy()
    assert (np.abs(expected).max(axis=(1, 2, 3)) > 0).all()
    assert (np.sign(got) == np.sign(expected)).mean() > 0.999
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_what_is_not_asked_for_is_not_computed(models: Mapping[str, onnx.ModelProto], tmp_path: Path) -> None:
    """Operators that onnxruntime ran, as its own profile names them: only a gradient scatters."""
    for cells in (0, 2):
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / f"of-{cells}")
        session = onnxruntime.InferenceSession(models["none"].SerializeToString(), options)
        session.run(["logits"], {"image": images_of(2), "asked": np.ones((cells, 7), np.float32)})
        events = json.loads(Path(session.end_profiling()).read_text())
        ran = {event["args"].get("op_name") for event in events if event.get("cat") == "Node"}
        assert ("ScatterElements" in ran) == (cells > 0)


def test_of_vgg(monkeypatch: pytest.MonkeyPatch, forward_of: Callable) -> None:
    """Poolings without padding, no shortcuts, biases in the convolutions."""
    network, forward = forward_of("vgg19")
    monkeypatch.setattr(graph, "export_forward", lambda _network, _size: copied(forward))
    statistics = gaussians_of(network, 41)
    model = build_graph(FeatureModel(network, statistics), identity=identity_of(41), perturbation="per-layer")
    images = images_of(3, 41)
    reference = perturbed_outputs(FeatureModel(network, statistics), torch.from_numpy(images), EPSILON)
    assert_agrees(run(model, images, EPSILON), reference, network.layers)


def assert_agrees(got: dict[str, np.ndarray], reference: Reference, layers: tuple[str, ...]) -> None:
    close = {**reference.answers, "distances": reference.distances}
    assert set(reference.answers) == {"logits", "logits.smoothed"}
    close |= {f"features.{layer}": f for layer, f in zip(layers, reference.features, strict=True)}
    for name, expected in close.items():
        np.testing.assert_allclose(
            got[name], expected.numpy(), rtol=5e-5, atol=1e-5 * float(expected.abs().max()), err_msg=name
        )
    # A gradient's sign that differs moves a pixel by two epsilon.
    np.testing.assert_allclose(got["confidences"], reference.confidences.numpy(), rtol=1e-3, atol=1e-3)
    for number, layer in enumerate(layers):
        if f"gradient.{layer}" in got:
            ours, theirs = got[f"gradient.{layer}"], reference.gradients[:, number].numpy()
            assert (np.sign(ours) == np.sign(theirs)).mean() > 0.999, layer
            assert np.median(np.abs(ours - theirs)) <= 1e-5 * np.abs(theirs).max(), layer


@pytest.mark.parametrize("kind", ["none", "per-layer"])
def test_smoothed_logits_are_those_of_the_smoothed_image(
    models: Mapping[str, onnx.ModelProto], network: ResNet, kind: str
) -> None:
    """On cells with black around them, and one that fills its image."""
    images = images_of(4)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    images[:3] *= np.stack([np.hypot(x, y * flat) < 13 for flat in (1.0, 1.4, 2.0)])[:, None]
    model = copied(models[kind])
    model.graph.output.append(helper.make_tensor_value_info("smooth.image", TensorProto.FLOAT, None))
    epsilon = EPSILON if kind == "per-layer" else None
    got = run(model, images, epsilon, ["logits", "logits.smoothed", "smooth.image"])
    np.testing.assert_allclose(
        got["smooth.image"], [smoothed(image) for image in images], rtol=1e-5, atol=1e-6
    )
    assert (got["smooth.image"][images == 0] == 0).all()
    with torch.no_grad():
        expected = network(smooth(torch.from_numpy(images)))[0].numpy()
    np.testing.assert_allclose(
        got["logits.smoothed"], expected, rtol=5e-5, atol=1e-5 * np.abs(expected).max()
    )
    assert np.abs(got["logits.smoothed"] - got["logits"]).max() > 1e-2 * np.abs(expected).max()


def test_second_pass_on_the_references_own_perturbed_images(
    models: Mapping[str, onnx.ModelProto], network: ResNet, gaussians: Gaussians
) -> None:
    reference = perturbed_outputs(FeatureModel(network, gaussians), torch.from_numpy(images_of(7)), EPSILON)
    for number in range(len(LAYERS)):
        forced = run(models["per-layer"], reference.perturbed[:, number].numpy(), 0.0, ["confidences"])
        expected = reference.confidences[:, number].numpy()
        np.testing.assert_allclose(forced["confidences"][:, number], expected, rtol=5e-5)


def test_without_epsilon_the_second_pass_repeats_the_first(models: Mapping[str, onnx.ModelProto]) -> None:
    got = run(models["per-layer"], images_of(3), 0.0)
    np.testing.assert_allclose(got["confidences"], -got["distances"].min(axis=2), rtol=1e-5)


def test_perturbed_images_stay_within_0_and_1(models: Mapping[str, onnx.ModelProto]) -> None:
    """Eq. 3 from the graph's own gradients, on an image of pure black and white and a large step."""
    model = copied(models["per-layer"])
    names = [f"perturbed.{layer}" for layer in LAYERS]
    for name in names:
        model.graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
        )
    images = images_of(2).round()
    step = np.float32(0.3)
    got = run(model, images, float(step), names + GRADIENTS)
    for perturbed, gradient in zip(names, GRADIENTS, strict=True):
        expected = np.clip(images - step * np.sign(got[gradient]), 0, 1)
        np.testing.assert_array_equal(got[perturbed], expected)
        assert {0.0, 1.0} < set(np.unique(got[perturbed]).tolist())


def test_distances_are_those_of_scipy(models: Mapping[str, onnx.ModelProto], gaussians: Gaussians) -> None:
    got = run(models["none"], images_of(7))
    for number, layer in enumerate(LAYERS):
        whitening = gaussians[layer].whitening
        precision = whitening.T @ whitening
        features = got[f"features.{layer}"].astype(np.float64)
        if gaussians[layer].relative:
            features /= features.mean(axis=1, keepdims=True) + 1e-6
        expected = [
            [mahalanobis(feature, mean, precision) ** 2 for mean in gaussians[layer].means]
            for feature in features
        ]
        np.testing.assert_allclose(got["distances"][:, number], expected, rtol=1e-4)


def test_weights_are_stored_once(models: Mapping[str, onnx.ModelProto]) -> None:
    """Two passes and five sweeps share the constants of one; what they add are axes, sizes and bounds."""
    plain, perturbing = (sum(len(t.raw_data) for t in m.graph.initializer) for m in models.values())
    assert 0 < perturbing - plain < 8_000
    tensors = [t.raw_data for t in models["per-layer"].graph.initializer if len(t.raw_data) > 64]
    assert len(tensors) == len(set(tensors))


def test_versions_are_pinned_and_all_is_in_one_file(models: Mapping[str, onnx.ModelProto]) -> None:
    for model in models.values():
        assert model.ir_version == 9
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
        assert all(t.data_location == TensorProto.DEFAULT for t in model.graph.initializer)
        assert model.producer_name == "cellgate"


@pytest.mark.parametrize("kind", ["none", "per-layer"])
def test_says_what_it_is_on_its_own(models: Mapping[str, onnx.ModelProto], kind: str) -> None:
    """To a program that has onnx and nothing of ours."""
    model = onnx.load_from_string(models[kind].SerializeToString())
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    as_json = {key: json.loads(metadata.pop(key)) for key in ("classes", "layers", "preprocessing")}
    assert metadata == {
        "bundle": "ward 3",
        "version": "7",
        "perturbation": kind,
        "intended_use": "Research use only. Not for use in diagnostic procedures.",
    }
    assert as_json == {
        "classes": ["uninfected", "parasitized"],
        "layers": list(LAYERS),
        "preprocessing": {
            "size": SIZE,
            "color_order": "RGB",
            "range": [0.0, 1.0],
            "interpolation": "area-down,bilinear-up",
            "masking": "black-outside-cell",
            "framing": "tight-box,black-square",
        },
    }
    assert "manifest" in model.graph.doc_string


def test_every_input_and_output_is_explained(models: Mapping[str, onnx.ModelProto]) -> None:
    graph = models["per-layer"].graph
    told = {tensor.name: tensor.doc_string for tensor in (*graph.input, *graph.output)}
    assert told["image"].startswith("float32 [N, 3, 33, 33], RGB in [0, 1]: ")
    assert told["epsilon"].startswith("float32 scalar in units of the image: ")
    assert told["logits"].startswith("float32 [N, 2], without unit: one per class")
    assert told["logits.smoothed"].startswith("float32 [N, 2], without unit: one per class")
    assert told["logits.smoothed"].endswith("Of the same cells, smoothed.")
    assert told["features.layer3"].startswith("float32 [N, 12], 0 or more")
    assert told["distances"].startswith("float32 [N, 5, 2], 0 or more")
    assert told["confidences"].startswith("float32 [N, 5], 0 or less")
    assert told["gradient.stem"].startswith("float32 [N, 3, 33, 33], per unit of the image")
    assert len(told) == len(PLAIN + GRADIENTS) + 3  # image, asked, epsilon
    assert all(told.values())
