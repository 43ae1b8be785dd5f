"""Nearest neighbours against brute force."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from edge_runtime.errors import CheckFailedError
from training.evaluation.detectors.neighbours import Bank, bank_members, fit_nearest
from training.evaluation.detectors.observed import Observed

Draw = Callable[..., tuple[Observed, NDArray[np.int64]]]


def test_distances_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(300, 7)), rng.normal(size=(600, 7))
    expected = np.sort(cdist(queries, points), axis=1)[:, :9]
    assert Bank(points).distances(queries, 9) == pytest.approx(expected)


def test_duplicates_are_exactly_0_apart() -> None:
    points = np.random.default_rng(1).normal(1000, 1, (50, 64)).astype(np.float32)
    found = Bank(points).distances(points, 2)
    assert (found[:, 0] == 0).all()
    assert (found[:, 1] > 0).all()


def test_too_small_a_bank_is_refused() -> None:
    with pytest.raises(CheckFailedError, match="3 features in the bank; 4 neighbours"):
        Bank(np.eye(3)).distances(np.eye(3), 4)


def test_score_is_minus_the_kth_distance_between_unit_features(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(30, 1, 1.0)
    found = fit_nearest(train, labels, k=5)(seen)
    for layer in range(2):
        bank, query = (
            f / np.linalg.norm(f, axis=1, keepdims=True)
            for f in (train.features[layer], seen.features[layer])
        )
        expected = np.sort(cdist(query, bank), axis=1)[:, 4]
        assert found[:, layer] == pytest.approx(-expected, rel=1e-4)


def test_bank_is_a_fixed_draw_from_all_cells(draw: Draw) -> None:
    assert bank_members(5, 5).tolist() == [0, 1, 2, 3, 4]
    members = bank_members(1000, 100)
    assert len(set(members.tolist())) == 100
    assert members.max() > 900  # not the first hundred
    assert np.array_equal(members, bank_members(1000, 100))
    (train, labels), (seen, _) = draw(300, 0), draw(30, 1)
    capped = fit_nearest(train, labels, k=5, largest=100)(seen)
    chosen = bank_members(300, 100)
    assert np.array_equal(capped, fit_nearest(train.take(chosen), labels[chosen], k=5)(seen))


def test_far_cells_score_lower(draw: Draw) -> None:
    (train, labels), (near, _), (far, _) = draw(300, 0), draw(100, 1), draw(100, 2, 25.0)
    score = fit_nearest(train, labels)
    assert (score(near).min(axis=0) > score(far).max(axis=0)).all()
