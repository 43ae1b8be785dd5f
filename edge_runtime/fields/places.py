"""Places of a slide: whether a frame shows what an earlier one showed, wholly or in part.

A stage moved by hand lingers and comes back, a folder holds copies, a camera repeats its last frame: each
time cells would be counted twice. Two frames are laid on each other by their normalised cross-correlation
(Lewis, Fast Normalized Cross-Correlation, 1995): on the coarser pictures for the most likely shift, on the
finer ones to decide.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.fields.looks import COARSER, SIDE, Look, Plane, outlines_of

Picture = TypeVar("Picture", Plane, NDArray[np.bool_])

# A frame that shows so much of an earlier field is that field. Below, only the cells that both show are.
SAME_FIELD = 0.7

_CANVAS = 2 * SIDE // COARSER  # pixels: room for two frames side by side, so that no shift wraps around
_LEAST_SHARE = 0.06  # of the frame: so narrow a strip holds no whole cell
_VERIFIED = 8  # most likely overlaps of a frame that are looked at closely
_REACH = 5  # pixels about the likely shift

# Different places agree by chance, and the more so the less they show. Fisher's z of their correlation, times
# the root of the pixels compared, counted at full contrast, came to 45 at most where they correlated by 0.55
# or more: so alike are two cells laid on each other (2,000 simulated pairs, 630 with few cells). Of 9,555
# pairs of real frames, the seven that pass both limits truly overlap.
_CORRELATION, _EVIDENCE = 0.6, 50.0
_PERFECT = 0.999  # beyond it Fisher's z has no bound

# Dirt in the camera agrees with itself where nothing is shifted. The cells beside it do not, so that a
# resting stage is told by nearly all of what it shows.
_RESTING, _TILE = 2, 32  # pixels
_SHOWN, _TILE_AGREES, _MOST_TILES = 0.1, 0.4, 0.75


@dataclass(frozen=True)
class Overlap:
    """What a frame has in common with a field that was kept.

    Attributes:
        field: the number that was given to `keep`.
        x: pixels of the kept frame; the point (u, v) of the new one lies there at (scale u + x, scale v + y).
        y: likewise.
        scale: pixels of the kept frame per pixel of the new one; 1 where both have one size.
        share: of the new frame's lit area that both show, above 0 to 1.
    """

    field: int
    x: float
    y: float
    scale: float
    share: float

    def on_kept(self, u: float, v: float) -> tuple[float, float]:
        """Where a point of the new frame lies on the kept one, in its pixels; it may lie outside."""
        return self.scale * u + self.x, self.scale * v + self.y

    def on_new(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the kept frame lies on the new one, in its pixels; it may lie outside."""
        return (x - self.x) / self.scale, (y - self.y) / self.scale


@dataclass(frozen=True)
class _Kept:
    field: int
    look: Look


@dataclass(frozen=True)
class _Likely:
    """A shift in pixels of the finer pictures; the point p of the new one lies at p + (x, y) of the old."""

    kept: _Kept
    x: int
    y: int
    strength: float


