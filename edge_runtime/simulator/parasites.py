"""Plasmodium in a red cell: rings, trophozoites and schizonts, as Giemsa stains them."""

import numpy as np
from numpy.typing import NDArray

from edge_runtime.simulator.kinds import Kind
from edge_runtime.simulator.preparation import Slide
from edge_runtime.simulator.shapes import Plane, blob, dot, polar_point, smooth_noise

Grid = tuple[Plane, Plane]

_TWO_RINGS = 0.12  # fraction of ring-stage cells with a second parasite
_TWO_DOTS = 0.25  # fraction of rings with two chromatin dots
_SEEN = 0.1  # absorbance from which a pixel belongs to the parasite; its vacuole always does


def add_parasite(
    rng: np.random.Generator,
    slide: Slide,
    kind: Kind,
    grid: Grid,
    cell_radius: float,
    body: Plane,
    density: Plane,
) -> NDArray[np.bool_]:
    """Draw a parasite into a red cell's density, in place, and return where it is: bool [side, side].

    Args:
        rng: the source of chance.
        slide: gives the stains.
        kind: "ring", "trophozoite" or "schizont".
        grid: x and y in pixels from the cell's centre.
        cell_radius: pixels.
        body: coverage 0-1 of the cell, which keeps the parasite inside.
        density: float32 [side, side, 3], absorbance; changed.
    """
    layers, vacuole = np.zeros_like(density), np.zeros_like(body)
    if kind == "ring":
        for _ in range(2 if rng.random() < _TWO_RINGS else 1):
            cleared = _add_ring(rng, slide, grid, cell_radius, layers)
            density *= 1 - cleared[..., None]
            vacuole += cleared
    elif kind == "trophozoite":
        vacuole = _add_trophozoite(rng, slide, grid, cell_radius, layers)
        density *= 1 - vacuole[..., None]
    else:
        _add_schizont(rng, slide, grid, cell_radius, layers)
    stained = layers * body[..., None]
    density += stained
    return np.asarray((stained.max(axis=2) >= _SEEN) | (vacuole * body > 0))


def _add_ring(rng: np.random.Generator, slide: Slide, grid: Grid, cell_radius: float, layers: Plane) -> Plane:
    """Draw one ring and return how much haemoglobin its vacuole displaces, 0-1."""
    radius = cell_radius * rng.uniform(0.22, 0.32)
    middle = polar_point(cell_radius * 0.66 * np.sqrt(rng.random()), rng.uniform(0, 6.3))
    x, y = grid[0] - np.float32(middle[0]), grid[1] - np.float32(middle[1])
    squeeze, turn = rng.uniform(0.8, 1.0), rng.uniform(0, np.pi)
    along = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    across = (y * np.float32(np.cos(turn)) - x * np.float32(np.sin(turn))) / np.float32(squeeze)
    angle, distance = np.arctan2(across, along), np.hypot(along, across)
    heavy = rng.uniform(0, 6.3)
    width = cell_radius * rng.uniform(0.035, 0.06) * (1 + 0.45 * np.cos(angle - heavy))
    band = np.exp(-(((distance - radius) / width) ** 2) / 2)
    grainy = np.clip(1 + 0.2 * smooth_noise(rng, band.shape, 4.0), 0.4, 1.6)
    layers += (band * grainy * rng.uniform(0.5, 0.95))[..., None] * slide.cytoplasm
    bead = heavy + np.pi + rng.normal(0, 0.5)
    for number in range(2 if rng.random() < _TWO_DOTS else 1):
        place = bead + number * rng.uniform(0.7, 3.0)
        dx, dy = polar_point(radius * rng.uniform(0.9, 1.05), place)
        centre = (
            middle[0] + dx * np.cos(turn) - dy * squeeze * np.sin(turn),
            middle[1] + dx * np.sin(turn) + dy * squeeze * np.cos(turn),
        )
        size = cell_radius * rng.uniform(0.085, 0.125) * (0.85 if number else 1.0)
        bead_shape = blob(rng, grid, centre, size, irregular=0.15)
        layers += bead_shape[..., None] * slide.chromatin * np.float32(rng.uniform(0.85, 1.1))
    inside = np.clip((radius - distance) / np.float32(2.0) + np.float32(0.5), 0, 1)
    return np.asarray(inside * rng.uniform(0.05, 0.35), np.float32)


