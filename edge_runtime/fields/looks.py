"""What is remembered of a frame, to know its place again: local contrast on reduced pictures.

Neither the light nor the eyepiece's circle, which stay where they are while the slide moves, is left in them.
"""

import hashlib
from dataclasses import dataclass
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Picture = TypeVar("Picture", NDArray[np.uint8], Plane)

# Pixels of the longer side, whatever the camera's resolution: a resized copy shows the same place.
SIDE = 320
COARSER = 4

_DARK = 0.2  # of the frame's brightest light: darker is outside the eyepiece's circle
_RIM = 7  # pixels about the circle's border, which is neither lit nor dark
_BLACK = 4  # 8-bit values: below it a sensor sees noise, of which the logarithm would make a picture
# Gaussian sigmas in pixels of the finer picture: of the noise that is taken out, and of the surroundings that
# a place is compared with. Cells are discs of one size; only narrow surroundings tell their outlines apart.
_NOISE, _AROUND_FINE, _AROUND_COARSE = 1.0, 2.5, 6.0
_FAINT = 0.012  # absorbance; the clouds of an empty film are hardly darker
_USUAL = 0.5  # of the picture's own contrast: where there is less, it is not drawn up to the full one
_STEPS = 32  # of a byte, per unit of local contrast


@dataclass(frozen=True)
class Look:
    """A frame reduced to what tells its place; about 100 kB.

    Attributes:
        width: of the frame in pixels.
        height: of the frame in pixels.
        outlines: int8 [h, w], the longer side SIDE: local contrast among narrow surroundings.
        cells: float32 [h / COARSER, w / COARSER]: local contrast among wider ones.
        lit: bool [h / COARSER, w / COARSER]: inside the eyepiece's circle.
        digest: of the reduced frame; the same pixels have the same.
    """

    width: int
    height: int
    outlines: NDArray[np.int8]
    cells: Plane
    lit: NDArray[np.bool_]
    digest: bytes

    @property
    def scale(self) -> float:
        """Pixels of `outlines` per pixel of the frame."""
        return SIDE / max(self.width, self.height)


def look_at(image: NDArray[np.uint8]) -> Look:
    """Reduce a frame to what tells its place.

    Args:
        image: uint8 [H, W, 3] RGB.
    """
    height, width = image.shape[:2]
    small = _resized(image, SIDE / max(height, width))
    brightest = np.maximum(np.maximum(small[..., 0], small[..., 1]), small[..., 2])
    inside = (brightest > _DARK * np.percentile(brightest, 99)).astype(np.float32)
    lit = np.asarray(cv2.erode(inside, np.ones((_RIM, _RIM), np.uint8)), np.float32)
    density = -np.log(small[..., 1].astype(np.float32) + np.float32(_BLACK))
    density = np.asarray(cv2.GaussianBlur(density, (0, 0), _NOISE), np.float32)
    outlines = np.rint(_local_contrast(density, lit, _AROUND_FINE) * _STEPS)
    return Look(
        width,
        height,
        np.clip(outlines, -127, 127).astype(np.int8),
        _resized(_local_contrast(density, lit, _AROUND_COARSE), 1 / COARSER),
        _resized(lit, 1 / COARSER) > np.float32(0.5),
        hashlib.sha256(small.tobytes()).digest(),
    )


def outlines_of(look: Look) -> Plane:
    """The outlines as float32, in units of full local contrast."""
    return look.outlines.astype(np.float32) / np.float32(_STEPS)


def _resized(picture: Picture, scale: float) -> Picture:
    height, width = picture.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cast("Picture", cv2.resize(picture, size, interpolation=interpolation))


def _local_contrast(density: Plane, lit: Plane, around: float) -> Plane:
    """How much darker a pixel is than its surroundings, by their spread: about -2 to 2; 0 where unlit."""

    def surroundings(plane: Plane) -> Plane:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), around) / weight, np.float32)

    weight = np.maximum(cv2.GaussianBlur(lit, (0, 0), around), np.float32(1e-3))
    detail = (density - surroundings(density * lit)) * lit
    usual = float((detail * detail).sum()) / max(float(lit.sum()), 1.0)
    least = np.float32(_USUAL**2 * usual + _FAINT**2)
    return np.asarray(detail / np.sqrt(surroundings(detail * detail) + least), np.float32)
