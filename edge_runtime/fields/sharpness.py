"""How sharp a frame is, told by the borders of its cells and in their own measure.

A cell's border is a step from the film to the cell, and whatever blurs the picture makes the step wide. Seen
in diameters of the cell its steepness depends neither on the magnification nor on how many pixels a camera
has; and as it is averaged along the outline, it depends little on noise and compression.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.segmentation import Cell

Array = NDArray[np.float64]

_SIDE = 64  # pixels to which a typical diameter is scaled; each of them is a step of the profile
_SECTORS = 8  # of the outline: it need not be found equally well all around
_AROUND = 0.25  # diameters of film around a cell
_OUTSIDE, _INSIDE = 10, 14  # steps of the profile beyond the outline and within it
_FEWEST = 3  # pixels of a step that a mean is worth taking of
_FILM, _BORDER, _CELL = slice(4, 10), slice(5, 16), slice(16, 22)  # of the profile
_FAINTEST = 1e-3  # absorbance
# What is taken of a cell's sectors and of the cells: the clearer ones. A border that is soft by itself,
# as where the outline was found badly or cells touch, says nothing about the focus.
_OF_SECTORS, _OF_CELLS = 0.9, 0.65


@dataclass(frozen=True)
class Sharpness:
    """Steepness of the cells' borders, in their own contrast per diameter: some 13 to 30 in good focus.

    Attributes:
        clearest: of each cell its clearest border; 0 where no cell stands out from the film.
        softest: along the axis in which the borders are softest: movement blurs only what lies across it.
    """

    clearest: float
    softest: float


def sharpness(green: NDArray[np.uint8], cells: Sequence[Cell], diameter: float) -> Sharpness:
    """Measure how sharp the cells of a frame are.

    Args:
        green: uint8 [H, W], the frame's green light.
        cells: whole cells of it.
        diameter: of a typical cell, in pixels.
    """
    if not cells:
        return Sharpness(0.0, 0.0)
    steep, clear = _steepness(np.stack([_profiles(green, cell, diameter) for cell in cells]))
    of_cells = _quantiles(steep, clear, _OF_SECTORS)[clear.any(axis=1)]
    # A sector and the one opposite to it lie on one axis.
    along = np.where(clear, steep, -np.inf).reshape(len(cells), 2, -1).max(axis=1)
    axes = [axis[np.isfinite(axis)] for axis in along.T]
    return Sharpness(_of_cells(of_cells), min(_of_cells(axis) for axis in axes))


def _of_cells(values: Array) -> float:
    return float(np.quantile(values, _OF_CELLS)) * _SIDE if len(values) else 0.0


def _profiles(green: NDArray[np.uint8], cell: Cell, diameter: float) -> Array:
    """Mean absorbance by distance from the outline, from the film into the cell: float64 [sectors, steps].

    A step of a sector that too few pixels show is no number.
    """
    x, y, width, height = cell.box
    margin = int(np.ceil(_AROUND * diameter))
    top, left = max(0, y - margin), max(0, x - margin)
    part = green[top : y + height + margin, left : x + width + margin]
    mask = np.zeros(part.shape, np.float32)
    mask[y - top : y - top + height, x - left : x - left + width] = cell.mask
    scale = _SIDE / diameter
    size = max(2, round(part.shape[1] * scale)), max(2, round(part.shape[0] * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    light = np.maximum(cv2.resize(part, size, interpolation=interpolation), 1)
    inside = np.asarray(cv2.resize(mask, size, interpolation=interpolation) > 0.5, np.uint8)
    within = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    beyond = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    near = (beyond < _OUTSIDE) & (within < _INSIDE)
    distance = np.where(inside > 0, within - 0.5, 0.5 - beyond)[near]
    step = np.clip(np.floor(distance).astype(np.int64) + _OUTSIDE, 0, _OUTSIDE + _INSIDE - 1)
    rows, columns = np.nonzero(near)
    down = rows.astype(np.float32) - np.float32(scale * (y - top + height / 2))
    across = columns.astype(np.float32) - np.float32(scale * (x - left + width / 2))
    sector = (cv2.phase(across, down).ravel() * (_SECTORS / (2 * np.pi))).astype(np.int64) % _SECTORS
    place = sector * (_OUTSIDE + _INSIDE) + step
    density = -np.log(light[near].astype(np.float32))
    bins = _SECTORS * (_OUTSIDE + _INSIDE)
    count = np.bincount(place, minlength=bins)
    total = np.bincount(place, weights=density, minlength=bins)
    mean = np.where(count >= _FEWEST, total / np.maximum(count, 1), np.nan)
    return np.asarray(mean.reshape(_SECTORS, -1), np.float64)


def _steepness(profiles: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The largest step of every profile over its contrast, [cells, sectors]; and whether it stands out."""
    seen = np.asarray(np.isfinite(profiles[..., _FILM.start : _CELL.stop]).all(axis=-1), np.bool_)
    known = np.where(seen[..., None], profiles, 0.0)
    contrast = np.median(known[..., _CELL], axis=-1) - known[..., _FILM].min(axis=-1)
    clear = contrast > _FAINTEST
    steepest = np.diff(known, axis=-1)[..., _BORDER].max(axis=-1)
    return steepest / np.where(clear, contrast, 1.0), clear


def _quantiles(values: Array, valid: NDArray[np.bool_], share: float) -> Array:
    """A quantile of the valid values of every row; of a row without any, no number that means anything."""
    ordered = np.sort(np.where(valid, values, -np.inf), axis=1)
    invalid = (~valid).sum(axis=1)
    place = invalid + share * np.maximum(valid.sum(axis=1) - 1, 0)
    below = np.minimum(place.astype(np.int64), values.shape[1] - 1)
    above = np.minimum(below + 1, values.shape[1] - 1)
    row, part = np.arange(len(values)), place - below
    with np.errstate(invalid="ignore"):
        return np.asarray(ordered[row, below] * (1 - part) + ordered[row, above] * part, np.float64)
