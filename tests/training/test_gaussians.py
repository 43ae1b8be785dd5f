"""Class-conditional Gaussian statistics against scikit-learn and scipy, and as a file."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from edge_runtime.errors import CheckFailedError, SourceError
from training.gaussians import (
    LayerGaussian,
    Moments,
    fit_gaussian,
    load_gaussians,
    relative_activations,
    save_gaussians,
)

Features = NDArray[np.floating]
Labels = NDArray[np.int64]


def sample(cells: int, channels: int, seed: int = 0) -> tuple[Features, Labels]:
    """Correlated, skewed features of two classes, far from the origin, as a ReLU network's are."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cells)
    labels[:4] = [0, 1, 0, 1]
    mixing = rng.normal(size=(channels, channels)) * np.geomspace(0.1, 3, channels)
    features = rng.gamma(2.0, size=(cells, channels)) @ mixing + 5
    return features + labels[:, None] * rng.normal(size=channels), labels


def class_centred(features: Features, labels: Labels) -> Features:
    means = np.stack([features[labels == label].mean(axis=0) for label in (0, 1)])
    return features - means[labels]


def covariance_of(gaussian: LayerGaussian) -> Features:
    return np.linalg.inv(gaussian.whitening.T @ gaussian.whitening)


@pytest.mark.parametrize(("cells", "channels"), [(400, 5), (60, 16), (20, 40), (30, 1)])
def test_shrinkage_and_covariance_are_those_of_scikit_learn(cells: int, channels: int) -> None:
    features, labels = sample(cells, channels)
    found = fit_gaussian(Moments.of(features, labels, 2), "layer")
    expected = LedoitWolf(assume_centered=True).fit(class_centred(features, labels))
    assert found.shrinkage == pytest.approx(expected.shrinkage_, rel=1e-8)
    assert np.allclose(covariance_of(found), expected.covariance_, rtol=1e-6)
    assert found.condition == pytest.approx(np.linalg.cond(expected.covariance_), rel=1e-6)


def test_with_many_cells_the_covariance_is_the_empirical_one() -> None:
    features, labels = sample(60_000, 4)
    found = fit_gaussian(Moments.of(features, labels, 2), "layer")
    expected = EmpiricalCovariance(assume_centered=True).fit(class_centred(features, labels))
    assert found.shrinkage < 1e-3
    assert np.allclose(covariance_of(found), expected.covariance_, rtol=2e-2, atol=1e-2)


def test_means_and_counts() -> None:
    features, labels = sample(50, 3)
    found = fit_gaussian(Moments.of(features, labels, 2), "layer")
    for label in (0, 1):
        assert np.allclose(found.means[label], features[labels == label].mean(axis=0), rtol=1e-12)
    assert found.counts.tolist() == np.bincount(labels).tolist()


def test_distances_are_those_of_scipy() -> None:
    features, labels = sample(200, 6)
    found = fit_gaussian(Moments.of(features, labels, 2), "layer")
    precision = LedoitWolf(assume_centered=True).fit(class_centred(features, labels)).precision_
    expected = cdist(features, found.means, "mahalanobis", VI=precision) ** 2
    assert np.allclose(found.distances(features), expected, rtol=1e-6)


def test_relative_activations_do_not_depend_on_how_strong_they_are() -> None:
    features = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]])
    assert relative_activations(features) == pytest.approx(np.array([[0.5, 1, 1.5], [0, 0, 3]]), rel=1e-5)
    assert relative_activations(features * 50) == pytest.approx(relative_activations(features), rel=1e-5)
    assert relative_activations(np.zeros((1, 3))).tolist() == [[0, 0, 0]]  # a layer can be silent


def test_distances_of_a_relative_gaussian_are_of_relative_activations() -> None:
    features, labels = sample(200, 6)
    features = np.abs(features)
    relative = relative_activations(features)
    found = fit_gaussian(Moments.of(relative, labels, 2), "layer", relative=True)
    same = fit_gaussian(Moments.of(relative, labels, 2), "layer")
    # SILENCE in the mean leaves a trace of the direction that is taken off.
    assert found.distances(features) == pytest.approx(same.distances(relative), rel=1e-4)


def test_rounding_along_what_relative_activations_add_up_to_is_not_blown_up() -> None:
    """In float32 as on the device: a bit of rounding that all channels share moves no distance."""
    features = np.abs(sample(200, 6)[0])
    relative = relative_activations(features)
    found = fit_gaussian(Moments.of(relative, sample(200, 6)[1], 2), "layer", relative=True)
    white = (relative - found.means[0]) @ found.whitening.T
    moved = (relative + 1e-3 - found.means[0]) @ found.whitening.T
    assert np.abs(moved - white).max() < 1e-12
    assert np.allclose(found.distances(features * 7), found.distances(features), rtol=1e-4)


def test_distances_do_not_depend_on_where_the_origin_is() -> None:
    features, labels = sample(200, 6)
    near, far = (fit_gaussian(Moments.of(f, labels, 2), "layer") for f in (features, features + 1000))
    assert np.allclose(near.distances(features), far.distances(features + 1000), rtol=1e-4)


