"""The sharpness of a frame follows its blur, and nothing else about the picture."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.segmentation import segmentation
from edge_runtime.fields.sharpness import Sharpness, sharpness
from edge_runtime.fields.view import FieldView, view
from edge_runtime.simulator import simulate_field
from edge_runtime.simulator.corruptions import defocus, moved


@pytest.fixture(scope="module")
def frame() -> NDArray[np.uint8]:
    return simulate_field(3, 0, width=640, height=480, cells=22).frame


def viewed(frame: NDArray[np.uint8]) -> FieldView:
    return view(frame, segmentation(frame))


def blurred(frame: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Out of focus by a disc whose radius is a share of the typical cell's diameter."""
    radius = share * viewed(frame).diameter
    return np.rint(np.clip(defocus(frame.astype(np.float32) / 255, radius), 0, 1) * 255).astype(np.uint8)


def test_the_more_blur_the_less_sharp(frame: NDArray[np.uint8]) -> None:
    found = [viewed(blurred(frame, share)).sharpness for share in (0.02, 0.04, 0.06, 0.08, 0.12, 0.16)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.5 * found[3]


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_camera_with_other_pixels_gives_the_same(frame: NDArray[np.uint8], scale: float) -> None:
    soft = blurred(frame, 0.06)
    other = cv2.resize(soft, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    assert viewed(np.asarray(other, np.uint8)).sharpness == pytest.approx(viewed(soft).sharpness, rel=0.08)


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.1])
def test_another_exposure_gives_the_same(frame: NDArray[np.uint8], gain: float) -> None:
    soft = blurred(frame, 0.06)
    other = np.clip(soft * gain, 0, 255).astype(np.uint8)
    assert viewed(other).sharpness == pytest.approx(viewed(soft).sharpness, rel=0.06)


def test_noise_does_not_sharpen(frame: NDArray[np.uint8]) -> None:
    soft = blurred(frame, 0.08)
    noise = np.random.default_rng(0).normal(0, 3, soft.shape)
    noisy = np.clip(np.rint(soft + noise), 0, 255).astype(np.uint8)
    assert viewed(noisy).sharpness == pytest.approx(viewed(soft).sharpness, rel=0.1)


def test_without_cells_nothing_is_sharp(frame: NDArray[np.uint8]) -> None:
    assert sharpness(frame[..., 1], [], 80.0) == Sharpness(0.0, 0.0)


def test_what_is_as_bright_as_its_surroundings_has_no_border(frame: NDArray[np.uint8]) -> None:
    cells = segmentation(frame).cells
    assert sharpness(np.full(frame.shape[:2], 200, np.uint8), cells, 80.0) == Sharpness(0.0, 0.0)


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.2, 2.5])
def test_movement_softens_the_borders_across_it_alone(frame: NDArray[np.uint8], angle: float) -> None:
    reach = 0.1 * viewed(frame).diameter
    light = moved(frame.astype(np.float32) / 255, reach, angle)
    found, still = viewed(np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)), viewed(frame)
    assert found.softest < 0.75 * found.sharpness
    assert still.softest > 0.9 * still.sharpness
    assert found.softest < 0.5 * still.softest
