"""From a film's absorbance to the frame that a low-cost camera delivers."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.simulator.corruptions import illumination, sensor_noise, stray_light
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
    light = stray_light(_blurred(light, blur), slide.flare, np.float32(1))
    white = slide.lamp * np.float32(gain) * np.array(colour_cast, np.float32)
    light *= _lamp(slide, light.shape[0], light.shape[1])[..., None] * white
    normal = rng.standard_normal(light.shape, dtype=np.float32)
    light = sensor_noise(light, normal, shot=slide.shot_noise, read=slide.read_noise, white=255)
    light = _blurred(light, _DEMOSAIC_SIGMA)
    return np.asarray(np.clip(np.rint(light), 0, 255), np.uint8)


def _blurred(light: Plane, sigma: float) -> Plane:
    # No disc as in `corruptions.defocus`: lens and focus, together, are nearer to a Gaussian.
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _lamp(slide: Slide, height: int, width: int) -> Plane:
    """Return the lamp's brightness over the frame, float32 [height, width]: about 1 in the middle."""
    light = illumination(height, width, slide.tilt, slide.vignetting)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    # On the optics, far from focus: without the rims of `corruptions.dusty`, which lies on sensor or slide.
    for left, top, radius, absorbed in slide.dust:
        dx, dy = (x + 1) / 2 * width - left * width, (y + 1) / 2 * height - top * height
        light = np.asarray(
            light * (1 - absorbed * np.exp(-(dx * dx + dy * dy) / (2 * radius**2))), np.float32
        )
    return light
