"""Dirt on the camera or the eyepiece: what stays at the same pixels while the slide moves.

Each pixel's brightest light of all counted fields is kept. Sooner or later every pixel has shown empty film,
so that this becomes the picture of an empty film on that microscope. What is dark in it is dirt, also where a
cell lies under it: such a cell cannot be judged, as a speck on it may look like a parasite.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import Box

Plane = NDArray[np.float32]

_SIDE = 640  # pixels of the longer side
_ABOUT = 3.0  # diameters of a cell: so far about every cell there is film
_WIDEST, _SLIVER = 1.5, 0.12  # diameters: wider dirt looks like no cell, narrower is hardly seen
_DARK = 0.08  # absorbance of dirt
# The chance that cells covered a pixel on every field so far: only below it is a dark pixel dirt.
# On each it is at least so large, as cells do not lie evenly: no fewer than four fields say anything.
_CHANCE, _COVERED = 5e-4, 0.1
_OF_CELL = 0.03  # share of a cell that is dirty, from which the cell is not judged
_STAYING = 0.5  # of a field's objects: where more of them stayed, the slide stayed


@dataclass(frozen=True)
class _Boxes:
    field: int
    boxes: tuple[Box, ...]


class Dirt:
    """What stays at the same pixels on the counted fields of one slide."""

    def __init__(self) -> None:
        self._brightest: Plane | None = None
        self._size = (0, 0)
        self._chance = 1.0
        self._waiting: list[_Boxes] = []

    def look(self, field: int, image: NDArray[np.uint8], boxes: Sequence[Box]) -> list[tuple[int, Box]]:
        """Add a counted field, of another place than those before; what is newly known to be dirt.

        A frame of another size comes from another camera: what was known of the last one is forgotten.

        Args:
            field: its number.
            image: uint8 [H, W, 3] RGB.
            boxes: (x, y, width, height) of the objects on it, in pixels.

        Returns:
            Of each object that is dirt or lies under it: the field and its box. Of this field and, once dirt
            can be told from cells, of all fields that waited for that.
        """
        if not boxes:
            return []
        diameter = float(np.median([max(box[2:]) for box in boxes]))
        light, scale = _light(image, diameter)
        if self._brightest is None or self._size != image.shape[:2]:
            self._brightest, self._size, self._chance, self._waiting = light, image.shape[:2], 1.0, []
        self._brightest = np.maximum(self._brightest, light)
        self._chance *= max(float((light < -_DARK).mean()), _COVERED)
        self._waiting.append(_Boxes(field, tuple(boxes)))
        if self._chance > _CHANCE:
            return []
        dirty = _dirty(self._brightest, scale * diameter)
        dirt = [
            (waiting.field, box)
            for waiting in self._waiting
            for box in waiting.boxes
            if _share(dirty, box, scale) >= _OF_CELL
        ]
        if sum(of == field for of, _ in dirt) > _STAYING * len(boxes):
            return []
        self._waiting = []
        return dirt


def _light(image: NDArray[np.uint8], diameter: float) -> tuple[Plane, float]:
    """Logarithm of green light against the film's about it, and the scale to which it is reduced.

    0 on film, below it on cells. What is brighter, as a drop that gathers light, says no more than film.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    green = cv2.resize(np.ascontiguousarray(image[..., 1]), size, interpolation=cv2.INTER_AREA)
    light = np.asarray(
        cv2.GaussianBlur(np.log(green.astype(np.float32) + np.float32(1)), (0, 0), 1), np.float32
    )
    side = 2 * round(_ABOUT * scale * diameter / 2) + 1
    film = cv2.morphologyEx(light, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return np.asarray(np.minimum(light - cv2.blur(film, (side, side)), np.float32(0)), np.float32), scale


def _dirty(brightest: Plane, diameter: float) -> NDArray[np.uint8]:
    """1 on dirt, else 0: darker than all about it, and no narrow gap that cells of several fields left."""
    wide, narrow = 2 * round(_WIDEST * diameter / 2) + 1, 2 * round(_SLIVER * diameter / 2) + 1
    about = cv2.morphologyEx(brightest, cv2.MORPH_CLOSE, np.ones((wide, wide), np.uint8))
    dark = np.asarray(about - brightest > _DARK, np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (narrow, narrow))
    return np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, disc), np.uint8)


def _share(dirty: NDArray[np.uint8], box: Box, scale: float) -> float:
    """The share of the ellipse in a box that is dirty."""
    left, top, right, bottom = (
        round(scale * edge) for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3])
    )
    part = dirty[top:bottom, left:right]
    if not part.any():
        return 0.0
    y, x = np.mgrid[-1 : 1 : part.shape[0] * 1j, -1 : 1 : part.shape[1] * 1j]
    return float(part[x * x + y * y <= 1].mean())