def test_whitening_is_lower_triangular() -> None:
    whitening = fit_gaussian(Moments.of(*sample(100, 5), 2), "layer").whitening
    assert np.array_equal(whitening, np.tril(whitening))


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 80), max_size=6))
def test_streaming_over_batches_equals_one_batch(seed: int, cuts: list[int]) -> None:
    features, labels = sample(80, 7, seed)
    bounds = [0, *sorted(cuts), 80]  # empty batches too
    parts = [slice(a, b) for a, b in itertools.pairwise(bounds)]
    total = Moments.of(features[parts[0]], labels[parts[0]], 2)
    for part in parts[1:]:
        total = total + Moments.of(features[part], labels[part], 2)
    for found, expected in zip(total.arrays(), Moments.of(features, labels, 2).arrays(), strict=True):
        assert np.allclose(found, expected, rtol=1e-12)
    streamed, at_once = fit_gaussian(total, "l"), fit_gaussian(Moments.of(features, labels, 2), "l")
    assert streamed.shrinkage == pytest.approx(at_once.shrinkage, rel=1e-8)
    assert np.allclose(streamed.whitening, at_once.whitening, rtol=1e-6, atol=1e-9)


def test_moments_of_three_cells() -> None:
    found = Moments.of(np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]], np.float32), np.array([0, 1, 0]), 2)
    assert found.count.tolist() == [2, 1]
    assert found.first.tolist() == [[1, 3], [3, 0]]
    assert found.second.tolist() == [[[1, 2], [2, 5]], [[9, 0], [0, 0]]]
    assert found.third.tolist() == [[5, 11], [27, 0]]
    assert found.fourth.tolist() == [26, 81]
    assert {array.dtype for array in found.arrays()} == {np.dtype(np.float64)}


@pytest.mark.parametrize("label", [0, 1])
def test_class_without_cells_is_refused(label: int) -> None:
    features = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(CheckFailedError, match="layer2: a class has fewer than 2 cells"):
        fit_gaussian(Moments.of(features, np.full(20, label), 2), "layer2")


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.567])
def test_features_that_do_not_vary_are_refused(value: float) -> None:
    features = np.full((50, 3), value, np.float32)
    with pytest.raises(CheckFailedError, match="stem: the features are the same for every cell"):
        fit_gaussian(Moments.of(features, np.arange(50) % 2, 2), "stem")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(value: float) -> None:
    features, labels = sample(50, 3)
    features[7, 1] = value
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(CheckFailedError, match="stem: features that are no numb"),
    ):
        fit_gaussian(Moments.of(features, labels, 2), "stem")


def test_features_on_a_line_are_refused() -> None:
    # Two opposite points per class: the estimated error of the covariance is 0, so nothing is shrunk.
    features = np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]] * 4)
    with pytest.raises(CheckFailedError, match="stem: the covariance has condition"):
        fit_gaussian(Moments.of(features, np.array([0, 0, 1, 1] * 2), 2), "stem")


def test_dead_channel_is_no_obstacle() -> None:
    features, labels = sample(200, 5)
    features[:, 2] = 0
    found = fit_gaussian(Moments.of(features, labels, 2), "stem")
    assert np.isfinite(found.distances(features)).all()


@pytest.fixture
def layers() -> dict[str, LayerGaussian]:
    return {
        name: fit_gaussian(Moments.of(*sample(100, channels), 2), name, relative=name == "stem")
        for name, channels in (("stem", 4), ("layer1", 1), ("a layer", 9))
    }


def test_file_keeps_every_bit(tmp_path: Path, layers: dict[str, LayerGaussian]) -> None:
    path = tmp_path / "gaussians.npz"
    save_gaussians(path, layers.items())
    found = load_gaussians(path)
    assert list(found) == ["stem", "layer1", "a layer"]
    for name, layer in layers.items():
        for field in ("means", "whitening", "counts"):
            assert getattr(found[name], field).dtype == np.float64
            assert np.array_equal(getattr(found[name], field), getattr(layer, field))
        for field in ("shrinkage", "condition", "relative"):
            assert getattr(found[name], field) == getattr(layer, field)
    with np.load(path, allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)
    assert [file.name for file in tmp_path.iterdir()] == ["gaussians.npz"]


def test_interrupted_writing_keeps_the_old_file(tmp_path: Path, layers: dict[str, LayerGaussian]) -> None:
    path = tmp_path / "gaussians.npz"
    save_gaussians(path, layers.items())
    broken = LayerGaussian(*[object()] * 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="allow_pickle"):
        save_gaussians(path, [("stem", broken)])
    assert list(load_gaussians(path)) == ["stem", "layer1", "a layer"]


def test_what_is_no_file_of_statistics_is_refused(tmp_path: Path, layers: dict[str, LayerGaussian]) -> None:
    path = tmp_path / "gaussians.npz"
    with pytest.raises(SourceError, match="no Gaussian statistics"):
        load_gaussians(path)
    save_gaussians(path, layers.items())
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    for content in (
        whole[: len(whole) // 2],
        b"",
        pickle.dumps({"layers": ["stem"]}),
        (tmp_path / "other.npz").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="no Gaussian statistics"):
            load_gaussians(path)
