"""A crop without its mask: the film is bright, the rim is not mixed with black, and the crop comes back."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.simulator import simulate_field
from edge_runtime.simulator.unmasking import noise_level, unmasked


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    return simulate_field(5, 0, width=640, height=480, cells=12).frame


@pytest.mark.parametrize("size", [64, 125])
def test_masked_again_the_crop_comes_back(frame: NDArray[np.uint8], size: int) -> None:
    for cell in cut_cells(frame, size)[0]:
        bare = unmasked(cell.resized)
        # A mixed pixel takes its colour from the pixels inside of it; its brightness comes back.
        again = bare.masked(bare.light).astype(int)
        np.testing.assert_array_equal(again.any(axis=2), cell.resized.any(axis=2))
        assert np.abs(again.mean(axis=2) - cell.resized.mean(axis=2)).max() <= 1.5
        deep = cv2.erode(cell.resized.any(axis=2).astype(np.uint8), np.ones((7, 7)), borderValue=0) > 0
        np.testing.assert_array_equal(again[deep], cell.resized[deep])


def test_no_black_is_left(frame: NDArray[np.uint8]) -> None:
    for cell in cut_cells(frame, 125)[0]:
        bare = unmasked(cell.resized)
        inner = bare.light[bare.cover[..., 0] == 1]
        assert bare.light.min() > 0.8 * inner.min()
        assert cell.resized[cell.resized.any(axis=2)].min() < 0.3 * 255 * inner.min()


def test_the_film_is_what_a_fading_border_fades_into() -> None:
    """Absorbance that grows evenly from 4 pixels outside of the mask to 12 inside, and no more from there."""
    film = np.array([0.9, 0.85, 0.8])
    y, x = np.mgrid[:125, :125] - 62
    depth = 60 - np.hypot(x, y)
    absorbance = 0.02 * np.clip(depth + 4, 0, 16)[..., None] * [0.5, 1, 0.8]
    crop = np.rint(np.where(depth[..., None] > 0, film * np.exp(-absorbance), 0) * 255).astype(np.uint8)
    assert unmasked(crop).film == pytest.approx(film, rel=0.02)


def test_the_film_is_as_bright_as_the_bright_parts_of_the_cell_and_no_brighter_than_light(
    frame: NDArray[np.uint8],
) -> None:
    for cell in cut_cells(frame, 125)[0]:
        film = unmasked(cell.resized).film
        assert (film <= 1).all()
        assert (film * 255 >= np.quantile(cell.resized[cell.resized.any(axis=2)], 0.85, axis=0)).all()
    ring = np.zeros((60, 60, 3), np.uint8)  # a cell whose middle is nearly black
    cv2.circle(ring, (30, 30), 28, (200, 200, 200), -1)
    cv2.circle(ring, (30, 30), 22, (2, 2, 2), -1)
    assert (unmasked(ring).film == 1).all()


def test_a_thin_crop_is_taken_as_it_is() -> None:
    crop = np.zeros((40, 40, 3), np.uint8)
    crop[18:21, 5:35] = (200, 150, 160)
    bare = unmasked(crop)
    np.testing.assert_array_equal(bare.masked(bare.light), crop)
    assert bare.film * 255 == pytest.approx([200, 150, 160], abs=0.5)


@pytest.mark.parametrize("deviation", [0.005, 0.02])
def test_the_noise_is_measured_on_slopes_and_edges(deviation: float) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200].astype(np.float32) / 200
    light = np.dstack([0.3 + 0.4 * x, 0.2 + 0.5 * y * x, np.where(x > 0.5, 0.7, 0.4)])
    noisy = (light + deviation * rng.standard_normal(light.shape)).astype(np.float32)
    inside = np.hypot(x - 0.5, y - 0.5) < 0.4
    noisy[~inside] = 0  # what lies outside says nothing
    inner = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
    assert noise_level(noisy, inner) == pytest.approx([deviation] * 3, rel=0.03)
