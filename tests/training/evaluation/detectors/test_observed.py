"""Observing equals one pass over all images at once, and choosing keeps outputs with their images."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge_runtime.decision.appearance import describe
from training.evaluation.detectors.observed import by_layer, observe
from training.networks import ResNet
from training.reference import smooth
from training.statistics import to_tensor


def test_outputs_are_those_of_one_pass(network: ResNet, pixels: NDArray[np.uint8]) -> None:
    found = observe(network, pixels)
    with torch.inference_mode():
        logits, features = network(to_tensor(pixels))
        smoothed, _ = network(smooth(to_tensor(pixels)))
    assert len(found) == 70
    assert found.images is pixels
    assert found.logits is found.answers["logits"]
    assert set(found.answers) == {"logits", "logits.smoothed"}
    for name, expected in (("logits", logits), ("logits.smoothed", smoothed)):
        assert found.answers[name].dtype == np.float32
        assert found.answers[name] == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-5)
    assert np.abs(found.answers["logits.smoothed"] - found.logits).max() > 0.1
    assert len(found.features) == len(network.layers)
    for layer, expected in zip(found.features, features, strict=True):
        assert layer.dtype == np.float32
        assert layer == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("chosen", [np.array([69, 0, 3]), np.arange(70) % 7 == 2, slice(60, None)])
def test_chosen_images_keep_their_outputs(
    network: ResNet, pixels: NDArray[np.uint8], chosen: NDArray[np.int64] | slice
) -> None:
    part = observe(network, pixels).take(chosen)
    alone = observe(network, pixels[chosen])
    assert np.array_equal(part.images, alone.images)
    assert set(part.answers) == {"logits", "logits.smoothed"}
    for name, answer in part.answers.items():
        assert answer == pytest.approx(alone.answers[name], rel=1e-4, abs=1e-5)
    for one, other in zip(part.features, alone.features, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)


def test_the_evidence_is_the_answers_and_what_a_camera_would_show(
    network: ResNet, pixels: NDArray[np.uint8]
) -> None:
    between = (pixels[:3] + np.float32(0.3)).clip(0, 255) / np.float32(255)  # as no camera gives it
    seen, scores = observe(network, between), np.arange(15.0).reshape(3, 5)
    found = seen.evidence(scores)
    assert found.logits is seen.answers["logits"]
    assert found.smoothed is seen.answers["logits.smoothed"]
    assert found.confidences.tolist() == scores.tolist()
    assert np.array_equal(found.crops, pixels[:3])
    assert np.array_equal(found.appearance, describe(pixels[:3]))


def test_progress_is_shown_where_it_is_named(
    network: ResNet, pixels: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    observe(network, pixels[:2])
    assert capsys.readouterr().err == ""
    observe(network, pixels[:2], progress="test cells")
    shown = capsys.readouterr()
    assert "test cells" in shown.err
    assert shown.out == ""


def test_layers_stand_side_by_side() -> None:
    assert by_layer([np.array([1.0, 2.0]), np.array([3.0, 4.0])]).tolist() == [[1.0, 3.0], [2.0, 4.0]]
