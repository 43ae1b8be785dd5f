"""The physics of a cheap microscope, each effect written once, and fifteen corruptions of crops made of it.

Functions of light take and give float32 [height, width, 3] RGB in [0, 1], of a frame or of a crop without its
mask; they do not clip. `corrupt` gives a crop as it would have come out of the same segmentation of a worse
frame: the light is changed as if the film around the cell were still there, and exact black is put back.
Training, evaluation and the simulated camera take their light from here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.simulator.unmasking import Crops, Light, unmasked

Act = Callable[[Light, float, np.random.Generator], Light]

SEVERITIES = (1, 2, 3, 4, 5)

# Also the ranges from which training draws.
SPECK_RADIUS, SPECK_SHADE = (1 / 60, 1 / 18), (0.3, 0.6)  # of the side; of the light, what passes
FADED_CONTRAST, FADED_COLOUR = (0.25, 0.85), (0.0, 0.6)  # what is left of them in a crop that has faded

_READ_SHARE = 0.25  # of the noise's variance where the light is 1


def tinted(light: Light, factors: Sequence[float]) -> Light:
    """Another lamp, exposure or white balance: a factor per colour (RGB)."""
    return light * np.array(factors, np.float32)


def stray_light(light: Light, share: float, glow: Light | np.float32) -> Light:
    """Light that reaches the sensor astray: a share of all light, spread evenly, takes the colour `glow`."""
    return light * np.float32(1 - share) + np.float32(share) * glow


def faded(light: Light, share: float) -> Light:
    """Saturation lost by a share, as of an old stain."""
    return stray_light(light, share, np.asarray(light.mean(axis=2, keepdims=True)))


def stained(light: Light, more: float) -> Light:
    """A stronger stain: by Beer and Lambert's law, optical density grows in proportion to it."""
    return cast("Light", np.maximum(light, np.float32(1 / 255)) ** np.float32(1 + more))


def illumination(height: int, width: int, tilt: tuple[float, float], vignetting: float = 0.0) -> Light:
    """The lamp's light over a picture: float32 [height, width], 1 in the middle.

    Args:
        height: in pixels.
        width: in pixels.
        tilt: change from the middle to the right and to the lower edge, as fractions.
        vignetting: fraction of the light that is lost in the corners.
    """
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    falloff = 1 - np.float32(vignetting / 2) * (x * x + y * y)
    return np.asarray(falloff + np.float32(tilt[0]) * x + np.float32(tilt[1]) * y, np.float32)


def uneven(light: Light, fall: float, angle: float) -> Light:
    """Light that falls by a fraction from one side to the other, in the direction of `angle` (radians)."""
    height, width = light.shape[:2]
    tilt = (-fall / 2 * float(np.cos(angle)), -fall / 2 * float(np.sin(angle)))
    return light * (illumination(height, width, tilt) - np.float32(fall / 2))[..., None]


def defocus(light: Light, radius: float) -> Light:
    """Out of focus: the image of a point is a disc, its radius in pixels. Noise is blurred with the light."""
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _spread(light, np.clip(radius + 0.5 - np.hypot(x, y), 0, 1))


def moved(light: Light, reach: float, angle: float) -> Light:
    """The stage moved while light fell in: `reach` pixels to either side, along `angle` (radians)."""
    middle = int(np.ceil(reach))
    line = np.zeros((2 * middle + 1,) * 2)
    for step in np.linspace(-reach, reach, 4 * len(line)):
        line[round(middle + step * np.sin(angle)), round(middle + step * np.cos(angle))] += 1
    return _spread(light, line)


def _spread(light: Light, kernel: NDArray[np.float64]) -> Light:
    return cast("Light", cv2.filter2D(light, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def sensor_noise(light: Light, normal: Light, *, shot: float, read: float, white: float = 1.0) -> Light:
    """Shot noise, whose variance grows with the light, and read noise.

    Args:
        light: in units in which full light is `white`.
        normal: float32 of the same shape, drawn from the standard normal distribution.
        shot: standard deviation where the light is full, without read noise; in the units of the light.
        read: standard deviation in the dark, in the units of the light.
        white: full light.
    """
    variance = light * np.float32(shot**2 / white) + np.float32(read**2)
    return cast("Light", light + normal * np.asarray(cv2.sqrt(variance), np.float32))


def dusty(light: Light, specks: Sequence[Sequence[float]]) -> Light:
    """Grey specks on the sensor or the slide: discs whose rims are soft.

    Args:
        light: as everywhere here.
        specks: of each y and x of its middle and its radius, in pixels, and the share of light that passes.
    """
    height, width = light.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    passing = np.ones((height, width))
    for top, left, radius, shade in specks:
        beyond = np.hypot(y - top, x - left) - radius
        passing *= 1 - (1 - shade) / (1 + np.exp(np.minimum(beyond, 50)))
    return light * passing.astype(np.float32)[..., None]


def compressed(light: Light, quality: int) -> Light:
    """What JPEG at a quality of 1 to 100 leaves; in 8 bit."""
    bgr = np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)[..., ::-1]
    data = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)[..., ::-1] / np.float32(255)


def coarse(light: Light, scale: float) -> Light:
    """A camera with fewer pixels: the side is `scale` (0 to 1) as many, then enlarged again."""
    height, width = light.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    low = cv2.resize(light, small, interpolation=cv2.INTER_AREA)
    return cast("Light", cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR))


def fringed(light: Light, shift: float) -> Light:
    """Chromatic aberration: red is shifted to the right and blue to the left, by `shift` pixels."""
    made = light.copy()
    for channel, step in ((0, shift), (2, -shift)):
        move = np.array([[1, 0, step], [0, 1, 0]], np.float32)
        made[..., channel] = cv2.warpAffine(
            light[..., channel], move, light.shape[1::-1], borderMode=cv2.BORDER_REPLICATE
        )
    return made


