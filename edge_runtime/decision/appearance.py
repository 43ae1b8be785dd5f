"""Does a crop show one whole cell, and clearly? Seven plain numbers of its outline, contrast and colour.

What a segmentation that went wrong hands on (half a cell, two cells, a patch without one, a wrong scale) can
have ordinary features: a network that averages over the picture does not see outlines. And where stray light
or an old stain has taken contrast or colour, the classifier fails before the features move. These numbers do.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

OUTLINE = ("fill", "irregularity", "elongation", "skewness", "contrast")
APPEARANCE = (*OUTLINE, "colour", "texture")

_RIM = np.ones((5, 5), np.uint8)  # whose pixels are mixed with black: only their mean is of use
_BLACK = (0, 0, 0)
FLAT = 1e-3  # added to what is 0 where every pixel is the same
FADED = 2e-4  # the same, of colour and texture

# Sides of the windows over which a cell is smoothed, as shares of the picture's side. What noise, JPEG and a
# quarter of the pixels change is finer than the fine one; the coarse one is as wide as a parasite.
_FINE, _COARSE = 7 / 125, 21 / 125
SPREAD = 10  # how many times the deviation of the colour counts
LEAST_LEFT = 0.01  # share of a square that is not taken off as noise
NOISE_HALF = 0.3245  # mean of the smaller half of the absolute values of standard normal noise
IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def describe(resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure crops.

    With A the number of pixels that are not black, and S the covariance of their positions:
    fill = log(A / all pixels); irregularity = log(4 pi sqrt(det S) / A), 0 for an ellipse;
    elongation = log(trace S / (2 sqrt(det S))), 0 for a circle; skewness = the square root of Hu's third
    invariant (1962) over trace(S)^3/2, 0 where opposite sides are alike; contrast = log(root mean square
    difference between the brightness inside the rim and the mean with it / that mean): a cell has a pattern
    and a darker rim, a patch without a cell has neither, and the light's strength does not matter.

    Inside the rim, with T = R + G + B and C = (R - G, B - G) as means over small windows, all relative to the
    mean of T: colour = log(length of the mean of C + 10 times the deviation of C), little where the stain has
    faded; of good cells both parts are about as large, but a camera may have balanced the first one away;
    texture = log(mean of the smaller half of T's differences from its means over windows three times as
    wide), little in stray light: one parasite is no texture of a cell. What the sensor's noise adds is
    estimated and taken off, so that neither it nor the camera's resolution nor JPEG counts as stain.

    Args:
        resized: N crops uint8 [size, size, 3] RGB, as `preprocessing.resize_crop` makes them.

    Returns:
        float64 [N, 7], in the order of APPEARANCE; all of them finite.
    """
    return np.array([_describe(crop) for crop in resized], np.float64).reshape(len(resized), len(APPEARANCE))


def _describe(crop: NDArray[np.uint8]) -> tuple[float, ...]:
    mask = cv2.bitwise_not(cv2.inRange(crop, _BLACK, _BLACK)).view(np.uint8)
    inner = cv2.erode(mask, _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0).view(np.uint8)
    return (*_shape(mask), _contrast(crop, mask, inner), *_colour_and_texture(crop, inner))


def _shape(mask: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    moments = cv2.moments(mask, binaryImage=True)
    area = max(moments["m00"], 1.0)
    # A pixel is a square, not a point: so a crop of a single row has a width, too.
    xx, yy = moments["mu20"] / area + 1 / 12, moments["mu02"] / area + 1 / 12
    root, trace = math.sqrt(xx * yy - (moments["mu11"] / area) ** 2), xx + yy
    third = math.hypot(moments["mu30"] - 3 * moments["mu12"], 3 * moments["mu21"] - moments["mu03"]) / area
    return (
        math.log(area / mask.size),
        math.log(4 * math.pi * root / area),
        math.log(trace / (2 * root)),
        third / trace**1.5,
    )


def _contrast(crop: NDArray[np.uint8], mask: NDArray[np.uint8], inner: NDArray[np.uint8]) -> float:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey, mask=inner))
    whole = max(cv2.mean(grey, mask=mask)[0], 1.0)
    return math.log(math.hypot(deviation, mean - whole) / whole + FLAT)


def _colour_and_texture(crop: NDArray[np.uint8], inner: NDArray[np.uint8]) -> tuple[float, float]:
    if not inner.any():
        return math.log(FADED), math.log(FADED)
    # Whole numbers, which float32 holds exactly: no device adds them up to another result.
    red, green, blue = (plane.astype(np.float32) for plane in cv2.split(crop))
    planes = (red + green + blue, red - green, blue - green)
    fine, coarse = windows(len(crop))
    (smooth, *colours), (wide,) = _smoothed(planes, inner, fine), _smoothed(planes[:1], inner, coarse)
    light, *hue = (cv2.mean(plane, mask=inner)[0] for plane in planes)
    grey, *noise = (_noise_variance(plane, inner) for plane in planes)
    spread = _without(sum(float(colour.var()) for colour in colours), sum(noise) / fine**2)
    grain = NOISE_HALF**2 * grey * (1 / fine**2 - 1 / coarse**2)
    pattern = _without(_smaller_half(np.abs(smooth - wide)) ** 2, grain)
    light = max(light, 1.0)
    return (
        math.log((math.hypot(*hue) + SPREAD * math.sqrt(spread)) / light + FADED),
        math.log(math.sqrt(pattern) / light + FADED),
    )


def windows(size: int) -> tuple[int, int]:
    """Sides of the fine and the coarse window in pixels, both odd, of a picture of size x size."""
    fine, coarse = (1 + 2 * round((share * size - 1) / 2) for share in (_FINE, _COARSE))
    return max(fine, 1), max(coarse, 3)


def _smoothed(
    planes: Sequence[NDArray[np.float32]], inner: NDArray[np.uint8], side: int
) -> list[NDArray[np.float64]]:
    """Means over windows of the N pixels inside the rim, [N] of each plane [H, W]; windows end at the rim."""
    inside = inner > 0
    weight = inside.astype(np.float32)
    counts, *sums = (
        cv2.boxFilter(of, cv2.CV_32F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)[inside]
        for of in (weight, *(plane * weight for plane in planes))
    )
    return [np.asarray(of, np.float64) / counts for of in sums]


def _noise_variance(plane: NDArray[np.float32], inner: NDArray[np.uint8]) -> float:
    """Variance of a plane's noise (Immerkaer 1996, see `unmasking.noise_level`)."""
    response = cv2.mean(np.abs(cv2.filter2D(plane, -1, IMMERKAER)), mask=inner)[0]
    return math.pi / 2 * (response / 6) ** 2


def _smaller_half(values: NDArray[np.float64]) -> float:
    """Mean of the smaller half: a parasite, a speck or the rim's shadow has no say in it."""
    half = (len(values) + 1) // 2
    return float(np.partition(values, half - 1)[:half].mean())


def _without(square: float, noise: float) -> float:
    """A square less that of noise; never quite 0, so that more pattern always counts for more."""
    return max(square - noise, LEAST_LEFT * square)
