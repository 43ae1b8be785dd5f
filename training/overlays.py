"""Overlays: platelets, stain and specks of healthy patients' cells, laid on other cells in training.

Some cells without a parasite hold something that looks like one, above all those of healthy patients that a
second reading took for parasitized. There are few of them, so what is darker in them than the rest of the
cell is cut out and laid on other cells: on the rim or beside it, where platelets lie, often several together,
and small specks anywhere. It is laid on cells of all classes, on those without a parasite more often.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from training.cells.source import CellSet
from training.cells.splits import Split
from training.run import RunConfig

Planes = NDArray[np.float32]
Pixels = NDArray[np.uint8]

COLUMNS = 12  # random numbers per cell, see `overlaid`
OF_PARASITIZED = 1 / 3  # as often as on other cells
_RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
_EDGE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
_GROWN = np.ones((5, 5), np.uint8)
_FEWEST = 500  # pixels of a cell
_LEAST, _PEAK = 0.12, 0.22  # absorbance beyond the cell's own: where a blob begins, and what it must reach
_NOISE = 3.5  # deviations of the cell's own absorbance: the same, where that is more
_AREA, _LONGEST = (40, 2500), 60  # pixels of a blob
_SPECK = 160  # pixels; a larger blob in the middle of a cell looks like a parasite
_BESIDE = 0.6  # share of specks that lie on the rim, too
_SCALE, _GAIN, _FILM = (0.6, 1.2), (0.8, 1.3), (1.0, 1.12)
_CLUMP, _REACH = 0.4, 12  # share of overlays that are two blobs (half of these three); pixels between them
_NEXT = 0.31  # of the bank, from one blob of a clump to the next
_SEEN = 0.08  # absorbance that belongs to a blob beside the cell


def bank_of(config: RunConfig, cells: CellSet, split: Split) -> list[Planes]:
    """What is laid on other cells: cut out of training cells in which nobody who knows sees a parasite.

    Raises:
        SourceError: overlays are asked for, and there is nothing to cut out.
    """
    if not config.overlays:
        return []
    train = split.train
    without = (cells.healthy[train] | cells.agreed[train]) & ~cells.infected[train]
    doubted = without & ~cells.agreed[train]
    # What a reader took for a parasite is likely to be taken for one again: it counts twice.
    bank = blobs(cells.images[train[doubted]]) + blobs(cells.images[train[without]])
    if not bank:
        raise SourceError(
            f"{cells.source}: {without.sum()} cells without a parasite hold nothing to cut out; leave out "
            "--overlays"
        )
    return bank


def blobs(images: Pixels) -> list[Planes]:
    """What absorbs more than the rest of the cell, cut out of each cell.

    Args:
        images: uint8 [N, side, side, 3] RGB, black outside the cell.

    Returns:
        float32 [h, w, 3] each: absorbance beyond the cell's own, fading out towards its edges.
    """
    return [blob for image in images for blob in _blobs(image)]


def _blobs(image: Pixels) -> list[Planes]:
    inner = cv2.erode(_mask(image), _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if inner.sum() < _FEWEST:
        return []
    absorbance = -np.log((image.astype(np.float32) + 1) / 256)
    more = absorbance - np.median(absorbance[inner], axis=0)
    green = cv2.GaussianBlur(more[..., 1], (0, 0), 1.2)
    own = 1.4826 * float(np.median(np.abs(green[inner] - np.median(green[inner]))))
    dark = ((green > max(_LEAST, _NOISE * own)) & inner).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    found = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        fits = _AREA[0] <= area <= _AREA[1] and max(width, height) <= _LONGEST
        if fits and green[labels == label].max() >= _PEAK:
            soft = cv2.GaussianBlur(cv2.dilate((labels == label).astype(np.float32), _GROWN), (0, 0), 1.0)
            rows, columns = (
                slice(max(0, top - 4), top + height + 4),
                slice(max(0, left - 4), left + width + 4),
            )
            found.append((np.maximum(more, 0) * soft[..., None])[rows, columns].astype(np.float32))
    return found


def overlaid(
    images: Pixels,
    infected: NDArray[np.bool_],
    bank: Sequence[Planes],
    uniform: NDArray[np.float32],
    share: float,
) -> Pixels:
    """Lay blobs on some of the cells.

    Args:
        images: uint8 [N, side, side, 3] RGB, black outside the cell.
        infected: bool [N], which cells hold a parasite.
        bank: as `blobs` cuts them; at least one.
        uniform: float32 [N, COLUMNS] in [0, 1), by which everything about a cell is decided.
        share: of the cells without a parasite.

    Returns:
        uint8 [N, side, side, 3] RGB.
    """
    shares = np.where(infected, share * OF_PARASITIZED, share)
    made = images.copy()
    for number in np.flatnonzero(uniform[:, 0] < shares):
        made[number] = _laid(images[number], bank, uniform[number])
    return made


def _laid(image: Pixels, bank: Sequence[Planes], uniform: NDArray[np.float32]) -> Pixels:
    _, which, at, angle, scale, gain, beside, clump, *offsets = (float(value) for value in uniform)
    mask = _mask(image)
    if mask.sum() < _FEWEST:
        return image
    blob = bank[int(which * len(bank))]
    rim = beside < _BESIDE or int((blob[..., 1] > _LEAST).sum()) > _SPECK
    where = mask - cv2.erode(mask, _EDGE, borderType=cv2.BORDER_CONSTANT, borderValue=0) if rim else mask
    ys, xs = np.nonzero(where)
    place = int(at * len(ys))
    middle = (int(xs[place]), int(ys[place]))
    more = _turned(blob, middle, 360 * angle, scale, mask.shape)
    for number in range(int(clump < _CLUMP) + int(clump < _CLUMP / 2)):
        other = bank[int((which + _NEXT * (number + 1)) % 1 * len(bank))]
        right, down = (int(_REACH * (2 * offset - 1)) for offset in offsets[2 * number : 2 * number + 2])
        near = (middle[0] + right, middle[1] + down)
        more = np.maximum(more, _turned(other, near, 360 * offsets[number], 1 - scale, mask.shape))
    more = _between(_GAIN, gain) * more
    cell, light = mask > 0, image.astype(np.float32)
    if rim:
        # Beside the cell it lies on the film, which is a little brighter than the brightest of the cell.
        grown = (cell | (more[..., 1] > _SEEN)).astype(np.uint8)
        outside = (cv2.morphologyEx(grown, cv2.MORPH_CLOSE, _EDGE) > 0) & ~cell  # no crack between the two
        film = np.percentile(image[cell], 97, axis=0) * _between(_FILM, gain)
        light[outside] = np.minimum(film, 250)
        cell |= outside
    lit = np.clip(np.round((light + 1) * np.exp(-more) - 1), 1, 255)
    return np.asarray(np.where(cell[..., None], lit, 0), np.uint8)


def _turned(blob: Planes, at: tuple[int, int], angle: float, scale: float, shape: tuple[int, ...]) -> Planes:
    height, width = blob.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, _between(_SCALE, scale))
    turn[:, 2] += np.subtract(at, (width / 2, height / 2))
    return np.asarray(cv2.warpAffine(blob, turn, shape[::-1]), np.float32)


def _between(limits: tuple[float, float], uniform: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * uniform


def _mask(image: Pixels) -> Pixels:
    return np.asarray(image.max(axis=2) > 0, np.uint8)
