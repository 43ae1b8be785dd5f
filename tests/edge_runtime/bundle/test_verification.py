"""Replaying reference vectors: passes on a sound bundle, and sees every kind of difference."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.parity import all_passed
from edge_runtime.bundle.verification import FRAME_OUTPUTS, load_reference, replay
from edge_runtime.decision import table
from edge_runtime.decision.decide import decide
from edge_runtime.decision.evidence import Evidence
from edge_runtime.errors import BundleError, CellgateError

Vectors = dict[str, np.ndarray]
VALUES = [f"value of {test.name}" for test in table.TESTS]


@pytest.fixture
def vectors(classifier: Classifier) -> Vectors:
    return {name: np.array(value) for name, value in load_reference(classifier.bundle).items()}


@pytest.fixture
def with_reference(edited_bundle: Callable[..., Path]) -> Callable[[Vectors], Classifier]:
    def make(vectors: Vectors) -> Classifier:
        buffer = io.BytesIO()
        np.savez(buffer, **vectors)
        return Classifier.open(edited_bundle(files={"reference.npz": buffer.getvalue()}))

    return make


def failed(classifier: Classifier) -> set[str]:
    checks = replay(classifier)
    assert all_passed(checks) == all(check.passed for check in checks)
    return {check.name for check in checks if not check.passed}


def test_a_sound_bundle_passes_on_every_output(classifier: Classifier) -> None:
    checks = replay(classifier)
    layers = ("stem", "layer1", "layer2", "layer3", "layer4")
    assert [check.name for check in checks] == [
        "logits",
        "logits.smoothed",
        *(f"features.{layer}" for layer in layers),
        "distances",
        "confidences",
        *(f"gradient.{layer}, signs" for layer in ("asked", *layers)),
        "appearance",
        *VALUES,
        "decisions that differ",
        "frame: cells found elsewhere",
        "frame: confidences",
        "frame: appearance",
        *(f"frame: {name}" for name in VALUES),
        "frame: decisions that differ",
    ]
    assert all_passed(checks)


def test_reference_holds_real_cells_of_both_classes(vectors: Vectors) -> None:
    assert vectors["images"].dtype == np.uint8
    assert vectors["images"].shape == (4, 64, 64, 3)
    assert set(vectors["logits"].argmax(axis=1)) == {0, 1}


def test_reference_frame_holds_cells_of_both_answers(vectors: Vectors, classifier: Classifier) -> None:
    cells = len(vectors["frame.boxes"])
    assert cells >= 10
    assert (vectors["frame"].dtype, vectors["frame"].ndim) == (np.uint8, 3)
    said = decide(
        classifier.bundle.manifest.detector,
        Evidence.of(
            {name: vectors[stored] for name, stored in FRAME_OUTPUTS.items()}, [], vectors["frame.appearance"]
        ),
    )
    assert set(said.label) == {0, 1}
    assert 0 < said.rejected.sum() < 0.6 * cells


def test_a_cell_that_this_device_finds_elsewhere_is_counted(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["frame.boxes"][0, 0] += 1  # one missing, one too many
    found = {check.name: check.value for check in replay(with_reference(vectors))}
    assert found["frame: cells found elsewhere"] == 2
    assert found["frame: decisions that differ"] == 0


def test_the_order_of_the_cells_in_a_frame_does_not_matter(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    for name in ("frame.boxes", "frame.appearance", *FRAME_OUTPUTS.values()):
        vectors[name] = vectors[name][::-1]
    assert failed(with_reference(vectors)) == set()


def test_a_frame_seen_in_other_colours_is_seen(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["frame"] = vectors["frame"][..., ::-1].copy()
    assert failed(with_reference(vectors)) & {"frame: cells found elsewhere", "frame: confidences"}


@pytest.mark.parametrize("name", ["frame.logits", "frame.logits.smoothed"])
def test_a_decision_in_the_frame_that_differs_is_seen(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier], name: str
) -> None:
    """Two logits with their signs changed have the same margin, but smoothing seems to turn it round."""
    vectors[name] = -vectors[name]
    assert failed(with_reference(vectors)) == {"frame: value of stability", "frame: decisions that differ"}


@pytest.mark.parametrize(
    ("name", "change", "followed_by"),
    [
        ("logits", 2e-3, ["value of stability", "value of margin", "value of certainty"]),
        ("logits.smoothed", 2e-3, ["value of stability"]),
        ("features.layer2", 1e-3, []),
        ("distances", 1e-1, []),
        ("confidences", 5e-1, ["value of confidence"]),
    ],
)
def test_a_number_that_differs_is_told_by_its_outputs_name(
    vectors: Vectors,
    with_reference: Callable[[Vectors], Classifier],
    name: str,
    change: float,
    followed_by: list[str],
) -> None:
    """And by the tests that look at it."""
    vectors[name].flat[-1] += change * max(1.0, abs(vectors[name].flat[-1]))
    assert failed(with_reference(vectors)) == {name, *followed_by}


def test_a_small_distance_beside_large_ones_counts_by_its_own_size(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    distances = vectors["distances"]
    cell = np.linalg.norm(distances.reshape(len(distances), -1), axis=1).argmax()
    smallest = np.unravel_index(distances[cell].argmin(), distances[cell].shape)
    distances[cell][smallest] += 2e-4 * max(1.0, distances[cell][smallest])
    assert failed(with_reference(vectors)) == {"distances"}


def test_a_gradient_that_points_elsewhere_is_seen(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["signs.layer3"][0, 0] *= -1  # one channel of one cell
    assert failed(with_reference(vectors)) == {"gradient.layer3, signs"}


def test_another_class_is_seen_as_another_decision(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["logits"][0] = vectors["logits"][0, ::-1]
    assert failed(with_reference(vectors)) == {"logits", "value of stability", "decisions that differ"}


@pytest.mark.parametrize(
    ("name", "change", "test"),
    [("confidences", -1000.0, "confidence"), ("logits.smoothed", [50.0, -50.0], "stability")],
)
def test_another_rejection_is_seen_as_another_decision(
    vectors: Vectors,
    with_reference: Callable[[Vectors], Classifier],
    name: str,
    change: float | list[float],
    test: str,
) -> None:
    vectors[name][-1] += np.float32(change)
    assert failed(with_reference(vectors)) == {name, f"value of {test}", "decisions that differ"}


def test_an_output_of_another_shape_fails(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["features.stem"] = vectors["features.stem"][:, :-1]
    assert failed(with_reference(vectors)) == {"features.stem"}


def test_a_missing_vector_is_named(vectors: Vectors, with_reference: Callable[[Vectors], Classifier]) -> None:
    del vectors["signs.stem"]
    with pytest.raises(BundleError, match=r"reference\.npz: holds .*; expected .*signs\.stem"):
        replay(with_reference(vectors))


def test_images_of_another_size_are_a_refusal(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["images"] = vectors["images"][:, :32]
    with pytest.raises(CellgateError, match="4 cells"):
        replay(with_reference(vectors))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"\x80\x04]."])
def test_vectors_that_cannot_be_read_are_a_refusal(edited_bundle: Callable[..., Path], data: bytes) -> None:
    classifier = Classifier.open(edited_bundle(files={"reference.npz": data}))
    with pytest.raises(BundleError, match=r"reference\.npz: cannot be read"):
        replay(classifier)


def test_pickled_vectors_are_never_loaded(
    vectors: Vectors, with_reference: Callable[[Vectors], Classifier]
) -> None:
    vectors["logits"] = np.array([{"a": 1}], object)
    with pytest.raises(BundleError, match="cannot be read"):
        replay(with_reference(vectors))
