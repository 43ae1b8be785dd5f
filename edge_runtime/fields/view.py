"""What a frame shows of itself, in a few numbers: the evidence on which the gates judge it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.segmentation import Cell, Segmentation
from edge_runtime.fields.sharpness import sharpness

Colour = tuple[float, float, float]

_SAMPLED, _LEAST, _MOST = 1 / 2, 16, 64  # share of the whole cells that is looked at closely, and its bounds
_PIXELS = 30_000  # of cells that are looked at, spread over them: their colours are as well known from these
_SIZES = (0.7, 1.4)  # of the typical diameter: from the smallest to the largest of alike cells
_CLIPPED = 254  # of 255: from here on the sensor no longer tells how bright it is
_LIT = (5, 95)  # percentiles of the film's light that count as its darkest and brightest


@dataclass(frozen=True)
class FieldView:
    """What a frame shows of itself.

    Attributes:
        objects: number of everything that was found.
        whole: number of whole single cells among them.
        diameter: of the typical whole cell, pixels: that of a circle of the same area; 0 if there is none.
        alike: share of the whole cells' area that lies on cells of about the typical size, 0 to 1.
        covered: share of the lit field that lies on objects, 0 to 1.
        single: share of the area of all objects, those at the edge left out, that lies on whole single cells,
            0 to 1; 0 if there is none.
        sharpness: of the cells' borders, the clearest of each (see `Sharpness`); 0 if there is no whole cell.
        softest: the same along the axis in which they are softest.
        film: RGB of the empty film, 0 to 255; black if nothing of it is to be seen.
        cell: RGB of the cells, 0 to 255; black if there is no whole cell.
        clipped: share of the cells' pixels in which a colour is as bright as the sensor goes, 0 to 1.
        evenness: the film's darkest light over its brightest, 0 to 1.
    """

    objects: int
    whole: int
    diameter: float
    alike: float
    covered: float
    single: float
    sharpness: float
    softest: float
    film: Colour
    cell: Colour
    clipped: float
    evenness: float


def view(frame: NDArray[np.uint8], found: Segmentation) -> FieldView:
    """Measure a frame.

    Args:
        frame: uint8 [H, W, 3] RGB.
        found: what segmentation made of it.
    """
    areas = np.array([np.count_nonzero(cell.mask) for cell in found.cells], np.float64)
    inside = np.array([not cell.at_edge for cell in found.cells], np.bool_)
    single = inside & np.array([not cell.clump for cell in found.cells], np.bool_)
    whole = [cell for cell, alone in zip(found.cells, single, strict=True) if alone]
    diameters = 2 * np.sqrt(areas[single] / np.pi)
    diameter = _typical(diameters)
    nearest = np.argsort(np.abs(diameters - diameter), kind="stable")
    sampled = [whole[number] for number in nearest[: int(np.clip(_SAMPLED * len(whole), _LEAST, _MOST))]]
    pixels = _cell_pixels(frame, sampled)
    sharp = sharpness(frame[..., 1], sampled, diameter)
    lit = max(1, cv2.countNonZero(found.lit))
    darkest, brightest = np.percentile(found.film, _LIT)
    return FieldView(
        objects=len(found.cells),
        whole=len(whole),
        diameter=diameter,
        alike=_alike(diameters, diameter),
        covered=float(areas.sum()) / lit,
        single=float(areas[single].sum() / max(1, areas[inside].sum())),
        sharpness=sharp.clearest,
        softest=sharp.softest,
        film=_film(found, frame.shape[1], frame.shape[0]),
        cell=_median(pixels),
        clipped=float((pixels >= _CLIPPED).any(axis=1).mean()) if len(pixels) else 0.0,
        evenness=float(darkest / brightest) if brightest > 0 else 0.0,
    )


def _typical(diameters: NDArray[np.float64]) -> float:
    """The size at which half of all area lies, so that many small specks do not outweigh the cells."""
    ordered = np.sort(diameters)
    area = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(area, area[-1] / 2)]) if len(ordered) else 0.0


def _alike(diameters: NDArray[np.float64], typical: float) -> float:
    low, high = _SIZES
    near = (diameters > low * typical) & (diameters < high * typical)
    return float((diameters[near] ** 2).sum() / (diameters**2).sum()) if len(diameters) else 0.0


def _cell_pixels(frame: NDArray[np.uint8], cells: Sequence[Cell]) -> NDArray[np.uint8]:
    """Pixels of cells, spread over them: uint8 [N, 3]."""
    step = 1 + int(np.sqrt(sum(cell.box[2] * cell.box[3] for cell in cells) / _PIXELS))
    parts = [
        frame[y : y + height : step, x : x + width : step][cell.mask[::step, ::step]]
        for cell in cells
        for x, y, width, height in [cell.box]
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.uint8)


def _film(found: Segmentation, frame_width: int, frame_height: int) -> Colour:
    """Of the lit part of a reduced frame, what lies outside of every object's box."""
    height, width = found.film.shape
    empty = cv2.resize(found.lit, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    down, across = height / frame_height, width / frame_width
    for cell in found.cells:
        x, y, wide, high = cell.box
        top, left = max(0, int(y * down) - 1), max(0, int(x * across) - 1)
        empty[top : int((y + high) * down) + 2, left : int((x + wide) * across) + 2] = False
    return _median(found.small[empty])


def _median(pixels: NDArray[np.uint8]) -> Colour:
    red, green, blue = np.median(pixels, axis=0).tolist() if len(pixels) else (0.0, 0.0, 0.0)
    return red, green, blue
