"""Is a crop the picture of one whole cell? Five plain numbers of its outline and contrast.

What a segmentation that went wrong hands on (half a cell, two cells, a patch without one, a wrong scale) can
have ordinary features: a network that averages over the picture does not see outlines. These numbers do.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

OUTLINE = ("fill", "irregularity", "elongation", "skewness", "contrast")

_RIM = np.ones((5, 5), np.uint8)  # whose pixels are mixed with black: only their mean is of use
FLAT = 1e-3  # added to the relative deviation, which is 0 where every pixel is the same


def describe(resized: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure crops.

    With A the number of pixels that are not black, and S the covariance of their positions:
    fill = log(A / all pixels); irregularity = log(4 pi sqrt(det S) / A), 0 for an ellipse;
    elongation = log(trace S / (2 sqrt(det S))), 0 for a circle; skewness = the square root of Hu's third
    invariant (1962) over trace(S)^3/2, 0 where opposite sides are alike; contrast = log(root mean square
    difference between the brightness inside the rim and the mean with it / that mean): a cell has a pattern
    and a darker rim, a patch without a cell has neither, and the light's strength does not matter.

    Args:
        resized: N crops uint8 [size, size, 3] RGB, as `preprocessing.resize_crop` makes them.

    Returns:
        float64 [N, 5], in the order of OUTLINE; all of them finite.
    """
    return np.array([_describe(crop) for crop in resized], np.float64).reshape(len(resized), len(OUTLINE))


def wholeness(
    outlines: NDArray[np.float64], low: Sequence[float], high: Sequence[float]
) -> NDArray[np.float64]:
    """How far inside its limits the worst of the five numbers lies: [N, 5] -> float64 [N].

    1 is the middle of every range, 0 a limit, below 0 outside.
    """
    lower, upper = np.array(low, np.float64), np.array(high, np.float64)
    middle, half = (upper + lower) / 2, (upper - lower) / 2
    return np.asarray((1 - np.abs(outlines - middle) / half).min(axis=1))


def _describe(crop: NDArray[np.uint8]) -> tuple[float, ...]:
    mask = np.ascontiguousarray(crop.any(axis=2)).view(np.uint8)
    moments = cv2.moments(mask, binaryImage=True)
    area = max(moments["m00"], 1.0)
    # A pixel is a square, not a point: so a crop of a single row has a width, too.
    xx, yy = moments["mu20"] / area + 1 / 12, moments["mu02"] / area + 1 / 12
    root, trace = math.sqrt(xx * yy - (moments["mu11"] / area) ** 2), xx + yy
    third = math.hypot(moments["mu30"] - 3 * moments["mu12"], 3 * moments["mu21"] - moments["mu03"]) / area
    inner = cv2.erode(mask, _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey, mask=inner))
    whole = max(cv2.mean(grey, mask=mask)[0], 1.0)
    return (
        math.log(area / mask.size),
        math.log(4 * math.pi * root / area),
        math.log(trace / (2 * root)),
        third / trace**1.5,
        math.log(math.hypot(deviation, mean - whole) / whole + FLAT),
    )
