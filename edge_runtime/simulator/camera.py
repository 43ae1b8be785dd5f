"""From a film's absorbance to the frame that a low-cost camera delivers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.simulator.preparation import Slide
from edge_runtime.simulator.shapes import Plane

_DEMOSAIC_SIGMA = 0.6  # pixels: interpolating the colour filter smears noise as well as edges


def photograph(
    density: Plane,
    slide: Slide,
    rng: np.random.Generator,
    *,
    defocus: float,
    gain: float,
    colour_cast: tuple[float, float, float],
) -> NDArray[np.uint8]:
    """Photograph a film.

    Args:
        density: float32 [height, width, 3], absorbance per colour (RGB), natural logarithm; destroyed.
        slide: gives lamp, lens and sensor.
        rng: the source of noise.
        defocus: blur beyond the lens's own, Gaussian sigma in pixels.
        gain: exposure; 1 keeps bare glass just below saturation.
        colour_cast: factor per colour (RGB); 1 is the slide's own white balance.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    np.negative(density, out=density)
    light: Plane = np.asarray(cv2.exp(density, dst=density), np.float32)
    blur = float(np.hypot(slide.sharpness, defocus))
    light = _blurred(light, blur)
    light *= np.float32(1 - slide.flare)
    light += np.float32(slide.flare)
    white = slide.lamp * np.float32(gain) * np.array(colour_cast, np.float32)
    light *= _illumination(slide, light.shape[0], light.shape[1])[..., None] * white
    noise = rng.standard_normal(light.shape, dtype=np.float32)
    variance = light * np.float32(slide.shot_noise**2 / 255) + np.float32(slide.read_noise**2)
    light += noise * np.asarray(cv2.sqrt(variance), np.float32)
    light = _blurred(light, _DEMOSAIC_SIGMA)
    return np.asarray(np.clip(np.rint(light), 0, 255), np.uint8)


def _blurred(light: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _illumination(slide: Slide, height: int, width: int) -> Plane:
    """Return the lamp's brightness over the frame, float32 [height, width]: about 1 in the middle."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    falloff = 1 - np.float32(slide.vignetting / 2) * (x * x + y * y)
    light = falloff + np.float32(slide.tilt[0]) * x + np.float32(slide.tilt[1]) * y
    for left, top, radius, absorbed in slide.dust:
        dx, dy = (x + 1) / 2 * width - left * width, (y + 1) / 2 * height - top * height
        light = light * (1 - absorbed * np.exp(-(dx * dx + dy * dy) / (2 * radius**2)))
    return np.asarray(light, np.float32)
