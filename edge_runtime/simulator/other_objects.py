"""What is on a film besides red cells: white cells, platelets and precipitated stain."""

from typing import Literal

import numpy as np

from edge_runtime.simulator.preparation import Slide
from edge_runtime.simulator.shapes import (
    Patch,
    Plane,
    blob,
    dot,
    pixel_grid,
    polar_point,
    smooth_noise,
    smooth_step,
)

Grid = tuple[Plane, Plane]
WhiteCell = Literal["granulocyte", "lymphocyte", "monocyte"]

_WHITE_CELLS: tuple[WhiteCell, ...] = ("granulocyte", "lymphocyte", "monocyte")
_WHITE_CELL_WEIGHTS = (0.55, 0.3, 0.15)
# Diameters in red-cell diameters. A red cell has 7.5 um, a granulocyte 12-14, a lymphocyte 8-12, a monocyte
# 14-18.
_WHITE_CELL_SIZES = {
    "granulocyte": (1.55, 1.85),
    "lymphocyte": (1.15, 1.5),
    "monocyte": (1.75, 2.1),
}
_PLATELET_SIZE = (0.2, 0.36)  # diameter in red-cell diameters
_DEBRIS_SIZE = (0.1, 0.85)  # diameter in red-cell diameters: from a speck to a small cell
_WIDEST = 1.6  # patch half-width in radii: irregular outlines bulge


def draw_white_cell(rng: np.random.Generator, slide: Slide) -> Patch:
    """Draw a granulocyte, a lymphocyte or a monocyte."""
    sort = _WHITE_CELLS[int(rng.choice(3, p=_WHITE_CELL_WEIGHTS))]
    radius = slide.cell_diameter / 2 * rng.uniform(*_WHITE_CELL_SIZES[sort])
    grid = pixel_grid(radius * 1.3)
    body = blob(rng, grid, (0.0, 0.0), radius, irregular=0.03, softness=4.0)
    nucleus = _nucleus(rng, sort, grid, radius)
    chromatin = 1 + 0.13 * smooth_noise(rng, body.shape, 9.0)
    chromatin += 0.07 * smooth_noise(rng, body.shape, 4.0)
    cytoplasm = body * (1 - 0.7 * nucleus)
    density = cytoplasm[..., None] * _cytoplasm(rng, sort, slide, body.shape)
    density += (nucleus * np.clip(chromatin, 0.6, 1.4))[..., None] * slide.nucleus
    return Patch(np.asarray(density, np.float32), np.maximum(body, nucleus) >= 0.5)


def _nucleus(rng: np.random.Generator, sort: WhiteCell, grid: Grid, radius: float) -> Plane:
    """Return the nucleus's coverage 0-1: lobes on an arc, a kidney, or one round mass."""
    if sort == "lymphocyte":
        shift = polar_point(radius * rng.uniform(0, 0.12), rng.uniform(0, 6.3))
        return blob(rng, grid, shift, radius * rng.uniform(0.74, 0.86), irregular=0.04)
    lobes = int(rng.integers(3, 6)) if sort == "granulocyte" else 4
    step = rng.uniform(0.95, 1.25) if sort == "granulocyte" else 0.5
    size = (0.25, 0.33) if sort == "granulocyte" else (0.36, 0.44)
    angle, covered = rng.uniform(0, 6.3), np.zeros_like(grid[0])
    away, previous = radius * rng.uniform(0.36, 0.46), None
    for _ in range(lobes):
        centre = polar_point(away * rng.uniform(0.85, 1.15), angle)
        lobe = blob(rng, grid, centre, radius * rng.uniform(*size), irregular=0.1)
        covered = np.maximum(covered, lobe)
        if previous is not None:
            # Lobes hang together by strands of chromatin.
            middle = ((centre[0] + previous[0]) / 2, (centre[1] + previous[1]) / 2)
            covered = np.maximum(covered, dot(grid, middle, radius * 0.14))
        previous, angle = centre, angle + step * rng.uniform(0.85, 1.15)
    return covered


def _cytoplasm(rng: np.random.Generator, sort: WhiteCell, slide: Slide, shape: tuple[int, int]) -> Plane:
    """Return the absorbance [height, width, 3] of a white cell's cytoplasm."""
    cloud = 1 + np.float32(0.12) * smooth_noise(rng, shape, 8.0)
    if sort == "granulocyte":
        granules = np.clip(smooth_noise(rng, shape, 2.5), 0, 2)
        pink = np.array((0.07, 0.17, 0.06), np.float32)
        violet = np.array((0.06, 0.12, 0.04), np.float32)
        return np.asarray(cloud[..., None] * pink + granules[..., None] * violet, np.float32)
    pale = rng.uniform(0.4, 0.75) if sort == "lymphocyte" else rng.uniform(0.35, 0.5)
    return np.asarray(cloud[..., None] * slide.cytoplasm * np.float32(pale), np.float32)


def draw_platelet(rng: np.random.Generator, slide: Slide) -> Patch:
    """Draw a platelet: purple granules in a paler, ragged little body."""
    radius = slide.cell_diameter / 2 * rng.uniform(*_PLATELET_SIZE)
    grid = pixel_grid(radius * _WIDEST + 3)
    body = blob(rng, grid, (0.0, 0.0), radius, irregular=0.1, softness=4.0, harmonics=7)
    core = blob(rng, grid, (0.0, 0.0), radius * 0.72, irregular=0.12, softness=5.0)
    granules = np.clip(0.75 + 0.3 * smooth_noise(rng, body.shape, 2.5), 0.2, 1.5)
    density = (body * rng.uniform(0.35, 0.6))[..., None] * slide.cytoplasm
    density = density + (core * granules * rng.uniform(0.45, 0.8))[..., None] * slide.chromatin
    return Patch(np.asarray(density, np.float32), body >= 0.5)


def draw_debris(rng: np.random.Generator, slide: Slide) -> Patch:
    """Draw precipitated stain: a dark, angular, lumpy heap of any size."""
    smallest, largest = np.log(_DEBRIS_SIZE)
    radius = slide.cell_diameter / 2 * float(np.exp(rng.uniform(smallest, largest)))
    grid = pixel_grid(radius * _WIDEST + 3)
    turn, squeeze = rng.uniform(0, np.pi), rng.uniform(0.45, 1.0)
    along = grid[0] * np.float32(np.cos(turn)) + grid[1] * np.float32(np.sin(turn))
    across = (grid[1] * np.float32(np.cos(turn)) - grid[0] * np.float32(np.sin(turn))) / squeeze
    # A hill cut off at a rough height: ragged borders, holes and loose grains come by themselves.
    rough = 0.22 * smooth_noise(rng, grid[0].shape, max(2.5, radius / 2.5))
    rough += 0.13 * smooth_noise(rng, grid[0].shape, max(2.0, radius / 8))
    hill = np.float32(0.75) - np.hypot(along, across) / np.float32(radius)
    heap = smooth_step(np.float32(radius) * (hill + rough), 2.5)
    lumps = np.clip(1 + 0.3 * smooth_noise(rng, heap.shape, max(2.0, radius / 5)), 0.35, 1.7)
    # From magenta clouds of eosin to nearly black crystals.
    darkness = rng.uniform(0.45, 1.2)
    tint = np.array((1.0, 0.9, 1.0 + 0.8 * rng.random()), np.float32)
    colour = slide.nucleus * tint * darkness
    density = (heap * lumps)[..., None] * colour
    return Patch(np.asarray(density, np.float32), heap >= 0.5)
