"""Local intrinsic dimensionality: of balls of known dimension, in duplicates, and with twins."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from edge_runtime.errors import CheckFailedError
from training.evaluation.detectors.lid import dimension, fit_lid, twin_batch_lid
from training.evaluation.detectors.observed import Observed

Array = NDArray[np.float64]
Draw = Callable[..., tuple[Observed, NDArray[np.int64]]]


def of_features(features: Array) -> Observed:
    count = len(features)
    images, logits = np.zeros((count, 2, 2, 3), np.uint8), np.zeros((count, 2), np.float32)
    return Observed(images, {"logits": logits}, (features.astype(np.float32),))


def ball(dimensions: int, points: int) -> Array:
    """Uniform points of a ball, which lies in a space of 8 dimensions."""
    rng = np.random.default_rng(dimensions)
    directions = rng.normal(size=(points, dimensions))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    frame = np.linalg.qr(rng.normal(size=(8, 8)))[0][:dimensions]
    return np.asarray(directions * rng.uniform(size=(points, 1)) ** (1 / dimensions) @ frame)


def slow_dimension(distances: Array) -> float:
    k = len(distances)
    return -k / sum(np.log(r / distances[-1]) for r in distances)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 6])
def test_dimension_of_a_ball(dimensions: int) -> None:
    bank = of_features(ball(dimensions, 4000))
    centre = of_features(np.zeros((1, 8)))
    score = fit_lid(bank, np.zeros(4000, np.int64), k=1000, largest=4000)
    assert score(centre)[0, 0] == pytest.approx(-dimensions, rel=0.1)


def test_is_the_papers_formula(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(30, 1)
    found = fit_lid(train, labels, k=10)(seen)
    assert found.shape == (30, 2)
    for layer in range(2):
        distances = np.sort(cdist(seen.features[layer], train.features[layer]), axis=1)[:, :10]
        assert found[:, layer] == pytest.approx([-slow_dimension(row) for row in distances])


def test_duplicates_have_a_finite_dimension() -> None:
    found = dimension(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [2.0, 2.0, 2.0], [0.0, 1.0, 2.0]]))
    assert found[0] == 0
    assert found[1] == pytest.approx(3 / (2 * np.log(1e6)))
    assert found[2] == pytest.approx(1e6)
    assert 0 < found[1] < found[3] < found[2]


def test_bank_of_duplicates_is_scored() -> None:
    blank = of_features(np.ones((40, 3)))
    found = fit_lid(blank, np.zeros(40, np.int64))(blank.take(slice(0, 5)))
    assert found.tolist() == [[0.0]] * 5


def test_twins_drop_the_nearest(draw: Draw) -> None:
    clean, _ = draw(60, 0)
    moved = tuple(f + np.float32(0.01) for f in clean.features)
    adversarial = replace(clean, features=moved)
    for tested in (clean, adversarial):
        found = twin_batch_lid(tested, clean, k=5, batch=20)
        for row, layer in ((0, 0), (19, 1), (20, 1), (59, 0)):
            batch = slice(row // 20 * 20, row // 20 * 20 + 20)
            distances = np.linalg.norm(clean.features[layer][batch] - tested.features[layer][row], axis=1)
            expected = slow_dimension(np.sort(distances)[1:6])
            assert found[row, layer] == pytest.approx(-expected, rel=1e-4)


def test_no_cell_is_left_out_of_the_batches(draw: Draw) -> None:
    clean, _ = draw(59, 0)
    assert np.isfinite(twin_batch_lid(clean, clean, k=5, batch=20)).all()
    assert twin_batch_lid(clean, clean, k=5, batch=20).shape == (59, 2)
    # None is smaller than asked for: three of 15 would have too few neighbours.
    assert twin_batch_lid(clean.take(slice(0, 45)), clean.take(slice(0, 45)), k=19, batch=20).shape == (45, 2)
    few, _ = draw(7, 0)
    assert twin_batch_lid(few, few, k=5, batch=20).shape == (7, 2)


def test_twins_must_be_as_many_and_enough(draw: Draw) -> None:
    clean, _ = draw(20, 0)
    with pytest.raises(CheckFailedError, match="19 cells and 20 twins"):
        twin_batch_lid(clean.take(slice(0, 19)), clean)
    with pytest.raises(CheckFailedError, match="20 features in the bank; 21"):
        twin_batch_lid(clean, clean, k=20)


def test_far_cells_score_lower(draw: Draw) -> None:
    """From afar all neighbours are about equally far, which looks like a high dimension."""
    (train, labels), (near, _), (far, _) = draw(300, 0), draw(100, 1), draw(100, 2, 60.0)
    score = fit_lid(train, labels)
    assert (score(near).min(axis=0) > score(far).max(axis=0)).all()
