"""The tests of the picture as objectives: is it one whole cell, and vivid?

Their values are the device's own, of the images in 8 bit; their gradients those of torch's versions of the
numbers that an attack on the cell can change. The others are of the mask.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.appearance import FLAT, describe, wholeness
from edge_runtime.decision import Detector, vividness
from training.attacks.problem import Objective
from training.detection.observed import in_eight_bit

_TINY = 1e-12  # under a root, whose gradient at 0 is infinite


def whole(detector: Detector) -> Objective:
    """How far the outline is inside its limits: an image passes where it is greater than 0.

    Its gradient is that of the contrast alone.

    Args:
        detector: the limits of the outline.
    """
    low, high = detector.outline_low[-1], detector.outline_high[-1]

    def excess(images: Tensor) -> Tensor:
        exact = wholeness(describe(_pixels(images)), detector.outline_low, detector.outline_high)
        inside = 1 - (contrast(images) - (low + high) / 2).abs() / ((high - low) / 2)
        return torch.from_numpy(exact).to(images) + inside - inside.detach()

    return excess


def vivid(detector: Detector) -> Objective:
    """How far colour and texture are above the least ones: an image passes where it is greater than 0.

    Args:
        detector: the least colour and texture.
    """
    least = [detector.least_colour, detector.least_texture]

    def excess(images: Tensor) -> Tensor:
        exact = vividness(detector, describe(_pixels(images)))
        above = (colour_and_texture(images) - images.new_tensor(least)).amin(dim=1)
        return torch.from_numpy(exact).to(images) + above - above.detach()

    return excess


def contrast(images: Tensor) -> Tensor:
    """The fifth number of `appearance.describe`, differentiable: [N, 3, H, W] -> [N]."""
    grey = (images * images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1)
    cell, inner = _masks(images)
    mean = (grey * cell).sum(dim=(1, 2)) / cell.sum(dim=(1, 2)).clamp(min=1)
    squares = ((grey - mean[:, None, None]).square() * inner).sum(dim=(1, 2))
    deviation = (squares / inner.sum(dim=(1, 2)).clamp(min=1) + _TINY).sqrt()
    return (deviation / mean.clamp(min=1 / 255) + FLAT).log()


def colour_and_texture(images: Tensor) -> Tensor:
    """The sixth and seventh number of `appearance.describe`, differentiable: [N, 3, H, W] -> [N, 2]."""
    red, green, blue = images.unbind(dim=1)
    total = red + green + blue
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    fine = F.conv2d(F.pad(total[:, None], (1, 1, 1, 1), mode="reflect"), kernel)[:, 0]
    planes = torch.stack([total, red - green, blue - green, fine], dim=1)
    inner = _masks(images)[1][:, None]
    pixels = inner.sum(dim=(2, 3)).clamp(min=1)
    mean = (planes * inner).sum(dim=(2, 3)) / pixels
    variance = ((planes - mean[:, :, None, None]).square() * inner).sum(dim=(2, 3)) / pixels
    light = mean[:, 0].clamp(min=1 / 255)

    def part(squares: Tensor) -> Tensor:
        return ((squares + _TINY).sqrt() / light + FLAT).log()

    colour = part(mean[:, 1:3].square().sum(dim=1)) + part(variance[:, 1:3].sum(dim=1))
    return torch.stack([colour, part(variance[:, 0]) + part(variance[:, 3])], dim=1)


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    return in_eight_bit(images.detach().permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _masks(images: Tensor) -> tuple[Tensor, Tensor]:
    """1 on the cell, and 1 inside its rim: [N, H, W] each."""
    black = (images.detach().amax(dim=1) < 0.5 / 255).float()
    # As cv2.erode with a black surrounding.
    inner = 1 - F.max_pool2d(F.pad(black[:, None], (2, 2, 2, 2), value=1.0), 5, 1)[:, 0]
    return 1 - black, inner
