"""The light of a frame: where the eyepiece lets it through, and how bright the empty film is under the cells.

Red cells absorb green light whatever the stain, so cells are found in the absorbance against the light of the
empty film, which need not be even.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]  # 255 inside, 0 outside, as OpenCV wants it
Plane = NDArray[np.float32]

_SMALL_WIDTH = 320  # pixels; the light is smooth, so it is estimated on a reduced frame
_BLUR_WIDTH = 1000  # pixels of frame width per pixel of blur
_DARK = 0.2  # of the frame's brightest light: darker is outside the eyepiece's circle
_SETTLED = 1e-3  # of absorbance: the film's light is known when it moves less
_STRIP = 256  # rows that are worked on at a time
_WHOLE = 0.97  # of the frame: when this much is lit there is no circle
_RIM = 0.985
_MOSTLY_RED = 0.7  # of the area of what is darkest: as much that is less dark is red cells, not their borders
_PARTED = 0.72  # of the variance between two groups; a film without cells, cut in two, has 0.64 (2 / pi)


def reduced(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame of at most 320 pixels of width; the light is smooth enough for that."""
    height, width = frame.shape[:2]
    return np.asarray(cv2.resize(frame, _reduced(width, height), interpolation=cv2.INTER_AREA), np.uint8)


def field_of_view(small: NDArray[np.uint8], width: int, height: int) -> Mask:
    """What the eyepiece lets through: a circle on a phone's photograph, else the whole frame.

    Args:
        small: uint8 [h, w, 3] RGB, the reduced frame.
        width: of the frame in pixels.
        height: of the frame in pixels.

    Returns:
        uint8 [height, width], 255 inside, 0 outside.
    """
    scale = min(1.0, _SMALL_WIDTH / width)
    brightest = small.max(axis=2)
    bright = np.asarray((brightest > _DARK * np.percentile(brightest, 99)) * np.uint8(255), np.uint8)
    contours, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(max(contours, key=cv2.contourArea)) if contours else None
    if hull is None:
        return np.full((height, width), 255, np.uint8)
    if cv2.contourArea(hull) > _WHOLE * bright.size:
        return _but_for_corners(bright, np.asarray(hull, np.int32), width, height)
    middle = hull.mean(axis=0)
    # Drawn a little smaller: the circle's rim is neither lit nor dark.
    inner = (middle + _RIM * (hull - middle)) / scale
    return np.asarray(
        cv2.fillConvexPoly(np.zeros((height, width), np.uint8), inner.astype(np.int32), 255),
        np.uint8,
    )


