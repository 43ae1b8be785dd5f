"""Trivial scores on drawn cells: discs on black, and what attacks and other stains make of them."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from training.evaluation.detectors.baselines import (
    black_background,
    colourfulness,
    dark_corners,
    fit_colour,
    fit_forest,
    fit_usual_sharpness,
    sharpness,
)
from training.evaluation.detectors.observed import Observed

SIDE = 64
Images = NDArray[np.uint8]


def observed(images: Images) -> Observed:
    logits = np.zeros((len(images), 2), np.float32)
    return Observed(images, {"logits": logits}, ())


def discs(count: int, seed: int, noise: float = 8.0) -> tuple[Images, NDArray[np.int64]]:
    """Pink cells; every second one holds a dark spot."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    made = []
    for label in labels:
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        cv2.circle(image, (32, 32), int(rng.integers(26, 31)), (210, 140, 160), -1)
        if label:
            cv2.circle(image, (28, 36), 7, (90, 40, 120), -1)
        noisy = image + rng.normal(0, noise, image.shape)
        made.append(np.where(image > 0, noisy.clip(1, 255), 0).astype(np.uint8))
    return np.stack(made), labels


def white_outside(images: Images) -> Images:
    return np.where(images.any(axis=3, keepdims=True), images, np.uint8(255))


def test_grey_has_no_colour() -> None:
    images, _ = discs(3, 0)
    grey = np.repeat(images.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)
    assert colourfulness(observed(grey)).tolist() == [0, 0, 0]
    plain = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    plain[0, 20:40, 20:30] = (200, 120, 150)  # outside it, black counts for nothing
    assert colourfulness(observed(plain)).tolist() == [80]


def test_corners() -> None:
    images, _ = discs(2, 0)
    assert dark_corners(observed(images)).tolist() == [0, 0]
    images[0, :4, -4:] = 100  # one corner of four
    images[1] = white_outside(images[1:])[0]
    assert dark_corners(observed(images)).tolist() == [-25, -255]
    images[0] = 0
    images[0, 4:-4, 4:-4] = 255  # everything but the corners and the edges
    assert dark_corners(observed(images))[0] == 0


def test_background() -> None:
    images, _ = discs(4, 0)
    assert black_background(observed(images)).tolist() == [0, 0, 0, 0]
    images[1] += np.uint8(images[1] == 0)  # what a perturbation of one grey level does
    images[2] = white_outside(images[2:3])[0]
    images[3, :32] = 255
    assert black_background(observed(images)) == pytest.approx([0, -1, -1, -0.5])


def test_sharpness_is_the_variance_inside_the_cell() -> None:
    flat = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    flat[0, 10:50, 10:50] = 130
    assert sharpness(observed(flat)).tolist() == [0]  # the step to the background does not count
    board = flat.copy()
    board[0, 10:50:2, 10:50:2] = 150
    board[0, 11:50:2, 11:50:2] = 150
    # Every pixel differs from its four neighbours by 20, so the Laplacian is 80 or -80 in equal parts.
    assert sharpness(observed(board)) == pytest.approx([6400])
    full = np.full((1, 8, 8, 3), 77, np.uint8)  # a cell that fills the frame
    assert sharpness(observed(full)).tolist() == [0]


def test_blur_and_noise_are_both_unusual() -> None:
    images, labels = discs(40, 0)
    score = fit_usual_sharpness(observed(images), labels)
    usual = score(observed(discs(20, 1)[0]))
    blurred = np.stack([cv2.GaussianBlur(i, (0, 0), 2) for i in images])
    noisy, _ = discs(20, 2, noise=25.0)
    assert sharpness(observed(blurred)).max() < sharpness(observed(images)).min()
    for strange in (blurred, noisy):
        assert score(observed(strange)).max() < np.median(usual)
    assert usual.max() <= 0


def test_colour_is_scipys_mahalanobis() -> None:
    images, labels = discs(60, 0)
    seen = discs(5, 1)[0]

    def colours(batch: Images) -> NDArray[np.float64]:
        rows = []
        for image in batch:
            cell = image.reshape(-1, 3)[image.reshape(-1, 3).sum(axis=1, dtype=int) > 0]
            rows.append([*cell.mean(axis=0), *cell.std(axis=0)])
        return np.array(rows)

    oracle = LedoitWolf().fit(colours(images))
    precision = np.linalg.inv(oracle.covariance_)
    expected = [-(mahalanobis(row, oracle.location_, precision) ** 2) for row in colours(seen)]
    assert fit_colour(observed(images), labels)(observed(seen)) == pytest.approx(expected, rel=1e-6)


def test_another_stain_scores_lower() -> None:
    images, labels = discs(60, 0)
    score = fit_colour(observed(images), labels)
    blue = np.ascontiguousarray(discs(20, 1)[0][..., ::-1])
    assert score(observed(discs(20, 1)[0])).min() > score(observed(blue)).max()


def test_forest_knows_the_classes_and_doubts_what_lies_between() -> None:
    images, labels = discs(60, 0)
    score = fit_forest(observed(images), labels, trees=30)
    known = score(observed(discs(20, 1)[0]))
    between = np.stack(
        [(0.55 * a + 0.45 * b).astype(np.uint8) for a, b in zip(images[::2], images[1::2], strict=True)]
    )
    assert known.min() >= 0.5
    assert known.mean() > score(observed(between)).mean() + 0.05
    assert (known * 30) == pytest.approx(np.round(known * 30))  # multiples of 1 / trees
    assert np.array_equal(known, fit_forest(observed(images), labels, trees=30)(observed(discs(20, 1)[0])))


@pytest.mark.parametrize("score", [colourfulness, dark_corners, black_background, sharpness])
def test_a_black_image_has_a_score(score: Callable[[Observed], NDArray[np.float64]]) -> None:
    found = score(observed(np.zeros((2, 20, 20, 3), np.uint8)))
    assert found.tolist() == [0, 0]
    assert found.dtype == np.float64
