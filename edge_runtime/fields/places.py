"""Places of a slide: whether a frame shows what an earlier one showed, wholly or in part.

A stage moved by hand lingers and comes back, a folder holds copies, a camera repeats its last frame: each
time cells would be counted twice. Two frames are laid on each other by their normalised cross-correlation
(Lewis, Fast Normalized Cross-Correlation, 1995): on the coarser pictures for the most likely shift, on the
finer ones to decide. A long slide has thousands of fields: in memory is only what finds the likely ones, the
finer pictures lie in a file that ends with the program.
"""

import tempfile
import weakref
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.fields.looks import COARSER, SIDE, Look, Plane, outlines_of

Picture = TypeVar("Picture", Plane, NDArray[np.bool_])

# A frame that shows so much of an earlier field is that field. Below, only the cells that both show are.
SAME_FIELD = 0.7

_CANVAS = 2 * SIDE // COARSER  # pixels: room for two frames side by side, so that no shift wraps around
_CLOSE = 64  # kept fields that are laid on a frame; where there are more, those most alike when reduced
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
    """A field that was kept.

    Attributes:
        field: its number.
        look: without its outlines.
        shape: of the outlines.
        reduced: its cells, at half their size.
    """

    field: int
    look: Look
    shape: tuple[int, ...]
    reduced: Plane


@dataclass(frozen=True)
class _Likely:
    """A shift in pixels of the finer pictures; the point p of the new one lies at p + (x, y) of the old."""

    place: int  # among the kept ones
    x: int
    y: int
    strength: float


class Places:
    """The fields of one slide so far."""

    def __init__(self, folder: Path | None = None) -> None:
        """Begin a slide.

        Args:
            folder: in which the finer pictures of its fields lie meanwhile; the system's own if None.
        """
        self._kept: list[_Kept] = []
        self._finer = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - while the slide is read
        self._without_room: dict[int, bytes] = {}
        weakref.finalize(self, self._finer.close)

    def keep(self, look: Look, field: int) -> None:
        """Remember a frame as the field of that number."""
        self._put(len(self._kept), look.outlines.tobytes())
        without = replace(look, outlines=np.zeros((0, 0), np.int8))
        self._kept.append(_Kept(field, without, look.outlines.shape, _reduced(look.cells)))

    def _put(self, place: int, pixels: bytes) -> None:
        """Into the file; where the disk is full, into the memory, and the record will tell of the disk."""
        try:
            self._finer.seek(place * SIDE * SIDE)
            whole = self._finer.write(pixels) == len(pixels)
        except OSError:
            whole = False
        if not whole:
            self._without_room[place] = pixels

    def find(self, look: Look) -> list[Overlap]:
        """The kept fields that a frame shows again, wholly or in part; the largest share first.

        A frame that shows nothing overlaps its own exact repetition alone.
        """
        same = [kept for kept in self._kept if kept.look.digest == look.digest]
        found = [Overlap(kept.field, 0.0, 0.0, kept.look.width / look.width, 1.0) for kept in same]
        spectrum = _spectrum(look.cells, _CANVAS)
        likely = [_likely(look, spectrum, place, self._kept[place]) for place in self._close(look)]
        likely.sort(key=lambda candidate: -candidate.strength)
        found += filter(None, (self._verified(look, candidate) for candidate in likely[:_VERIFIED]))
        return sorted(found, key=lambda overlap: -overlap.share)

    def _close(self, look: Look) -> list[int]:
        """Which kept fields, other than the same picture, may show what a frame shows; at most _CLOSE."""
        others = [place for place, kept in enumerate(self._kept) if kept.look.digest != look.digest]
        if len(others) <= _CLOSE:
            return others
        reduced = _reduced(look.cells)
        spectrum = _spectrum(reduced, _CANVAS // 2)
        strengths = [-_best_shift(spectrum, reduced, self._kept[place].reduced)[0] for place in others]
        return [others[index] for index in np.argsort(strengths, kind="stable")[:_CLOSE]]

    def _verified(self, look: Look, likely: _Likely) -> Overlap | None:
        """The overlap at a likely shift, or about it; None if the outlines do not agree."""
        kept = self._kept[likely.place]
        pixels = self._without_room.get(likely.place)
        if pixels is None:
            self._finer.seek(likely.place * SIDE * SIDE)
            pixels = self._finer.read(int(np.prod(kept.shape)))
        outlines = np.frombuffer(pixels, np.int8).reshape(kept.shape)
        return _verified(look, kept.field, replace(kept.look, outlines=outlines), likely)


def _reduced(cells: Plane) -> Plane:
    height, width = (max(1, round(length / 2)) for length in cells.shape)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _spectrum(cells: Plane, side: int) -> Plane:
    canvas = np.zeros((side, side), np.float32)
    canvas[: cells.shape[0], : cells.shape[1]] = cells
    return np.asarray(cv2.dft(canvas), np.float32)


def _best_shift(spectrum: Plane, cells: Plane, kept: Plane) -> tuple[float, int, int]:
    """How well a frame agrees with a kept one where it agrees best, and at which shift, in their pixels."""
    side = len(spectrum)
    product = cv2.mulSpectrums(_spectrum(kept, side), spectrum, 0, conjB=True)
    inverse = cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE
    summed = np.asarray(cv2.dft(product, flags=inverse), np.float32)
    agreement = summed * _per_root_of_area(cells.shape, kept.shape, side)
    _, strength, _, (x, y) = cv2.minMaxLoc(agreement)
    half = side // 2
    return float(strength), (x + half) % side - half, (y + half) % side - half


def _likely(look: Look, spectrum: Plane, place: int, kept: _Kept) -> _Likely:
    """The shift by which a frame agrees best with a kept one, to COARSER pixels."""
    strength, x, y = _best_shift(spectrum, look.cells, kept.look.cells)
    return _Likely(place, COARSER * x, COARSER * y, strength)


@lru_cache(maxsize=8)
def _per_root_of_area(new: tuple[int, ...], kept: tuple[int, ...], side: int) -> Plane:
    """What the sum over an overlap is multiplied by, for every shift; 0 where it is too small."""
    shifts = np.fft.fftfreq(side, 1 / side)
    high, wide = (
        np.maximum(np.minimum(of_new + shifts, of_kept) - np.maximum(shifts, 0), 0)
        for of_new, of_kept in zip(new, kept, strict=True)
    )
    area = high[:, None] * wide[None, :]
    least = _LEAST_SHARE * new[0] * new[1]
    return np.where(area >= least, 1 / np.sqrt(np.maximum(area, 1)), 0).astype(np.float32)


def _verified(look: Look, field: int, kept: Look, likely: _Likely) -> Overlap | None:
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
    return Overlap(field, x / kept.scale, y / kept.scale, look.scale / kept.scale, share)


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
