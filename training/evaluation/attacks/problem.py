"""What every attack shares: the objective, the images it may reach, and what it hands back.

An objective maps images [N, 3, H, W] in [0, 1] to [N], every image for itself, and an attack has succeeded
where it is greater than 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from edge_runtime.errors import SourceError

T = TypeVar("T")

Objective = Callable[[Tensor], Tensor]

# Steps of an 8-bit image; a limit that is a whole number of them must not lose one to float32.
_LEVELS = 255
_SLACK = 1e-3


@dataclass(frozen=True)
class Attacked:
    """The result of an attack on N images.

    Attributes:
        images: [N, 3, H, W] in [0, 1], of the type and on the device of the images attacked.
        succeeded: bool [N], objective > 0 on exactly these images.
        linf: [N], largest change of a value.
        l2: [N], Euclidean length of the change.
    """

    images: Tensor
    succeeded: Tensor
    linf: Tensor
    l2: Tensor


def foreground(images: Tensor) -> Tensor:
    """Where a crop shows the cell, that is, where it is not exactly black: bool [N, 1, H, W]."""
    return images.amax(dim=1, keepdim=True) > 0


class Problem:
    """An objective with the images it starts from and the set of images an attack may answer with."""

    def __init__(
        self,
        objective: Objective,
        images: Tensor,
        *,
        mask: Tensor | None = None,
        eight_bit: bool = False,
        epsilon: float = 1.0,
    ) -> None:
        """Check what is given.

        Args:
            objective: see the top of this file.
            images: float [N, 3, H, W] in [0, 1]; whole multiples of 1/255 if eight_bit.
            mask: [N, 1, H, W] of 0 and 1; only where it is 1 may an image change. All of it if None.
            eight_bit: only whole multiples of 1/255 count.
            epsilon: largest change of a value, 0 to 1.

        Raises:
            SourceError: anything else.
        """
        _check_images(images, eight_bit=eight_bit)
        check("epsilon", epsilon, 0 <= epsilon <= 1, "a number from 0 to 1, as the images")
        self._objective = objective
        self.images = images.detach()
        self.mask = _as_mask(mask, images)
        self._eight_bit = eight_bit
        self._lower = (self.images - epsilon).clamp(min=0)
        self._upper = (self.images + epsilon).clamp(max=1)
        self._epsilon = epsilon
        self._most = math.floor(epsilon * _LEVELS + _SLACK)  # in steps of 8 bits

    @property
    def fixed(self) -> bool:
        """Whether no value may change: epsilon is 0, or less than one step of 8 bits."""
        return self._most == 0 if self._eight_bit else self._epsilon == 0

    def within(self, images: Tensor) -> Tensor:
        """The nearest images within [0, 1], epsilon and the mask."""
        nearest = torch.minimum(torch.maximum(images.detach(), self._lower), self._upper)
        return torch.where(self.mask, nearest, self.images)

    def admissible(self, images: Tensor) -> Tensor:
        """Images that an attack may answer with: as `within`, on the 8-bit grid if asked for."""
        nearest = self.within(images)
        return self._on_grid(nearest) if self._eight_bit else nearest

    def uphill(self, images: Tensor, gradient: Tensor) -> Tensor:
        """The gradient without what points out of [0, 1], where the image is black or white already."""
        stuck = ((images <= self._lower) & (gradient < 0)) | ((images >= self._upper) & (gradient > 0))
        return torch.where(stuck, torch.zeros_like(gradient), gradient)

    def value(self, images: Tensor) -> Tensor:
        """The objective [N], without a gradient."""
        with torch.no_grad():
            return self._checked(self._objective(images.detach()))

    def linearise(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The objective [N] and its gradient [N, 3, H, W], which is 0 outside the mask.

        Only the gradient for the images is asked for, so a network's parameters collect none.
        """
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            value = self._checked(self._objective(leaf))
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        # A gradient that is no number would make the image none.
        return value.detach(), gradient.nan_to_num(0, 0, 0) * self.mask

    def answer(self, images: Tensor, value: Tensor, unchanged: Tensor) -> Attacked:
        """Hand back admissible images: with their objective, or the original where it succeeds."""
        final = choose(unchanged, self.images, images)
        change = (final - self.images).flatten(1)
        return Attacked(final, unchanged | (value > 0), change.abs().amax(dim=1), change.norm(dim=1))

    def _on_grid(self, images: Tensor) -> Tensor:
        levels, start = images * _LEVELS, (self.images * _LEVELS).round()
        level = levels.round().clamp(0, _LEVELS)
        level = torch.minimum(torch.maximum(level, start - self._most), start + self._most)
        # By a tensor: CUDA turns a division by a number into a multiplication, which rounds otherwise.
        exact = level / torch.full_like(level, _LEVELS)
        return torch.where(level == start, self.images, exact)

    def _checked(self, value: Tensor) -> Tensor:
        if value.shape != self.images.shape[:1]:
            found, wanted = list(value.shape), len(self.images)
            raise SourceError(f"the objective gave {found}, expected one number for each of {wanted} images")
        return value


def once(answer: Callable[[Tensor], T]) -> Callable[[Tensor], T]:
    """Keep the last answer: for objectives that ask about the same images, one after the other."""
    last: tuple[Tensor, T] | None = None

    def remembered(images: Tensor) -> T:
        nonlocal last
        if last is None or last[0] is not images:
            last = images, answer(images)
        return last[1]

    return remembered


def choose(where: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Whole images of `yes` where [N] is true, of `no` elsewhere."""
    return torch.where(where.view(-1, 1, 1, 1), yes, no)


def check(name: str, found: float, holds: bool, expected: str) -> None:
    """Raise a SourceError unless the setting is as expected."""
    if not holds:
        raise SourceError(f"{name} is {found}; give {expected}")


def _check_images(images: Tensor, *, eight_bit: bool) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise SourceError(f"images are {images.dtype} {list(images.shape)}; give float [N, 3, H, W]")
    if len(images) == 0:
        raise SourceError("there are no images; give at least one")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise SourceError("images have values outside [0, 1]; give RGB in [0, 1]")
    levels = images * _LEVELS
    if eight_bit and bool(((levels - levels.round()).abs() > _SLACK).any()):
        raise SourceError("images are no multiples of 1/255; round them first, or attack without eight_bit")


def _as_mask(mask: Tensor | None, images: Tensor) -> Tensor:
    shape = (len(images), 1, *images.shape[2:])
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=images.device)
    if mask.shape != shape:
        raise SourceError(f"the mask is {list(mask.shape)}; give {list(shape)} for these images")
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise SourceError("the mask has values other than 0 and 1; give 1 where an image may change")
    return mask.to(device=images.device, dtype=torch.bool)