def _but_for_corners(bright: Mask, hull: NDArray[np.int32], width: int, height: int) -> Mask:
    """The whole frame without the corners, if any, in which the circle's black can be seen.

    As small as they are, they are so dark that no cell would stand out beside them.
    """
    outside = (
        np.asarray(cv2.fillConvexPoly(np.full(bright.shape, 255, np.uint8), hull, 0), np.uint8) & ~bright
    )
    if not outside.any():
        return np.full((height, width), 255, np.uint8)
    reach = disc(max(1, round((1 - _RIM) * max(bright.shape))))
    kept = cv2.bitwise_not(cv2.dilate(outside, reach))
    return np.asarray(cv2.resize(kept, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _reduced(width: int, height: int) -> tuple[int, int]:
    """Width and height at which the light is estimated; a strip of a frame keeps at least one row."""
    scale = min(1.0, _SMALL_WIDTH / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def absorbance_of(frame: NDArray[np.uint8], field: Mask) -> tuple[Plane, Plane]:
    """Absorbance of green light against the empty film, float32 [H, W]; and the film's own, reduced."""
    height, width = field.shape
    absorbance = _density(frame[..., 1], sigma=max(0.8, width / _BLUR_WIDTH))
    small = cv2.resize(absorbance, _reduced(width, height), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(field, small.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    surface = _fit_film(np.asarray(small, np.float32), inside)
    x, y = _places(width, small.shape[1]), _places(height, small.shape[0])
    for top in range(0, height, _STRIP):
        absorbance[top : top + _STRIP] -= _film(surface, x, y[top : top + _STRIP])
    return absorbance, _film(surface, _places(small.shape[1]), _places(small.shape[0]))


def _places(number: int, reduced_to: int | None = None) -> Plane:
    """Where the pixels of a side lie on the reduced frame, from -1 at its first to 1 at its last."""
    few = reduced_to or number
    at = np.clip((np.arange(number) + 0.5) * few / number - 0.5, 0, few - 1)
    return np.asarray(2 * at / max(1, few - 1) - 1, np.float32)


def _film(surface: Plane, x: Plane, y: Plane) -> Plane:
    """Values of a quadratic surface (1, x, y, xx, xy, yy), float32 [len(y), len(x)]."""
    one, by_x, by_y, by_xx, by_xy, by_yy = surface
    down = y[:, None]
    return np.asarray((one + by_x * x + by_xx * x * x) + down * (by_y + by_xy * x) + by_yy * down * down)


def _density(green: NDArray[np.uint8], sigma: float) -> Plane:
    """Negative logarithm of the light, smoothed; strip by strip, as a large frame is large as floats."""
    margin = int(np.ceil(4 * sigma)) + 1
    density = np.empty(green.shape, np.float32)
    for top in range(0, len(green), _STRIP):
        above, below = max(0, top - margin), min(len(green), top + _STRIP + margin)
        light = np.maximum(green[above:below], 1).astype(np.float32)
        smooth = cv2.GaussianBlur(light, (0, 0), sigma)[top - above : top - above + _STRIP]
        density[top : top + _STRIP] = -np.log(smooth)
    return density


def _fit_film(density: Plane, inside: NDArray[np.bool_]) -> Plane:
    """The density of the empty film under the cells: a quadratic surface through what is not cell."""
    x, y = np.meshgrid(_places(density.shape[1]), _places(density.shape[0]))
    x, y, values = x[inside], y[inside], density[inside]
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    surface = np.zeros(terms.shape[-1], np.float32)
    surface[0] = np.median(values) if values.size else 0.0
    for _ in range(6):
        above = values - terms @ surface
        empty = above < below_white_cells(above)
        if empty.sum() < terms.shape[-1]:
            break
        # A second look without the cells' own soft borders and the specks.
        middle = np.median(above[empty])
        spread = 1.5 * np.median(np.abs(above[empty] - middle)) + 1e-3
        empty &= np.abs(above - middle) < 3 * spread
        before, surface = surface, _least_squares(terms[empty], values[empty])
        if np.abs(surface - before).sum() < _SETTLED:
            break
    return surface


def _least_squares(terms: Plane, values: Plane) -> Plane:
    """What weighs the terms best: by the normal equations, six of them instead of one for each pixel."""
    exact = terms.astype(np.float64)
    # A strip of a frame leaves some terms alike, so the equations may have more than one solution.
    return np.asarray(np.linalg.lstsq(exact.T @ exact, exact.T @ values, rcond=None)[0], np.float32)


def below_white_cells(values: Plane) -> float:
    """The cut between film and cells, also where white cells are so many that Otsu's parts them from both."""
    cut = otsu(values)
    for _ in range(2):
        below = values[values < cut]
        lower = otsu(below)
        above = below >= lower
        # Borders and pallor also lie between the film and a cell, but they cover far less than the cells do.
        if above.sum() < _MOSTLY_RED * (values.size - below.size) or parted_by(below, above) < _PARTED:
            break
        cut = lower
    return cut


def parted_by(values: Plane, above: NDArray[np.bool_]) -> float:
    """Share of the values' variance that lies between two groups (Otsu's eta), 0 to 1."""
    share = float(above.mean()) if above.size else 0.0
    if share in {0.0, 1.0}:
        return 0.0
    apart = float(values[above].mean() - values[~above].mean())
    return share * (1 - share) * apart**2 / float(values.var())


def otsu(values: Plane) -> float:
    """The cut between two groups of values (Otsu 1979), on 256 bins."""
    if not values.size:
        return 0.0
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    if high <= low:
        return low
    scaled = np.clip((values - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    cut, _ = cv2.threshold(scaled.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    return float(low + (cut + 0.5) / 255 * (high - low))


def disc(radius: int) -> Mask:
    """A filled circle, as a kernel for OpenCV: uint8 [2 radius + 1, 2 radius + 1]."""
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
