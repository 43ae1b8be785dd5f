"""Augmentation on tensors: rotation, shear, translation and zoom; the microscope's light, focus and dust.

All random numbers of an epoch are drawn at once, one row per cell, so that what happens to a cell depends
on (seed, epoch, cell) alone: not on the batch it falls in, nor on the number of processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from edge_runtime.simulator.corruptions import FADED_COLOUR, FADED_CONTRAST, SPECK_RADIUS, SPECK_SHADE


@dataclass(frozen=True)
class Strength:
    """How far each change goes; every factor is drawn uniformly from its range.

    Attributes:
        rotation: largest angle in degrees; flips are always drawn.
        shear: largest shear, as the tangent of its angle.
        shift: largest translation, as a fraction of the side.
        zoom: range of magnification.
        gain: range of the light's brightness.
        cast: largest change of one channel against the others.
        contrast: largest change of contrast around the cell's mean.
        saturation: largest change of saturation.
        fading: share of cells that have lost most of their contrast, and share that have lost most colour.
        uneven: largest fall of the light from one side to the other.
        blur: share of cells that are defocused slightly.
        noise: largest standard deviation of the sensor's noise, in [0, 1] units.
        dust: share of cells with one to three grey specks, as on the sensor or the slide.
        erosion: share of cells whose mask is shrunk by one to three pixels, as another segmentation might.
    """

    rotation: float = 180.0
    shear: float = 0.15
    shift: float = 0.06
    zoom: tuple[float, float] = (0.85, 1.1)
    gain: tuple[float, float] = (0.6, 1.25)
    cast: float = 0.15
    contrast: float = 0.2
    saturation: float = 0.3
    fading: float = 0.0
    uneven: float = 0.0
    blur: float = 0.2
    noise: float = 0.02
    dust: float = 0.0
    erosion: float = 0.3


Augmentation = Literal["microscope", "harsh", "paper"]

# "harsh": a worse microscope, at the price that docs/experiments tells. "paper": rotation, shear, translation
# and zoom alone, as the paper trains.
STRENGTHS: Mapping[Augmentation, Strength] = {
    "microscope": Strength(),
    "harsh": Strength(gain=(0.4, 1.4), cast=0.25, fading=0.05, uneven=0.4, noise=0.05, dust=0.1),
    "paper": Strength(
        gain=(1.0, 1.0), cast=0.0, contrast=0.0, saturation=0.0, blur=0.0, noise=0.0, erosion=0.0
    ),
}


_SPECKS = 3  # at most

# Uniform random numbers per cell, one for each decision below: those of every augmentation, of dust, and of
# uneven light, each drawn after the other, so that they are the same with what follows and without.
_COLUMNS, _OF_DUST, _OF_UNEVEN = 20, 2 + 4 * _SPECKS, 2
_DUST_END = _COLUMNS + _OF_DUST


def draw(cells: int, *, seed: int, epoch: int) -> Tensor:
    """Draw the random numbers of one epoch: float32 [cells, columns] in [0, 1)."""
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    parts = (_COLUMNS, _OF_DUST, _OF_UNEVEN)
    return torch.cat([torch.rand(cells, columns, generator=generator) for columns in parts], dim=1)


def augment(images: Tensor, uniform: Tensor, strength: Strength) -> Tensor:
    """Change a batch as another slide, stain, light and segmentation might have.

    Args:
        images: float32 [N, 3, H, W] in [0, 1], black outside the cell.
        uniform: float32 [N, columns], the rows of `draw` for these cells, on the CPU as they come.
        strength: how far each change goes.

    Returns:
        float32 [N, 3, H, W] in [0, 1], black outside the cell.
    """
    moved = _move(images, uniform[:, 0:8], strength)
    cell = _mask(moved, uniform[:, 8], strength)
    lit = _uneven(_relight(moved, cell, uniform[:, 9:16], strength), uniform[:, _DUST_END:], strength)
    dusty = _dust(lit, uniform[:, _COLUMNS:_DUST_END], strength)
    seen = _blur(dusty, cell, uniform[:, 16], strength) + _noise(dusty, uniform[:, 17:20], strength)
    return seen.clamp(0, 1) * cell


def _chosen(cells: Tensor, images: Tensor) -> Tensor:
    """Numbers of the cells where a mask on the CPU holds: found there, so nobody waits for a GPU."""
    return cells.nonzero()[:, 0].to(images.device)


def _symmetric(u: Tensor, limit: float) -> Tensor:
    return (2 * u - 1) * limit


def _between(u: Tensor, limits: tuple[float, float]) -> Tensor:
    return limits[0] + u * (limits[1] - limits[0])


def _move(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    u = u.to(images.device)
    angle = torch.deg2rad(_symmetric(u[:, 0], strength.rotation))
    zoom = _between(u[:, 1], strength.zoom)
    shear = _symmetric(u[:, 2], strength.shear)
    flip = torch.where(u[:, 3] < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    shift_x, shift_y = (
        _symmetric(u[:, 4], 2 * strength.shift),
        _symmetric(u[:, 5], 2 * strength.shift),
    )
    rows = (flip * cos, flip * (shear * cos - sin), shift_x, sin, shear * sin + cos, shift_y)
    theta = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _mask(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """1 on the cell, 0 outside, for some cells shrunk by one to three pixels: [N, 1, H, W]."""
    background = (images.amax(dim=1, keepdim=True) <= 1 / 255).float()
    mask = 1 - background
    for radius in (1, 2, 3):
        low, high = strength.erosion * (radius - 1) / 3, strength.erosion * radius / 3
        chosen = _chosen((u >= low) & (u < high), images)
        if len(chosen):
            grown = F.max_pool2d(background[chosen], 2 * radius + 1, 1, radius)
            mask[chosen] = 1 - grown
    return mask


def _relight(images: Tensor, cell: Tensor, u: Tensor, strength: Strength) -> Tensor:
    def per_cell(values: Tensor) -> Tensor:
        return values.view(len(images), -1, 1, 1)

    u = u.to(images.device)
    gain = per_cell(_between(u[:, 0], strength.gain))
    cast = 1 + per_cell(_symmetric(u[:, 1:4], strength.cast))
    contrast = per_cell(_left(u[:, 4], strength.contrast, strength.fading, FADED_CONTRAST))
    saturation = per_cell(_left(u[:, 5], strength.saturation, strength.fading, FADED_COLOUR))
    grey = images.mean(dim=1, keepdim=True)
    coloured = grey + (images - grey) * saturation
    area = cell.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (coloured * cell).sum(dim=(2, 3), keepdim=True) / area
    return (mean + (coloured - mean) * contrast).clamp(0, 1) * gain * cast


def _left(u: Tensor, usual: float, fading: float, faded: tuple[float, float]) -> Tensor:
    """What is left of contrast or colour: about all; of the share of cells that has faded, less."""
    others = 1 + _symmetric((u - fading) / (1 - fading), usual)
    return torch.where(u < fading, _between(u / fading, faded), others) if fading else others


def _uneven(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Light that falls off across the cell in some direction."""
    if not strength.uneven:
        return images
    axis = torch.linspace(-0.5, 0.5, images.shape[-1], device=images.device)
    direction, fall = u.to(images.device).view(-1, 2, 1, 1).unbind(1)
    angle = 2 * torch.pi * direction
    along = axis * angle.cos() + axis[:, None] * angle.sin()
    return images * (1 - fall * strength.uneven * (0.5 + along))[:, None]


