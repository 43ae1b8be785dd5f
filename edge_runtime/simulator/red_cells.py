"""Red cells: a stained biconcave disc, its shape, its pallor, and the parasite in it if there is one."""

from collections.abc import Callable

import numpy as np

from edge_runtime.simulator.kinds import Kind
from edge_runtime.simulator.parasites import add_parasite
from edge_runtime.simulator.preparation import Slide
from edge_runtime.simulator.shapes import (
    Patch,
    Plane,
    pixel_grid,
    smooth_noise,
    smooth_step,
    wobble,
)

Bend = Callable[[np.random.Generator, Plane, Plane], Plane]

_SIZE_SPREAD = 0.055  # relative deviation of the diameter on one slide; normal blood has 0.05-0.06
_EDGE_SOFTNESS = 2.5  # pixels over which a cell's border fades: a cell has a slope, not a wall
_ROOM = 1.35  # patch half-width in cell radii
_TAIL_ROOM = 1.8  # the same for a teardrop


def draw_red_cell(rng: np.random.Generator, slide: Slide, kind: Kind) -> Patch:
    """Draw one red cell, uninfected or with the parasite that `kind` names."""
    radius = slide.cell_diameter / 2 * float(np.clip(rng.normal(1, _SIZE_SPREAD), 0.8, 1.2))
    odd = _ODD_SHAPES[int(rng.integers(3))] if rng.random() < slide.odd_shapes else None
    grid = pixel_grid(radius * (_TAIL_ROOM if odd is _draw_out else _ROOM))
    border = np.float32(radius) * _outline(rng, np.arctan2(grid[1], grid[0]), odd)
    distance = np.hypot(*grid)
    depth = border - distance
    body = smooth_step(depth, _EDGE_SOFTNESS)
    thickness = body * _profile(rng, slide, grid, border)
    colour = slide.red_cell * np.float32(rng.normal(1, 0.07)) * np.float32(rng.normal(1, 0.02, 3))
    density = thickness[..., None] * colour
    parasite = None
    if kind != "uninfected":
        parasite = add_parasite(rng, slide, kind, grid, radius, body, density)
    halo = np.float32(slide.halo) * np.exp(-(((depth + 3) / 2) ** 2))
    return Patch(density - halo[..., None], depth >= 0, parasite)


def _outline(rng: np.random.Generator, angles: Plane, odd: Bend | None) -> Plane:
    """Return the border's distance from the centre at each angle, in cell radii."""
    oval = np.float32(abs(rng.normal(0, 0.055)))
    outline = wobble(rng, angles, amount=0.014) + oval * np.cos(2 * angles + rng.uniform(0, 6.3))
    return np.asarray(outline if odd is None else odd(rng, angles, outline), np.float32)


def _crenate(rng: np.random.Generator, angles: Plane, outline: Plane) -> Plane:
    # A wandering phase and height: no two spikes are alike.
    phase = rng.uniform(0, 6.3) + 1.5 * np.sin(2 * angles + rng.uniform(0, 6.3))
    spikes = np.cos(int(rng.integers(9, 14)) * angles + phase)
    height = rng.uniform(0.03, 0.06) * (1 + 0.5 * np.cos(3 * angles + rng.uniform(0, 6.3)))
    return np.asarray(0.93 * outline * (1 + height * spikes), np.float32)


def _draw_out(rng: np.random.Generator, angles: Plane, outline: Plane) -> Plane:
    away = np.angle(np.exp(1j * (angles - rng.uniform(0, 6.3))))
    tail = rng.uniform(0.25, 0.6) * np.exp(-((np.abs(away) / rng.uniform(0.2, 0.35)) ** 1.3))
    return np.asarray(0.93 * outline + tail, np.float32)


def _dent(rng: np.random.Generator, angles: Plane, outline: Plane) -> Plane:
    return outline * wobble(rng, angles, amount=0.07, harmonics=4)


_ODD_SHAPES: tuple[Bend, ...] = (_crenate, _draw_out, _dent)


def _profile(rng: np.random.Generator, slide: Slide, grid: tuple[Plane, Plane], border: Plane) -> Plane:
    """Return how thick the haemoglobin is, 1 on average: thin in the middle, a bit thicker near the rim."""
    shift = rng.normal(0, 0.06, 2) * border.mean()
    from_middle = np.hypot(grid[0] - np.float32(shift[0]), grid[1] - np.float32(shift[1])) / border
    pallor = np.float32(np.clip(slide.pallor + rng.normal(0, 0.1), 0, 0.75))
    width = np.float32(rng.uniform(0.34, 0.5))
    dip = np.exp(-((from_middle / width) ** np.float32(slide.pallor_edge)))
    rim = np.float32(0.1) * np.exp(-(((from_middle - 0.85) / 0.13) ** 2))
    cloud = np.float32(0.025) * smooth_noise(rng, border.shape, 12.0)
    cloud += np.float32(0.02) * smooth_noise(rng, border.shape, 4.0)
    return np.asarray(1 - pallor * dip + rim + cloud, np.float32)
