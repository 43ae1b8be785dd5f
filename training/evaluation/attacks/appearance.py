"""The tests of the picture as objectives: is it one whole cell, and vivid?

Their values are the device's own, of the images in 8 bit; their gradients those of torch's versions of the
numbers that an attack on the cell can change. The others are of the mask.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.decision.appearance import FLAT, describe, wholeness
from edge_runtime.decision.decide import Detector, vividness
from training.evaluation.attacks.problem import Objective
from training.evaluation.detectors.observed import in_eight_bit

_TINY = 1e-12  # under a root, whose gradient at 0 is infinite


@dataclass(frozen=True)
class Look:
    """Images as the tests of the picture see them.

    Attributes:
        numbers: `appearance.describe` of the images in 8 bit: [N, 7].
        cell: 1 on the cell: [N, H, W].
        inner: 1 inside its rim: [N, H, W].
    """

    numbers: NDArray[np.float64]
    cell: Tensor
    inner: Tensor


def look(images: Tensor) -> Look:
    """Measure images [N, 3, H, W] in [0, 1], without a gradient."""
    pixels = in_eight_bit(images.detach().permute(0, 2, 3, 1).contiguous().cpu().numpy())
    black = (images.detach().amax(dim=1) < 0.5 / 255).float()
    # As cv2.erode with a black surrounding.
    inner = 1 - F.max_pool2d(F.pad(black[:, None], (2, 2, 2, 2), value=1.0), 5, 1)[:, 0]
    return Look(describe(pixels), 1 - black, inner)


def whole(detector: Detector, seen: Callable[[Tensor], Look] = look) -> Objective:
    """How far the outline is inside its limits: an image passes where it is greater than 0.

    Its gradient is that of the contrast alone.

    Args:
        detector: the limits of the outline.
        seen: how images are measured; one `once(look)` for all objectives under one `all_of`.
    """
    low, high = detector.outline_low[-1], detector.outline_high[-1]

    def excess(images: Tensor) -> Tensor:
        found = seen(images)
        exact = wholeness(found.numbers, detector.outline_low, detector.outline_high)
        inside = 1 - (contrast(images, found) - (low + high) / 2).abs() / ((high - low) / 2)
        return torch.from_numpy(exact).to(images) + inside - inside.detach()

    return excess


def vivid(detector: Detector, seen: Callable[[Tensor], Look] = look) -> Objective:
    """How far colour and texture are above the least ones: an image passes where it is greater than 0.

    Args:
        detector: the least colour and texture.
        seen: as in `whole`.
    """
    least = [detector.least_colour, detector.least_texture]

    def excess(images: Tensor) -> Tensor:
        found = seen(images)
        exact = vividness(detector, found.numbers)
        above = (colour_and_texture(images, found) - images.new_tensor(least)).amin(dim=1)
        return torch.from_numpy(exact).to(images) + above - above.detach()

    return excess


def contrast(images: Tensor, found: Look) -> Tensor:
    """The fifth number of `appearance.describe`, differentiable: [N, 3, H, W] -> [N]."""
    grey = (images * images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1)
    cell, inner = found.cell, found.inner
    mean = (grey * cell).sum(dim=(1, 2)) / cell.sum(dim=(1, 2)).clamp(min=1)
    squares = ((grey - mean[:, None, None]).square() * inner).sum(dim=(1, 2))
    deviation = (squares / inner.sum(dim=(1, 2)).clamp(min=1) + _TINY).sqrt()
    return (deviation / mean.clamp(min=1 / 255) + FLAT).log()


def colour_and_texture(images: Tensor, found: Look) -> Tensor:
    """The sixth and seventh number of `appearance.describe`, differentiable: [N, 3, H, W] -> [N, 2]."""
    red, green, blue = images.unbind(dim=1)
    total = red + green + blue
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    fine = F.conv2d(F.pad(total[:, None], (1, 1, 1, 1), mode="reflect"), kernel)[:, 0]
    planes = torch.stack([total, red - green, blue - green, fine], dim=1)
    inner = found.inner[:, None]
    pixels = inner.sum(dim=(2, 3)).clamp(min=1)
    mean = (planes * inner).sum(dim=(2, 3)) / pixels
    variance = ((planes - mean[:, :, None, None]).square() * inner).sum(dim=(2, 3)) / pixels
    light = mean[:, 0].clamp(min=1 / 255)

    def part(squares: Tensor) -> Tensor:
        return ((squares + _TINY).sqrt() / light + FLAT).log()

    colour = part(mean[:, 1:3].square().sum(dim=1)) + part(variance[:, 1:3].sum(dim=1))
    return torch.stack([colour, part(variance[:, 0]) + part(variance[:, 3])], dim=1)
