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


def describe(resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure crops.

    With A the number of pixels that are not black, and S the covariance of their positions:
    fill = log(A / all pixels); irregularity = log(4 pi sqrt(det S) / A), 0 for an ellipse;
    elongation = log(trace S / (2 sqrt(det S))), 0 for a circle; skewness = the square root of Hu's third
    invariant (1962) over trace(S)^3/2, 0 where opposite sides are alike; contrast = log(root mean square
    difference between the brightness inside the rim and the mean with it / that mean): a cell has a pattern
    and a darker rim, a patch without a cell has neither, and the light's strength does not matter.

    Inside the rim, with T = R + G + B and C = (R - G, B - G), all relative to the mean of T:
    colour = log(length of the mean of C) + log(deviation of C), little where the stain has faded;
    texture = log(deviation of T) + log(deviation of T's Laplacian), little in stray light, and less so
    where it is only out of focus.

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
    # In whole numbers: a flat picture's rounding must not be taken for texture.
    red, green, blue = cv2.split(crop.astype(np.int16))
    total = red + green + blue
    mean, deviation = cv2.meanStdDev(cv2.merge((total, red - green, blue - green)), mask=inner)
    fine = float(cv2.meanStdDev(cv2.Laplacian(total, cv2.CV_16S), mask=inner)[1][0, 0])
    light = max(float(mean[0, 0]), 1.0)
    hue, spread = math.hypot(*mean[1:, 0]), math.hypot(*deviation[1:, 0])
    return (
        math.log(hue / light + FLAT) + math.log(spread / light + FLAT),
        math.log(float(deviation[0, 0]) / light + FLAT) + math.log(fine / light + FLAT),
    )
