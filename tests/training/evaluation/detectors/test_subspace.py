"""Residual and ViM: nothing is left inside the subspace, and all of what is orthogonal to it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.decomposition import PCA

from edge_runtime.errors import CheckFailedError
from training.evaluation.detectors.observed import Fit, Observed
from training.evaluation.detectors.subspace import fit_null_space, fit_residual, fit_vim

Draw = Callable[..., tuple[Observed, NDArray[np.int64]]]


def test_residual_is_0_inside_the_subspace_and_the_distance_from_it() -> None:
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    centre = rng.normal(size=10)
    space = fit_null_space(centre + rng.normal(size=(300, 4)) @ frame[:4], principal=0.4)
    inside = centre + rng.normal(0, 100, (20, 4)) @ frame[:4]
    assert space.directions.shape == (10, 6)
    assert space.residual(inside) == pytest.approx(np.zeros(20), abs=1e-9)
    offsets = rng.normal(size=(20, 6))
    assert space.residual(inside + offsets @ frame[4:]) == pytest.approx(np.linalg.norm(offsets, axis=1))


@pytest.mark.parametrize(("share", "left"), [(0.5, 4), (0.01, 8), (0.99, 1), (0.7, 3)])
def test_a_dimension_is_left_on_either_side(share: float, left: int) -> None:
    features = np.random.default_rng(1).normal(size=(50, 9))
    assert fit_null_space(features, share).directions.shape[1] == left + (share == 0.5)


def test_residual_is_what_principal_components_leave(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(30, 1, 1.0)
    found = fit_residual(train, labels)(seen)
    for layer, kept in ((0, 3), (1, 4)):
        oracle = PCA(kept).fit(train.features[layer].astype(np.float64))
        rebuilt = oracle.inverse_transform(oracle.transform(seen.features[layer].astype(np.float64)))
        expected = np.linalg.norm(seen.features[layer] - rebuilt, axis=1)
        assert found[:, layer] == pytest.approx(-expected, rel=1e-6)


def test_vim_ranks_as_the_probability_of_the_virtual_logit(draw: Draw) -> None:
    (train, labels), (seen, _) = draw(200, 0), draw(30, 1, 0.3)
    found = fit_vim(train, labels)(seen)
    scale = train.logits.max(axis=1).mean() / -fit_residual(train, labels)(train).mean(axis=0)
    virtual = -fit_residual(train, labels)(seen) * scale
    for layer in range(2):
        with_virtual = np.column_stack([seen.logits, virtual[:, layer]]).astype(np.float64)
        log_probability = virtual[:, layer] - logsumexp(with_virtual, axis=1)
        assert np.argsort(found[:, layer]).tolist() == np.argsort(-log_probability).tolist()


def test_vim_scales_the_residual_to_a_logit(draw: Draw) -> None:
    train, labels = draw(200, 0)
    found = fit_vim(train, labels)(train)
    largest = train.logits.max(axis=1).mean()
    assert found.mean(axis=0) == pytest.approx(logsumexp(train.logits, axis=1).mean() - largest, abs=1e-4)


def test_vim_refuses_logits_without_a_scale(draw: Draw) -> None:
    train, labels = draw(200, 0)
    with pytest.raises(CheckFailedError, match="ViM needs both above 0"):
        fit_vim(replace(train, answers={"logits": train.logits - 50}), labels)


@pytest.mark.parametrize("fit", [fit_residual, fit_vim])
def test_far_cells_score_lower(draw: Draw, fit: Fit) -> None:
    (train, labels), (near, _), (far, _) = draw(300, 0), draw(100, 1), draw(100, 2, 25.0)
    score = fit(train, labels)
    assert (score(near).min(axis=0) > score(far).max(axis=0)).all()