def _add_trophozoite(
    rng: np.random.Generator, slide: Slide, grid: Grid, cell_radius: float, layers: Plane
) -> Plane:
    """Draw an amoeboid parasite and return how much haemoglobin its vacuole displaces, 0-1."""
    middle = polar_point(cell_radius * rng.uniform(0.0, 0.3), rng.uniform(0, 6.3))
    radius = cell_radius * rng.uniform(0.36, 0.55)
    cytoplasm = blob(rng, grid, middle, radius, irregular=0.13, softness=4.0)
    for _ in range(int(rng.integers(1, 4))):
        dx, dy = polar_point(radius * rng.uniform(0.5, 0.9), rng.uniform(0, 6.3))
        foot = blob(
            rng,
            grid,
            (middle[0] + dx, middle[1] + dy),
            radius * rng.uniform(0.3, 0.5),
            irregular=0.15,
            softness=4.0,
        )
        cytoplasm = np.maximum(cytoplasm, foot)
    dx, dy = polar_point(radius * rng.uniform(0.1, 0.5), rng.uniform(0, 6.3))
    vacuole = blob(
        rng,
        grid,
        (middle[0] + dx, middle[1] + dy),
        radius * rng.uniform(0.2, 0.45),
        irregular=0.12,
        softness=4.0,
    )
    cloud = np.clip(0.95 + 0.22 * smooth_noise(rng, cytoplasm.shape, 6.0), 0.3, 1.5)
    amount = cytoplasm * (1 - 0.85 * vacuole) * cloud * rng.uniform(0.6, 0.95)
    layers += amount[..., None] * slide.cytoplasm
    _add_chromatin_mass(rng, slide, grid, middle, radius, layers)
    _add_pigment(rng, slide, grid, middle, radius, layers)
    return np.asarray(0.3 * vacuole, np.float32)


def _add_chromatin_mass(
    rng: np.random.Generator,
    slide: Slide,
    grid: Grid,
    middle: tuple[float, float],
    radius: float,
    layers: Plane,
) -> None:
    dx, dy = polar_point(radius * rng.uniform(0.4, 0.85), rng.uniform(0, 6.3))
    size = radius * rng.uniform(0.28, 0.42)
    mass = blob(rng, grid, (middle[0] + dx, middle[1] + dy), size, irregular=0.2, softness=3.0)
    layers += mass[..., None] * slide.chromatin * np.float32(rng.uniform(0.8, 1.05))


def _add_pigment(
    rng: np.random.Generator,
    slide: Slide,
    grid: Grid,
    middle: tuple[float, float],
    radius: float,
    layers: Plane,
) -> None:
    """Scatter the brown-black grains of haemozoin around one point of the parasite."""
    dx, dy = polar_point(radius * rng.uniform(0.0, 0.5), rng.uniform(0, 6.3))
    for _ in range(int(rng.integers(4, 11))):
        ox, oy = rng.normal(0, radius * 0.28, 2)
        grain = dot(grid, (middle[0] + dx + ox, middle[1] + dy + oy), rng.uniform(0.8, 1.9))
        layers += grain[..., None] * slide.pigment * np.float32(rng.uniform(0.5, 1.0))


def _add_schizont(
    rng: np.random.Generator, slide: Slide, grid: Grid, cell_radius: float, layers: Plane
) -> None:
    """Draw a parasite that has divided: merozoites packed around a lump of pigment."""
    radius = cell_radius * rng.uniform(0.58, 0.8)
    middle = polar_point(cell_radius * rng.uniform(0.0, 0.12), rng.uniform(0, 6.3))
    count = int(rng.integers(8, 19))
    whole = blob(rng, grid, middle, radius, irregular=0.05, softness=5.0)
    cloud = np.clip(0.5 + 0.12 * smooth_noise(rng, whole.shape, 5.0), 0.1, 1.0)
    layers += (whole * cloud)[..., None] * slide.cytoplasm
    golden, start = np.pi * (3 - np.sqrt(5)), rng.uniform(0, 6.3)
    for number in range(count):
        # A sunflower's arrangement fills a disc evenly; the jitter makes it biology.
        away = radius * 0.88 * np.sqrt((number + 1.0) / count)
        dx, dy = polar_point(away, start + number * golden)
        centre = (
            middle[0] + dx + rng.normal(0, 0.05 * radius),
            middle[1] + dy + rng.normal(0, 0.05 * radius),
        )
        size = cell_radius * rng.uniform(0.075, 0.11)
        layers += dot(grid, centre, size * 1.7)[..., None] * slide.cytoplasm * np.float32(0.35)
        nucleus = blob(rng, grid, centre, size, irregular=0.15)
        layers += nucleus[..., None] * slide.chromatin * np.float32(rng.uniform(0.7, 1.0))
    for _ in range(int(rng.integers(3, 7))):
        ox, oy = rng.normal(0, 0.05 * cell_radius, 2)
        lump = dot(grid, (middle[0] + ox, middle[1] + oy), cell_radius * rng.uniform(0.04, 0.08))
        layers += lump[..., None] * slide.pigment * np.float32(0.6)
