"""A crop as if it were still on its frame: with the film around the cell, and no black mixed into its rim.

Whatever blurs a masked crop as it is blurs black into the cell, which no lens does.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]
Crops = NDArray[np.uint8]

_RIM = np.ones((7, 7), np.uint8)  # resizing mixes the outermost pixels of a cell with the black beside them
_NEAR = 2.0  # pixels, Gaussian sigma: from how far inside the rim is filled
_IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


@dataclass(frozen=True)
class Unmasked:
    """A crop without its mask.

    Attributes:
        light: float32 [H, W, 3] RGB in [0, 1], the cell on its film.
        cover: float32 [H, W, 1] in [0, 1], the share of each pixel that the mask left: the crop by the light.
        film: float32 [3], the light beside the cell.
        noise: float32 [3], standard deviation of the sensor's noise (see `noise_level`).
    """

    light: Light
    cover: Light
    film: Light
    noise: Light

    def masked(self, light: Light) -> Crops:
        """Other light under the same mask: uint8 [H, W, 3], black where the crop was and nowhere else."""
        levels = np.rint(np.clip(light, 0, 1) * self.cover * 255)
        return np.where(self.cover > 0, np.maximum(levels, 1), 0).astype(np.uint8)


def unmasked(crop: Crops) -> Unmasked:
    """Take the mask off a crop, uint8 [H, W, 3] RGB, black outside the cell and not everywhere."""
    mask = np.asarray(crop.any(axis=2))
    light = crop.astype(np.float32) / np.float32(255)
    whole = cv2.erode(mask.astype(np.uint8), _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if not whole.any():
        whole = mask  # too thin to have an inside
    film = _film(light, mask, whole)
    inside = whole[..., None].astype(np.float32)
    weight = cv2.GaussianBlur(inside, (0, 0), _NEAR)[..., None]
    near = cv2.GaussianBlur(light * inside, (0, 0), _NEAR) / np.maximum(weight, 1e-6)
    share = light.sum(axis=2, keepdims=True) / np.maximum(near.sum(axis=2, keepdims=True), 1e-6)
    # A rim that is no darker than the cell inside of it is not mixed with black.
    mixed = (mask & ~whole)[..., None] & (weight > 1e-3) & (share < 1)
    return Unmasked(
        light=np.where(mask[..., None], np.where(mixed, near, light), film),
        cover=np.where(mixed, share, mask[..., None]).astype(np.float32),
        film=film,
        noise=noise_level(light, whole),
    )


def noise_level(light: Light, inside: NDArray[np.bool_]) -> Light:
    """Standard deviation of the sensor's noise per colour, float32 [3], where `inside` [H, W] is true.

    Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996, 300-302:
    the mean absolute response to a difference of two Laplacians, which is blind to slopes and straight edges.
    """
    response = np.abs(cv2.filter2D(light, -1, _IMMERKAER))[inside]
    return np.asarray(np.sqrt(np.pi / 2) / 6 * response.mean(axis=0), np.float32)


def _film(light: Light, mask: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Light:
    """The light beside a cell, float32 [3]: at least that of the cell's bright parts.

    The cell's border fades into the film over some pixels, so the film is brighter than any of the cell. On
    frames of the NIH archive, the light grows from border to film by about the square of the factor by
    which it grows over the outermost 4 pixels of the cell.
    """
    depth = np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5))
    bright = np.quantile(light[whole], 0.9, axis=0)
    border, deeper = (depth > 3) & (depth <= 5), (depth > 7) & (depth <= 9)
    if border.any() and deeper.any():
        edge, inner = np.median(light[border], axis=0), np.median(light[deeper], axis=0)
        bright = np.maximum(bright, edge * (edge / np.maximum(inner, 1 / 255)) ** 2)
    return np.minimum(bright, 1).astype(np.float32)
