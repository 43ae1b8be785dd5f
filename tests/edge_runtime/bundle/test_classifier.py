"""The graph in use: providers, batches, the perturbation, and whether the tiny bundle makes sense at all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from smoothing import smoothed

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.preprocessing import resize_crop, to_input
from edge_runtime.errors import BundleError, ImageError, ProviderError
from edge_runtime.simulator import PARASITIZED_KINDS, RED_CELL_KINDS, SimulatedField

EPSILON = 0.002
CPU_ONLY = pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this onnxruntime has CUDA"
)


@pytest.fixture(scope="module")
def resized(crops: list[np.ndarray]) -> np.ndarray:
    return np.stack([resize_crop(crop, 64) for crop in crops])


def test_the_provider_is_the_one_in_use(classifier: Classifier) -> None:
    assert classifier.provider == "CPUExecutionProvider"
    assert classifier.session.get_providers()[0] == "CPUExecutionProvider"


@CPU_ONLY
def test_a_provider_that_is_not_installed_is_an_error_that_lists_those_that_are(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderError, match=r"provider cuda: not in this onnxruntime .*CPUExecutionProvider"):
        Classifier.open(tiny_bundle, provider="cuda")


@CPU_ONLY
def test_a_provider_that_does_not_start_is_never_replaced_silently(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ort.InferenceSession

    def on_the_cpu(model: bytes, options: ort.SessionOptions, providers: list[str]) -> ort.InferenceSession:
        assert providers == ["CUDAExecutionProvider"]
        return start(
            model, options, providers=["CPUExecutionProvider"]
        )  # as onnxruntime does without a driver

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", on_the_cpu)
    with pytest.raises(ProviderError, match="provider cuda: did not start"):
        Classifier.open(tiny_bundle, provider="cuda")


def test_decisions_do_not_depend_on_the_batch(classifier: Classifier, crops: list[np.ndarray]) -> None:
    many = [crops[i % len(crops)] for i in range(70)]  # three runs of the graph
    together = classifier.decide(many)
    alone = [classifier.decide([crop]) for crop in many]
    np.testing.assert_allclose(together.values, [d.values[0] for d in alone], rtol=1e-3, atol=1e-3)
    assert together.label.tolist() == [d.label[0] for d in alone]
    assert together.rejected.shape == (70,)


def test_no_crops_give_no_decisions(classifier: Classifier) -> None:
    assert classifier.decide([]).label.shape == (0,)


def test_a_crop_without_a_cell_is_refused(classifier: Classifier) -> None:
    with pytest.raises(ImageError, match="crop: entirely black"):
        classifier.decide([np.zeros((50, 50, 3), np.uint8)])


def test_smoothed_logits_are_those_of_the_smoothed_cells(classifier: Classifier, resized: np.ndarray) -> None:
    images = to_input(resized)
    soft = np.stack([smoothed(image) for image in images]).astype(np.float32)
    assert np.abs(soft - images).max() > 0.05
    said = classifier.run(images, ["logits", "logits.smoothed"])
    expected = classifier.run(soft, ["logits"])["logits"]
    np.testing.assert_allclose(said["logits.smoothed"], expected, rtol=1e-4, atol=1e-4)
    lead = np.take_along_axis(expected, said["logits"].argmax(axis=1)[:, None], axis=1)[:, 0]
    change = 2 * lead - expected.sum(axis=1) - np.ptp(said["logits"], axis=1)  # of two classes
    assert np.abs(change).max() > 1e-3
    np.testing.assert_allclose(classifier.decide_resized(resized).value("stability"), change, atol=1e-3)


def test_without_perturbation_confidence_is_minus_the_distance_to_the_nearest_class(
    classifier: Classifier, resized: np.ndarray
) -> None:
    out = classifier.run(to_input(resized), ["distances", "confidences"], epsilon=0.0)
    assert out["distances"].shape == (len(resized), 5, 2)
    np.testing.assert_allclose(out["confidences"], -out["distances"].min(axis=2), rtol=1e-4, atol=1e-4)


def test_with_perturbation_confidence_is_that_of_the_image_moved_against_the_gradient(
    classifier: Classifier, resized: np.ndarray
) -> None:
    image = to_input(resized[:4])
    layers = classifier.bundle.manifest.detector.layers
    out = classifier.run(image, ["confidences", *(f"gradient.{layer}" for layer in layers)])
    plain = classifier.run(image, ["confidences"], epsilon=0.0)["confidences"]
    assert np.abs(out["confidences"] - plain).max() > 0.1
    for number, layer in enumerate(layers):
        step = np.float32(EPSILON) * np.sign(out[f"gradient.{layer}"])
        moved = np.clip(image - step, 0, 1)  # eq. 3 of the paper
        expected = classifier.run(moved, ["confidences"], epsilon=0.0)["confidences"][:, number]
        np.testing.assert_allclose(out["confidences"][:, number], expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_distance_to_the_nearest_class(
    classifier: Classifier, resized: np.ndarray
) -> None:
    """A step along the gradient must change the distance by what the gradient promises."""
    noise = np.random.default_rng(0).uniform(0.005, 0.03, (4, *to_input(resized[:1]).shape[1:]))
    # Black surroundings would be ties of the pooling, whose gradient is that of one side.
    image = (to_input(resized[:4]) + noise).clip(0, 1).astype(np.float32)
    layers = classifier.bundle.manifest.detector.layers
    out = classifier.run(image, [f"gradient.{layer}" for layer in layers])
    for number, layer in enumerate(layers):
        gradient = out[f"gradient.{layer}"]
        size = np.abs(gradient).max(axis=(1, 2, 3), keepdims=True)
        step = 2e-5 * gradient / size
        ends = [classifier.run(image + s * step, ["distances"], epsilon=0.0)["distances"] for s in (1, -1)]
        here = classifier.run(image, ["distances"], epsilon=0.0)["distances"][:, number].argmin(axis=1)
        change = (ends[0] - ends[1])[np.arange(4), number, here]
        promised = 2 * (gradient * step).sum(axis=(1, 2, 3))
        # As far as no rectifier is crossed on the way.
        np.testing.assert_allclose(change, promised, rtol=0.05)


def test_the_tiny_bundle_decides_well_on_simulated_cells(
    classifier: Classifier, fields: tuple[SimulatedField, ...]
) -> None:
    """Every other test of a decision would mean little if this one did not hold."""
    right, accepted, rejected_others, others = 0, 0, 0, 0
    for field in fields:
        found, _ = cut_cells(field.frame, classifier.bundle.manifest.input.size)
        sizes = np.array([cell.relative_size for cell in found])
        decisions = classifier.decide_resized([cell.resized for cell in found], sizes)
        for index, cell in enumerate(found):
            same = [o for o in field.objects if o.free and _near(o.box, cell.box)]
            if same and same[0].kind in RED_CELL_KINDS:
                expected = int(same[0].kind in PARASITIZED_KINDS)
                accepted += not decisions.rejected[index]
                right += bool(not decisions.rejected[index] and decisions.label[index] == expected)
            elif same:
                others += 1
                rejected_others += bool(decisions.rejected[index])
    assert accepted > 25
    assert right >= 0.95 * accepted
    assert others >= 5
    assert rejected_others >= 0.8 * others


def _near(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return bool(np.abs(np.subtract(one, other)).max() <= 8)


@pytest.mark.parametrize("model", [b"", b"no graph", bytes(1000)])
def test_a_graph_that_cannot_be_loaded_is_a_refusal_of_one_line(
    edited_bundle: Callable[..., Path], model: bytes
) -> None:
    with pytest.raises(BundleError, match=r"^model\.onnx: onnxruntime [0-9.]+ cannot load it \([^\n]*\)$"):
        Classifier.open(edited_bundle(files={"model.onnx": model}))


def _fewer_layers(manifest: dict[str, Any]) -> None:
    for name in ("layers", "weights"):
        manifest["detector"][name].pop()


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda m: m["outputs"].append("entropy"), "entropy"),
        (lambda m: m.update(perturbation="none"), "epsilon"),
        (lambda m: m["input"].update(size=125), r"gradient\.asked, image"),
        (_fewer_layers, "asked, confidences"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_is_refused(
    edited_bundle: Callable[..., Path], edit: Callable[[dict[str, Any]], object], named: str
) -> None:
    with pytest.raises(BundleError, match=rf"model\.onnx: {named} not as the manifest says"):
        Classifier.open(edited_bundle(edit))


def test_a_graph_that_does_not_smooth_is_refused(
    edited_bundle: Callable[..., Path], tiny_bundle: Path
) -> None:
    model = (tiny_bundle / "model.onnx").read_bytes().replace(b"logits.smoothed", b"logits.hardened")
    with pytest.raises(BundleError, match=r"model\.onnx: logits\.smoothed not as the manifest says"):
        Classifier.open(edited_bundle(files={"model.onnx": model}))


def test_a_run_that_fails_on_the_device_is_a_refusal_of_one_line(classifier: Classifier) -> None:
    with pytest.raises(
        ProviderError, match=r"^CPUExecutionProvider could not run the graph on 2 cells [^\n]*$"
    ):
        classifier.run(np.zeros((2, 3, 10, 10), np.float32), ["logits"])