@dataclass(frozen=True)
class Corruption:
    """One thing that a microscope does to a picture.

    Attributes:
        act: changes light by a strength; the generator decides what is left to chance.
        strengths: at severities 1 to 5.
        optical: whether it blurs the light on its way to the sensor. Blurring a crop takes away the sensor's
            noise, too, which a real lens cannot do: so it is put back.
    """

    act: Act
    strengths: tuple[float, float, float, float, float]
    optical: bool = False


def _stray(light: Light, share: float, _: np.random.Generator) -> Light:
    return stray_light(light, share, np.asarray(light.mean(axis=(0, 1))))


def _noisy(light: Light, deviation: float, rng: np.random.Generator) -> Light:
    shot, read = deviation * (1 - _READ_SHARE) ** 0.5, deviation * _READ_SHARE**0.5
    return sensor_noise(light, rng.standard_normal(light.shape).astype(np.float32), shot=shot, read=read)


def _specked(light: Light, count: float, rng: np.random.Generator) -> Light:
    side = light.shape[0]
    low, high = (side * radius for radius in SPECK_RADIUS)
    return dusty(
        light,
        [
            (*rng.uniform(0, side, 2), rng.uniform(low, high), rng.uniform(*SPECK_SHADE))
            for _ in range(int(count))
        ],
    )


# Radii, reaches and shifts are in pixels of an input of 125: parasites vanish in the last defocus.
CORRUPTIONS: Mapping[str, Corruption] = {
    "dimmer light": Corruption(
        lambda light, less, _: tinted(light, (1 - less,) * 3), (0.1, 0.2, 0.3, 0.45, 0.6)
    ),
    "brighter light": Corruption(
        lambda light, more, _: tinted(light, (1 + more,) * 3), (0.05, 0.1, 0.15, 0.25, 0.4)
    ),
    "warm cast": Corruption(
        lambda light, less, _: tinted(light, (1, 1 - less / 3, 1 - less)), (0.06, 0.12, 0.2, 0.3, 0.45)
    ),
    "cool cast": Corruption(
        lambda light, less, _: tinted(light, (1 - less, 1 - less / 3, 1)), (0.06, 0.12, 0.2, 0.3, 0.45)
    ),
    "lost contrast": Corruption(_stray, (0.1, 0.2, 0.35, 0.5, 0.7)),
    "lost saturation": Corruption(lambda light, share, _: faded(light, share), (0.1, 0.25, 0.4, 0.6, 0.9)),
    "stronger stain": Corruption(lambda light, more, _: stained(light, more), (0.1, 0.2, 0.35, 0.55, 0.8)),
    "uneven light": Corruption(
        lambda light, fall, rng: uneven(light, fall, rng.uniform(0, 2 * np.pi)), (0.1, 0.2, 0.3, 0.45, 0.65)
    ),
    "defocus": Corruption(lambda light, radius, _: defocus(light, radius), (1, 2, 4, 8, 16), optical=True),
    "motion": Corruption(
        lambda light, reach, rng: moved(light, reach, rng.uniform(0, np.pi)), (1, 2, 3, 5, 8), optical=True
    ),
    "sensor noise": Corruption(_noisy, (0.01, 0.02, 0.035, 0.06, 0.1)),
    "JPEG": Corruption(lambda light, quality, _: compressed(light, int(quality)), (80, 55, 35, 20, 10)),
    "few pixels": Corruption(lambda light, scale, _: coarse(light, scale), (0.7, 0.5, 0.35, 0.25, 0.15)),
    "colour fringes": Corruption(lambda light, shift, _: fringed(light, shift), (0.7, 1.5, 2.5, 4.0, 6.0)),
    "dust": Corruption(_specked, (1, 2, 3, 5, 8)),
}


def corrupt(crops: Crops, name: str, severity: int, *, seed: int = 0) -> Crops:
    """Crops under one corruption at one severity.

    Args:
        crops: uint8 [N, size, size, 3] RGB, black outside the cell.
        name: one of CORRUPTIONS.
        severity: 1 to 5.
        seed: of what is drawn at random; a crop's number in the batch decides with it.

    Returns:
        uint8 [N, size, size, 3] RGB, black where the crops are and nowhere else.
    """
    return corrupt_by(crops, name, CORRUPTIONS[name].strengths[severity - 1], seed=seed)


def corrupt_by(crops: Crops, name: str, strength: float, *, seed: int = 0) -> Crops:
    """The same at any strength, in the unit of that corruption's own `strengths`."""
    corruption = CORRUPTIONS[name]
    return np.stack(
        [
            _corrupted(crop, corruption, strength, np.random.default_rng([seed, number]))
            for number, crop in enumerate(crops)
        ]
    )


def _corrupted(crop: Crops, corruption: Corruption, strength: float, rng: np.random.Generator) -> Crops:
    if not crop.any():
        return crop
    bare = unmasked(crop)
    if corruption.optical:
        beyond = int(np.ceil(strength))  # the film goes on around the crop
        wide = cv2.copyMakeBorder(bare.light, *(beyond,) * 4, cv2.BORDER_CONSTANT, value=bare.film.tolist())
        (height, width), blurred = crop.shape[:2], corruption.act(cast("Light", wide), strength, rng)
        made = blurred[beyond : beyond + height, beyond : beyond + width]
        made = made + rng.standard_normal(made.shape).astype(np.float32) * bare.noise
    else:
        made = corruption.act(bare.light, strength, rng)
    return bare.masked(made)