class Places:
    """The fields of one slide so far."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []

    def keep(self, look: Look, field: int) -> None:
        """Remember a frame as the field of that number."""
        self._kept.append(_Kept(field, look))

    def find(self, look: Look) -> list[Overlap]:
        """The kept fields that a frame shows again, wholly or in part; the largest share first.

        A frame that shows nothing overlaps its own exact repetition alone.
        """
        found: list[Overlap] = []
        likely: list[_Likely] = []
        spectrum = _spectrum(look.cells)
        for kept in self._kept:
            if kept.look.digest == look.digest:
                found.append(Overlap(kept.field, 0.0, 0.0, kept.look.width / look.width, 1.0))
            else:
                likely.append(_likely(look, spectrum, kept))
        likely.sort(key=lambda candidate: -candidate.strength)
        found += filter(None, (_verified(look, candidate) for candidate in likely[:_VERIFIED]))
        return sorted(found, key=lambda overlap: -overlap.share)


def _spectrum(cells: Plane) -> Plane:
    canvas = np.zeros((_CANVAS, _CANVAS), np.float32)
    canvas[: cells.shape[0], : cells.shape[1]] = cells
    return np.asarray(cv2.dft(canvas), np.float32)


def _likely(look: Look, spectrum: Plane, kept: _Kept) -> _Likely:
    """The shift by which a frame agrees best with a kept one, to COARSER pixels."""
    product = cv2.mulSpectrums(_spectrum(kept.look.cells), spectrum, 0, conjB=True)
    inverse = cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE
    summed = np.asarray(cv2.dft(product, flags=inverse), np.float32)
    agreement = summed * _per_root_of_area(look.cells.shape, kept.look.cells.shape)
    _, strength, _, (x, y) = cv2.minMaxLoc(agreement)
    half = _CANVAS // 2
    return _Likely(
        kept,
        COARSER * ((x + half) % _CANVAS - half),
        COARSER * ((y + half) % _CANVAS - half),
        float(strength),
    )


@lru_cache(maxsize=8)
def _per_root_of_area(new: tuple[int, ...], kept: tuple[int, ...]) -> Plane:
    """What the sum over an overlap is multiplied by, for every shift; 0 where it is too small."""
    shifts = np.fft.fftfreq(_CANVAS, 1 / _CANVAS)
    high, wide = (
        np.maximum(np.minimum(of_new + shifts, of_kept) - np.maximum(shifts, 0), 0)
        for of_new, of_kept in zip(new, kept, strict=True)
    )
    area = high[:, None] * wide[None, :]
    least = _LEAST_SHARE * new[0] * new[1]
    return np.where(area >= least, 1 / np.sqrt(np.maximum(area, 1)), 0).astype(np.float32)


def _verified(look: Look, likely: _Likely) -> Overlap | None:
    """The overlap at a likely shift, or about it; None if the outlines do not agree."""
    kept = likely.kept.look
    new, old = outlines_of(look), outlines_of(kept)
    x, y = _refined(new, old, likely.x, likely.y)
    mine, theirs = _common(new, old, x, y)
    evidence = float(np.sqrt((mine * mine).sum() * (theirs * theirs).sum()))
    if not evidence:
        return None
    correlation = min(float((mine * theirs).sum()) / evidence, _PERFECT)
    if correlation < _CORRELATION or np.arctanh(correlation) * np.sqrt(evidence) < _EVIDENCE:
        return None
    if max(abs(x), abs(y)) <= _RESTING and not _agree_everywhere(mine, theirs):
        return None
    lit = np.logical_and(*_common(look.lit, kept.lit, round(x / COARSER), round(y / COARSER)))
    share = float(lit.sum() / look.lit.sum())
    return Overlap(likely.kept.field, x / kept.scale, y / kept.scale, look.scale / kept.scale, share)


def _refined(new: Plane, old: Plane, x: int, y: int) -> tuple[int, int]:
    """The best shift within _REACH pixels of a likely one."""
    mine, theirs = _common(new, old, x, y)
    inner = mine[_REACH:-_REACH, _REACH:-_REACH]
    if not inner.size:
        return x, y
    agreement = cv2.matchTemplate(
        np.ascontiguousarray(theirs), np.ascontiguousarray(inner), cv2.TM_CCORR_NORMED
    )
    _, _, _, (more_x, more_y) = cv2.minMaxLoc(agreement)
    return x + more_x - _REACH, y + more_y - _REACH


def _common(new: Picture, old: Picture, x: int, y: int) -> tuple[Picture, Picture]:
    """What both pictures show if the point p of the new one lies at p + (x, y) of the old one."""
    height = min(new.shape[0], old.shape[0] - y) - max(0, -y)
    width = min(new.shape[1], old.shape[1] - x) - max(0, -x)
    return (
        new[max(0, -y) :, max(0, -x) :][: max(height, 0), : max(width, 0)],
        old[max(0, y) :, max(0, x) :][: max(height, 0), : max(width, 0)],
    )


def _agree_everywhere(mine: Plane, theirs: Plane) -> bool:
    """Whether two pictures agree wherever one of them shows something."""
    height, width = mine.shape
    tiles = max(1, round(width / _TILE)), max(1, round(height / _TILE))
    both = cv2.resize(mine * theirs, tiles, interpolation=cv2.INTER_AREA)
    either = cv2.resize((mine * mine + theirs * theirs) / 2, tiles, interpolation=cv2.INTER_AREA)
    shown = either > _SHOWN
    return bool((both > _TILE_AGREES * either)[shown].mean() > _MOST_TILES) if shown.any() else False
