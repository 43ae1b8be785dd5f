"""Fifteen things that a cheap microscope does to a picture, each at five severities.

Every change takes one crop (uint8 [H, W, 3] RGB, black outside the cell) with a generator, and gives the crop
as it would have come out of the same segmentation: black outside the cell as before.
"""

from collections.abc import Callable, Mapping
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]
Light = NDArray[np.float32]  # [H, W, 3] in [0, 1]
Change = Callable[[Light, float, np.random.Generator], Light]

SEVERITIES = (1, 2, 3, 4, 5)


def change_all(crops: Crop, name: str, severity: int, *, seed: int = 0) -> Crop:
    """The crops under one change: uint8 [N, H, W, 3] RGB to the same.

    Args:
        crops: as they were.
        name: one of CHANGES.
        severity: 1 to 5.
        seed: of what is drawn at random; a crop's number in the batch decides with it.
    """
    change, strengths = CHANGES[name]
    return np.stack(
        [
            _changed(crop, change, strengths[severity - 1], np.random.default_rng([seed, number]))
            for number, crop in enumerate(crops)
        ]
    )


def _changed(crop: Crop, change: Change, strength: float, rng: np.random.Generator) -> Crop:
    cell = np.asarray(crop.any(axis=2, keepdims=True))
    # The surroundings of a real cell are bright; blurring black into it would be another change.
    surroundings = np.quantile(crop[cell[..., 0]], 0.9, axis=0) if cell.any() else np.zeros(3)
    filled = np.where(cell, crop, surroundings.astype(np.uint8)).astype(np.float32) / 255
    made = np.clip(change(np.asarray(filled, np.float32), strength, rng), 0, 1)
    return np.where(cell, np.maximum(np.rint(made * 255), 1).astype(np.uint8), np.uint8(0))


def _scaled(image: Light, factors: tuple[float, float, float]) -> Light:
    return image * np.array(factors, np.float32)


def _dimmer(image: Light, strength: float, _: np.random.Generator) -> Light:
    return image * np.float32(1 - strength)


def _brighter(image: Light, strength: float, _: np.random.Generator) -> Light:
    return image * np.float32(1 + strength)


def _warm(image: Light, strength: float, _: np.random.Generator) -> Light:
    return _scaled(image, (1, 1 - strength / 3, 1 - strength))


def _cool(image: Light, strength: float, _: np.random.Generator) -> Light:
    return _scaled(image, (1 - strength, 1 - strength / 3, 1))


def _flat(image: Light, strength: float, _: np.random.Generator) -> Light:
    """Lost contrast: stray light moves every pixel towards the mean."""
    mean = np.asarray(image.mean(axis=(0, 1), keepdims=True))
    return cast("Light", mean + (image - mean) * np.float32(1 - strength))


def _faded(image: Light, strength: float, _: np.random.Generator) -> Light:
    """Lost saturation, as of an old stain."""
    grey = np.asarray(image.mean(axis=2, keepdims=True))
    return cast("Light", grey + (image - grey) * np.float32(1 - strength))


def _stained(image: Light, strength: float, _: np.random.Generator) -> Light:
    """A stronger stain: by Beer-Lambert, optical density grows in proportion to it."""
    return cast("Light", np.maximum(image, np.float32(1 / 255)) ** np.float32(1 + strength))


def _vignette(image: Light, strength: float, rng: np.random.Generator) -> Light:
    """Light that falls off across the cell in some direction."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    along = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    return cast("Light", image * (1 - np.float32(strength) * (0.5 + along))[..., None].astype(np.float32))


def _defocus(image: Light, strength: float, _: np.random.Generator) -> Light:
    """The image of a point is a disc."""
    radius = int(np.ceil(strength))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = np.clip(strength + 0.5 - np.hypot(x, y), 0, 1)
    return cast("Light", cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE))


def _motion(image: Light, strength: float, rng: np.random.Generator) -> Light:
    """The stage moved: a short line in some direction."""
    size = 2 * int(np.ceil(strength)) + 1
    line = np.zeros((size, size), np.float32)
    angle, middle = rng.uniform(0, np.pi), size // 2
    for step in np.linspace(-strength, strength, 4 * size):
        line[round(middle + step * np.sin(angle)), round(middle + step * np.cos(angle))] += 1
    return cast("Light", cv2.filter2D(image, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE))


def _noise(image: Light, strength: float, rng: np.random.Generator) -> Light:
    """Shot noise, which grows with the root of the light, and read noise."""
    deviation = strength * np.sqrt(0.25 + 0.75 * image)
    return cast("Light", image + (rng.standard_normal(image.shape) * deviation).astype(np.float32))


def _jpeg(image: Light, strength: float, _: np.random.Generator) -> Light:
    bgr = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)[..., ::-1]
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(strength)]
    data = cv2.imencode(".jpg", np.ascontiguousarray(bgr), quality)[1]
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)
    return decoded[..., ::-1] / np.float32(255)


def _coarse(image: Light, strength: float, _: np.random.Generator) -> Light:
    """A camera with fewer pixels for the cell."""
    height, width = image.shape[:2]
    small = (max(1, round(width * strength)), max(1, round(height * strength)))
    low = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cast("Light", cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR))


def _fringed(image: Light, strength: float, _: np.random.Generator) -> Light:
    """Chromatic aberration: red and blue are shifted apart."""
    made = image.copy()
    for channel, shift in ((0, strength), (2, -strength)):
        move = np.array([[1, 0, shift], [0, 1, 0]], np.float32)
        made[..., channel] = cv2.warpAffine(
            image[..., channel], move, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
        )
    return made


def _dust(image: Light, strength: float, rng: np.random.Generator) -> Light:
    """Grey specks out of focus, on the sensor or the slide."""
    height, width = image.shape[:2]
    shade = np.ones((height, width), np.float32)
    for _ in range(int(strength)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(shade, centre, int(rng.integers(2, max(3, width // 16))), rng.uniform(0.3, 0.6), -1)
    return cast("Light", image * cv2.GaussianBlur(shade, (0, 0), 1.5)[..., None])


# What is done, and how strongly at each severity.
CHANGES: Mapping[str, tuple[Change, tuple[float, float, float, float, float]]] = {
    "dimmer light": (_dimmer, (0.1, 0.2, 0.3, 0.45, 0.6)),
    "brighter light": (_brighter, (0.05, 0.1, 0.15, 0.25, 0.4)),
    "warm cast": (_warm, (0.06, 0.12, 0.2, 0.3, 0.45)),
    "cool cast": (_cool, (0.06, 0.12, 0.2, 0.3, 0.45)),
    "lost contrast": (_flat, (0.1, 0.2, 0.35, 0.5, 0.7)),
    "lost saturation": (_faded, (0.1, 0.25, 0.4, 0.6, 0.9)),
    "stronger stain": (_stained, (0.1, 0.2, 0.35, 0.55, 0.8)),
    "uneven light": (_vignette, (0.1, 0.2, 0.3, 0.45, 0.65)),
    "defocus": (_defocus, (1.0, 1.75, 2.5, 4.0, 6.0)),
    "motion": (_motion, (1.0, 2.0, 3.0, 5.0, 8.0)),
    "sensor noise": (_noise, (0.01, 0.02, 0.035, 0.06, 0.1)),
    "JPEG": (_jpeg, (80, 55, 35, 20, 10)),
    "few pixels": (_coarse, (0.7, 0.5, 0.35, 0.25, 0.15)),
    "colour fringes": (_fringed, (0.7, 1.5, 2.5, 4.0, 6.0)),
    "dust": (_dust, (1, 2, 3, 5, 8)),
}
