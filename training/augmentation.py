"""Augmentation on tensors: the paper's rotation, shear, translation and zoom, and the microscope's light.

All random numbers of an epoch are drawn at once, one row per cell, so that what happens to a cell depends
on (seed, epoch, cell) alone: not on the batch it falls in, nor on the number of processes.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


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
        contrast: range of contrast around the cell's mean.
        saturation: range of saturation.
        faded: share of cells whose contrast is lost, down to a quarter, and, drawn apart, whose colour is,
            down to none: stray light, an old stain.
        dust: share of cells with grey specks on them. A network that has learnt to do without colour takes
            dust for parasites otherwise.
        blur: share of cells that are defocused slightly.
        noise: largest standard deviation of the sensor's noise, in [0, 1] units.
        erosion: share of cells whose mask is shrunk by one to three pixels, as another segmentation might.
    """

    rotation: float = 180.0
    shear: float = 0.15
    shift: float = 0.06
    zoom: tuple[float, float] = (0.85, 1.1)
    gain: tuple[float, float] = (0.6, 1.25)
    cast: float = 0.15
    contrast: tuple[float, float] = (0.8, 1.2)
    saturation: tuple[float, float] = (0.7, 1.3)
    faded: float = 0.1
    dust: float = 0.1
    blur: float = 0.2
    noise: float = 0.02
    erosion: float = 0.3


_LEAST_CONTRAST, _LEAST_SATURATION = 0.25, 0.0  # of a faded cell
_SPECKS, _SHEET = 200, 6  # specks of dust on a sheet of so many times the side of a cell

# One column of uniform random numbers per decision below.
_COLUMNS = 23


def draw(cells: int, *, seed: int, epoch: int) -> Tensor:
    """Draw the random numbers of one epoch: float32 [cells, columns] in [0, 1)."""
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    return torch.rand(cells, _COLUMNS, generator=generator)


def augment(images: Tensor, uniform: Tensor, strength: Strength) -> Tensor:
    """Change a batch as another slide, stain, light and segmentation might have.

    Args:
        images: float32 [N, 3, H, W] in [0, 1], black outside the cell.
        uniform: float32 [N, columns], the rows of `draw` for these cells.
        strength: how far each change goes.

    Returns:
        float32 [N, 3, H, W] in [0, 1], black outside the cell.
    """
    u = uniform.to(images.device)
    moved = _move(images, u[:, 0:8], strength)
    cell = _mask(moved, u[:, 8], strength)
    lit = _relight(moved, cell, u[:, 9:16], strength)
    dusty = _dust(lit, u[:, 20:23], strength)
    seen = _blur(dusty, u[:, 16], strength) + _noise(lit, u[:, 17:20], strength)
    return seen.clamp(0, 1) * cell


def _symmetric(u: Tensor, limit: float) -> Tensor:
    return (2 * u - 1) * limit


def _between(u: Tensor, limits: tuple[float, float]) -> Tensor:
    return limits[0] + u * (limits[1] - limits[0])


def _fading(u: Tensor, limits: tuple[float, float], share: float, least: float) -> Tensor:
    """Uniform within the limits, but for a share of the cells, which are uniform from there to the least."""
    if share == 0:
        return _between(u, limits)
    usual = _between((u - share) / (1 - share), limits)
    return torch.where(u < share, least + u / share * (limits[0] - least), usual)


def _move(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
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
        chosen = (u >= strength.erosion * (radius - 1) / 3) & (u < strength.erosion * radius / 3)
        if chosen.any():
            grown = F.max_pool2d(background[chosen], 2 * radius + 1, 1, radius)
            mask[chosen] = 1 - grown
    return mask


def _relight(images: Tensor, cell: Tensor, u: Tensor, strength: Strength) -> Tensor:
    def per_cell(values: Tensor) -> Tensor:
        return values.view(len(images), -1, 1, 1)

    gain = per_cell(_between(u[:, 0], strength.gain))
    cast = 1 + per_cell(_symmetric(u[:, 1:4], strength.cast))
    contrast = per_cell(_fading(u[:, 4], strength.contrast, strength.faded, _LEAST_CONTRAST))
    saturation = per_cell(_fading(u[:, 5], strength.saturation, strength.faded, _LEAST_SATURATION))
    grey = images.mean(dim=1, keepdim=True)
    coloured = grey + (images - grey) * saturation
    area = cell.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    mean = (coloured * cell).sum(dim=(2, 3), keepdim=True) / area
    return (mean + (coloured - mean) * contrast).clamp(0, 1) * gain * cast


def _dust(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Specks on the chosen cells, cut from one fixed sheet at a random place."""
    chosen = (u[:, 0] < strength.dust).nonzero()[:, 0]
    if not len(chosen):
        return images
    height, width = images.shape[2:]
    sheet = _sheet_of_dust(height, width).to(images.device)
    made = images.clone()
    for cell in chosen.tolist():
        y, x = (int(u[cell, 1] * (_SHEET - 1) * height), int(u[cell, 2] * (_SHEET - 1) * width))
        made[cell] *= sheet[y : y + height, x : x + width]
    return made


@cache
def _sheet_of_dust(height: int, width: int) -> Tensor:
    """What share of the light passes: float32, 1 where there is no speck."""
    generator = torch.Generator().manual_seed(1)
    y, x = torch.meshgrid(torch.arange(_SHEET * height), torch.arange(_SHEET * width), indexing="ij")
    light = torch.ones(_SHEET * height, _SHEET * width)
    for top, left, size, dark in torch.rand(_SPECKS, 4, generator=generator).tolist():
        radius = width * (0.016 + 0.05 * size)
        distance = torch.hypot(y - top * _SHEET * height, x - left * _SHEET * width)
        # Out of focus: the edge is as wide as a fiftieth of the cell.
        light *= 1 - (0.35 + 0.35 * dark) * ((radius - distance) / (width / 50) + 0.5).clamp(0, 1)
    return light


def _blur(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Defocus: a 5x5 binomial kernel on the chosen cells."""
    chosen = u < strength.blur
    if not chosen.any():
        return images
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    kernel = (row[:, None] * row[None, :]).expand(3, 1, 5, 5)
    blurred = images.clone()
    blurred[chosen] = F.conv2d(images[chosen], kernel, padding=2, groups=3)
    return blurred


def _noise(images: Tensor, u: Tensor, strength: Strength) -> Tensor:
    """Sensor noise cut from one fixed sheet at a random place, so that it depends on the cell's row alone."""
    height, width = images.shape[2:]
    sheet = torch.randn(3, 2 * height, 2 * width, generator=torch.Generator().manual_seed(0))
    tops, lefts = (u[:, 0] * height).long().tolist(), (u[:, 1] * width).long().tolist()
    cut = [sheet[:, y : y + height, x : x + width] for y, x in zip(tops, lefts, strict=True)]
    return torch.stack(cut).to(images.device) * (u[:, 2] * strength.noise).view(-1, 1, 1, 1)
