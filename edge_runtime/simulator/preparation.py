"""What one slide under one microscope has in common: stain, smear, lamp and camera."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_runtime.simulator.shapes import Plane

# Absorbances per colour (R, G, B), natural logarithm, read off Giemsa films of several laboratories.
_RED_CELL_STAINS = (
    (0.08, 0.38, 0.42),  # salmon
    (0.12, 0.46, 0.36),  # pink
    (0.26, 0.72, 0.42),  # rose to magenta
    (0.40, 0.52, 0.30),  # grey violet, an alkaline buffer
)
_RED_CELL_STAIN_WEIGHTS = (0.8, 0.9, 0.35, 0.6)
_CHROMATIN = (0.38, 1.60, 0.30)
_CYTOPLASM = (0.52, 0.60, 0.12)
_NUCLEUS = (0.95, 1.75, 0.50)
_PIGMENT = (0.75, 0.95, 1.25)
_LAMP = (238.0, 233.0, 230.0)  # 8-bit white of bare glass under a neutral LED
_WARM = (0.0, 0.06, 0.14)  # what a warm lamp and a poor white balance take from each colour


@dataclass(frozen=True)
class Slide:
    """The look of all fields of a slide. Stains are float32 [3], absorbance per colour (RGB).

    Attributes:
        cell_diameter: mean diameter of a red cell, pixels.
        pallor: how much thinner the middle of a red cell is, 0-1.
        pallor_edge: how abruptly the pallor ends: 2 like a bell, 5 like a plate.
        odd_shapes: fraction of red cells that are crenated, teardrop-shaped or irregular.
        clumping: fraction of red cells that lie against another one.
        halo: brightening just outside a cell's edge, absorbance.
        red_cell, chromatin, cytoplasm, nucleus, pigment: what each of them absorbs at full strength.
        plasma: what the film absorbs where there is no cell.
        lamp: float32 [3], 8-bit value of bare glass in the middle of the field.
        tilt: brightness change from the middle to the right and to the lower edge, as fractions.
        vignetting: fraction of light lost in the corners.
        flare: fraction of the lamp's light that reaches the sensor astray and pales all colours.
        sharpness: blur of lens and sensor, Gaussian sigma in pixels.
        shot_noise: deviation in 8-bit values of a white pixel.
        read_noise: deviation in 8-bit values of a black pixel.
        dust: x, y, radius, absorbance of out-of-focus dust on the optics; x and y as fractions of the frame.
    """

    cell_diameter: float
    pallor: float
    pallor_edge: float
    odd_shapes: float
    clumping: float
    halo: float
    red_cell: Plane
    chromatin: Plane
    cytoplasm: Plane
    nucleus: Plane
    pigment: Plane
    plasma: Plane
    lamp: Plane
    tilt: tuple[float, float]
    vignetting: float
    flare: float
    sharpness: float
    shot_noise: float
    read_noise: float
    dust: tuple[tuple[float, float, float, float], ...]


def prepare_slide(rng: np.random.Generator) -> Slide:
    """Draw the look of a slide."""
    strength = rng.uniform(0.8, 1.15)
    warmth = rng.random()
    mixture = rng.dirichlet(_RED_CELL_STAIN_WEIGHTS) @ np.array(_RED_CELL_STAINS)

    def stain(typical: tuple[float, float, float]) -> Plane:
        return np.float32(strength) * _float32(typical) * _float32(rng.normal(1, 0.06, 3))

    return Slide(
        cell_diameter=rng.uniform(73, 87),
        pallor=rng.uniform(0.05, 0.6),
        pallor_edge=rng.uniform(1.8, 4.5),
        odd_shapes=rng.uniform(0.03, 0.14),
        clumping=rng.uniform(0.05, 0.11),
        halo=rng.uniform(0.0, 0.05),
        red_cell=_float32(mixture * strength * rng.normal(1, 0.06, 3)),
        chromatin=stain(_CHROMATIN),
        cytoplasm=stain(_CYTOPLASM),
        nucleus=stain(_NUCLEUS),
        pigment=stain(_PIGMENT),
        plasma=_float32(rng.uniform(0.3, 1.0) * rng.uniform((0.0, 0.03, 0.03), (0.03, 0.09, 0.12))),
        lamp=_float32(_LAMP) * _float32(rng.normal(1, (0.015, 0.015, 0.025)) - warmth * np.array(_WARM)),
        tilt=(rng.normal(0, 0.025), rng.normal(0, 0.025)),
        vignetting=rng.uniform(0.03, 0.16),
        flare=rng.uniform(0.0, 0.14),
        sharpness=rng.uniform(0.7, 1.2),
        shot_noise=rng.uniform(1.5, 3.5),
        read_noise=rng.uniform(0.5, 1.2),
        dust=tuple(
            (rng.random(), rng.random(), rng.uniform(8, 22), rng.uniform(0.015, 0.06))
            for _ in range(int(rng.integers(0, 6)))
        ),
    )


def _float32(values: ArrayLike) -> Plane:
    return np.asarray(values, np.float32)