def _dust(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Specks out of focus on the chosen cells: discs with soft rims, which take part of the light."""
    chosen = _chosen(u[:, 0] < strength.dust, images)
    if not len(chosen):
        return images
    side = images.shape[-1]
    u = u.to(images.device)[chosen]
    y, x, radius, shade = u[:, 2:].view(-1, _SPECKS, 4, 1, 1).unbind(2)
    there = (torch.arange(_SPECKS, device=u.device) <= u[:, 1:2] * _SPECKS)[..., None, None]
    axis = torch.arange(side, device=u.device)
    distance = torch.hypot(axis[:, None] - y * side, axis - x * side)
    inside = torch.sigmoid(_between(radius, SPECK_RADIUS) * side - distance)
    left = 1 - there * inside * (1 - _between(shade, SPECK_SHADE))
    dusty = images.clone()
    dusty[chosen] = images[chosen] * left.prod(dim=1, keepdim=True)
    return dusty


def _blur(images: Tensor, cell: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Defocus: a 5x5 binomial kernel on the chosen cells, over the pixels of the cell alone.

    What lies outside weighs nothing: no lens blurs black into a cell.
    """
    chosen = _chosen(u < strength.blur, images)
    if not len(chosen):
        return images
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    kernel = (row[:, None] * row[None, :]).expand(4, 1, 5, 5)
    inside = cell[chosen]
    spread = F.conv2d(torch.cat([images[chosen] * inside, inside], dim=1), kernel, padding=2, groups=4)
    blurred = images.clone()
    blurred[chosen] = spread[:, :3] / spread[:, 3:].clamp(min=kernel.min())
    return blurred


def _noise(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Sensor noise cut from one fixed sheet at a random place, so that it depends on the cell's row alone."""
    height, width = images.shape[2:]
    sheet = _sheet(height, width, images.device)
    tops, lefts = (u[:, 0] * height).long().tolist(), (u[:, 1] * width).long().tolist()
    cut = [sheet[:, y : y + height, x : x + width] for y, x in zip(tops, lefts, strict=True)]
    return torch.stack(cut) * (u[:, 2] * strength.noise).view(-1, 1, 1, 1).to(images.device)


@cache
def _sheet(height: int, width: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2 * height, 2 * width, generator=generator).to(device)
