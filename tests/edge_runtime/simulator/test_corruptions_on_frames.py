"""Defocus of a crop against defocus of the whole frame that it was cut from.

The mask is the one found on the sharp frame; compared are medians over cells of the decision's own numbers,
contrast and texture. Blurring the crop as it is, black and all, must be farther off in contrast; texture is
measured inside the rim, and at a scale that hides most of what it does there.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import masked_crop, resize_crop
from edge_runtime.cells.segmentation import Cell, segment
from edge_runtime.decision.appearance import APPEARANCE, describe
from edge_runtime.simulator import simulate_field
from edge_runtime.simulator.corruptions import corrupt_by, defocus
from edge_runtime.simulator.unmasking import noise_level

FIELDS = Path(__file__).parents[4] / "shared" / "data" / "fields.zip"
COMPARED = [APPEARANCE.index("contrast"), APPEARANCE.index("texture")]


def whole_cells(frame: NDArray[np.uint8], least: int) -> list[Cell]:
    return [
        cell for cell in segment(frame) if not (cell.at_edge or cell.clump) and max(cell.box[2:]) >= least
    ]


def cut(frame: NDArray[np.uint8], cells: list[Cell], size: int) -> NDArray[np.uint8]:
    return np.stack([resize_crop(masked_crop(frame, cell.box, cell.mask), size) for cell in cells])


def blurred_with_black(crop: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    levels = np.rint(defocus(crop.astype(np.float32) / 255, radius) * 255).clip(1, 255)
    return np.where(crop.any(axis=2, keepdims=True), levels, 0).astype(np.uint8)


class Medians:
    """Contrast and texture of defocused cells: of the frame's defocus, the crops' own, and that of black."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.crops: tuple[list[np.ndarray], ...] = ([], [], [])

    def add(
        self, sharp: NDArray[np.uint8], soft: NDArray[np.uint8], cells: list[Cell], radius: float
    ) -> None:
        """Cells of a frame and of the same frame out of focus, by a disc's radius in its pixels."""
        crops = cut(sharp, cells, self.size)
        radii = [radius * self.size / max(cell.box[2:]) for cell in cells]
        self.crops[0].extend(cut(soft, cells, self.size))
        for number, (crop, scaled) in enumerate(zip(crops, radii, strict=True)):
            self.crops[1].extend(corrupt_by(crop[None], "defocus", scaled, seed=number))
            self.crops[2].append(blurred_with_black(crop, scaled))

    def off(self) -> tuple[np.ndarray, np.ndarray]:
        """How far the crops' own defocus is from the frame's, and how far that with black."""
        frame, crop, black = (np.median(describe(crops), axis=0)[COMPARED] for crops in self.crops)
        return np.abs(crop - frame), np.abs(black - frame)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_as_on_simulated_frames(sigma: float) -> None:
    """Measured at sigma 3: contrast -3.02, crop -2.94, black -2.38."""
    # A simulated cell has 80 pixels: enlarged, the mixing of its rim would outweigh all texture.
    made = Medians(64)
    for seed in range(4):
        sharp, soft = (
            simulate_field(seed, 0, width=640, height=480, cells=22, defocus=blur).frame
            for blur in (0.0, sigma)
        )
        # The simulator's Gaussian spreads light as far as a disc of twice its sigma.
        made.add(sharp, soft, whole_cells(sharp, 60), 2 * sigma)
    crop, black = made.off()
    assert (crop < [0.1, 0.45]).all(), (crop, black)
    assert crop[0] < black[0] / 1.5, (crop, black)


def real_frames() -> Iterator[NDArray[np.uint8]]:
    with zipfile.ZipFile(FIELDS) as archive:
        for name in ("IMG_20150728_121151", "IMG_20150818_101226"):
            data = np.frombuffer(archive.read(f"fields/nih_thin/frames/{name}.jpg"), np.uint8)
            yield np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)


@pytest.mark.real
@pytest.mark.skipif(not FIELDS.exists(), reason="../shared/data/fields.zip is not here")
@pytest.mark.parametrize("radius", [4.0, 16.0])
def test_as_on_real_frames(radius: float) -> None:
    """The frame is defocused and has the noise put back that its cells have, as a sensor's would stay.

    Over all seven frames, radius 2 to 16 pixels of the input: contrast at most 0.06 off, 0.14 on one of them
    at 16. With black, at 16: contrast 1.1 to 1.7 off.
    """
    made = Medians(125)
    for sharp in real_frames():
        cells = whole_cells(sharp, 16)
        light, inside = sharp.astype(np.float32) / 255, np.zeros(sharp.shape[:2], np.uint8)
        for cell in cells:
            x, y, width, height = cell.box
            inside[y : y + height, x : x + width] |= cell.mask.astype(np.uint8)
        noise = noise_level(light, cv2.erode(inside, np.ones((7, 7), np.uint8)) > 0)
        normal = np.random.default_rng(0).standard_normal(sharp.shape, np.float32)
        scaled = radius * float(np.median([max(cell.box[2:]) for cell in cells])) / 125
        soft = np.rint(np.clip(defocus(light, scaled) + normal * noise, 0, 1) * 255).astype(np.uint8)
        made.add(sharp, soft, cells, scaled)
    crop, black = made.off()
    assert (crop < [0.15, 0.2]).all(), (crop, black)
    assert crop[0] < black[0] / 2, (crop, black)
