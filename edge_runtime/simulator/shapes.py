"""Soft shapes on small patches: the brushes with which every object of a film is drawn."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

# Below this a harmonic of an outline shifts it; from 2 on it bends it.
_FIRST_BENDING_HARMONIC = 2


@dataclass(frozen=True)
class Patch:
    """One object, drawn on its own and centred, ready to be laid on the film.

    Attributes:
        density: float32 [side, side, 3], absorbance per colour (RGB) as a natural logarithm: the
            light that passes is exp(-density). Slightly negative where an edge refracts light.
        mask: bool [side, side], where the object is.
        parasite: bool [side, side], where the parasite in it is; None where it has none.
    """

    density: Plane
    mask: NDArray[np.bool_]
    parasite: NDArray[np.bool_] | None = None

    @property
    def reach(self) -> float:
        """Radius in pixels of the circle around the patch's centre that holds the mask."""
        rows, columns = np.nonzero(self.mask)
        middle = (self.mask.shape[0] - 1) / 2
        return float(np.hypot(rows - middle, columns - middle).max(initial=0.0)) + 1.0


def pixel_grid(reach: float) -> tuple[Plane, Plane]:
    """Return x and y, float32 [side, side] each, in pixels from the centre of a square patch."""
    half = int(np.ceil(reach))
    axis = np.arange(-half, half + 1, dtype=np.float32)
    return np.meshgrid(axis, axis)[0], np.meshgrid(axis, axis)[1]


def smooth_step(depth: Plane, softness: float) -> Plane:
    """Turn a signed depth in pixels (positive inside) into coverage 0-1 over an edge of `softness` pixels."""
    t: Plane = np.clip(depth / np.float32(softness) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> Plane:
    """Return a cloudy texture, float32 [height, width]: mean 0, deviation near 1, lumps of `grain` pixels."""
    height, width = shape
    coarse = rng.standard_normal((int(height / grain) + 3, int(width / grain) + 3), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def wobble(rng: np.random.Generator, angles: Plane, *, amount: float, harmonics: int = 5) -> Plane:
    """Return a factor around 1, float32, to bend a circle's radius at each angle (radians) by `amount`."""
    bend = np.zeros_like(angles)
    for k in range(_FIRST_BENDING_HARMONIC, harmonics + 1):
        size = np.float32(rng.normal(0, amount) * _FIRST_BENDING_HARMONIC / k)
        bend += size * np.cos(np.float32(k) * angles + np.float32(rng.uniform(0, 2 * np.pi)))
    return 1 + np.clip(bend, -0.6, 0.6)


def blob(
    rng: np.random.Generator,
    grid: tuple[Plane, Plane],
    centre: tuple[float, float],
    radius: float,
    *,
    irregular: float = 0.08,
    softness: float = 2.0,
    harmonics: int = 5,
) -> Plane:
    """Return the coverage 0-1 of one roundish lump: centre and radius in pixels, `irregular` as in wobble."""
    x, y = grid[0] - np.float32(centre[0]), grid[1] - np.float32(centre[1])
    edge = np.float32(radius) * wobble(rng, np.arctan2(y, x), amount=irregular, harmonics=harmonics)
    return smooth_step(edge - np.hypot(x, y), softness)


def dot(grid: tuple[Plane, Plane], centre: tuple[float, float], radius: float) -> Plane:
    """Return the coverage 0-1 of a small soft disc: centre and radius in pixels."""
    x, y = grid[0] - np.float32(centre[0]), grid[1] - np.float32(centre[1])
    return smooth_step(np.float32(radius) - np.hypot(x, y), 2.0)


def polar_point(distance: float, angle: float) -> tuple[float, float]:
    """Return x, y of the point at `distance` pixels and `angle` radians from the origin."""
    return distance * float(np.cos(angle)), distance * float(np.sin(angle))
