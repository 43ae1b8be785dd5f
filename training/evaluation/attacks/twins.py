"""The differentiable twin of every test of the decision: what an attack on the whole decision must raise.

Values of the tests of the picture are the device's own, of the images in 8 bit; their gradients those of
torch's versions of the numbers that an attack on the cell can change. The others are of the mask.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.decision import table
from edge_runtime.decision.appearance import (
    APPEARANCE,
    FADED,
    FLAT,
    IMMERKAER,
    LEAST_LEFT,
    NOISE_HALF,
    OUTLINE,
    SPREAD,
    describe,
    windows,
)
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.values import within
from edge_runtime.errors import SourceError
from training.evaluation.attacks.objectives import (
    Asked,
    certain,
    check_network,
    lead,
    sure,
    undetected,
)
from training.evaluation.attacks.problem import Objective, once
from training.evaluation.detectors.observed import in_eight_bit
from training.reference import FeatureModel, smooth

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
    pixels = _pixels(images)
    black = (images.detach().amax(dim=1) < 0.5 / 255).float()
    # As cv2.erode with a black surrounding.
    inner = 1 - F.max_pool2d(F.pad(black[:, None], (2, 2, 2, 2), value=1.0), 5, 1)[:, 0]
    return Look(describe(pixels), 1 - black, inner)


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    return in_eight_bit(images.detach().permute(0, 2, 3, 1).contiguous().cpu().numpy())


@dataclass(frozen=True)
class Attackable:
    """What the twins are made of.

    Attributes:
        model: its network is asked about the same images by every twin.
        detector: its limits.
    """

    model: FeatureModel
    detector: Detector


def twins(of: Attackable, network: Asked | None = None) -> list[Objective]:
    """One objective per test of the table, in its order: an image passes the test where it is above 0.

    A test of the picture without a twin has its exact value and no gradient: an attack can meet it by luck.

    Args:
        of: what decides.
        network: asked in place of the network, such as `Shared`.

    Raises:
        SourceError: a test of the network has no twin.
    """
    asked, seen = network or of.model.network, once(look)
    fine = once(lambda images: colour_and_texture(images, seen(images)))
    made: dict[str, Objective] = {
        "wholeness": whole(of.detector, seen),
        "colour": vivid(of.detector, "colour", seen, fine),
        "texture": vivid(of.detector, "texture", seen, fine),
        "confidence": undetected(asked, of.model.gaussians, of.detector),
        "stability": stable(asked, of.detector, again=of.model.network),
        "margin": sure(asked, of.detector),
        table.CERTAINTY: certain(asked, of.detector),
    }
    return [made[test.name] if test.name in made else _exactly(test, of.detector) for test in table.TESTS]


def _exactly(test: table.CellTest, detector: Detector) -> Objective:
    if test.seen_by != "picture":
        raise SourceError(f"the test '{test.name}' has no differentiable twin; write one in twins.py")

    def excess(images: Tensor) -> Tensor:
        values = test.value(Evidence.of_pictures(_pixels(images)), detector)
        beyond = np.asarray(test.sign * (values - detector.limits[test.name]))
        return torch.from_numpy(beyond).to(images)

    return excess


def whole(detector: Detector, seen: Callable[[Tensor], Look] = look) -> Objective:
    """Wholeness less its limit: an image passes the test where it is greater than 0.

    Its gradient is that of the contrast alone.

    Args:
        detector: the ranges of the outline, and the limit.
        seen: how images are measured; one `once(look)` for all objectives under one `all_of`.
    """
    low, high = np.array(detector.outline_low), np.array(detector.outline_high)
    middle, half = float(low[-1] + high[-1]) / 2, float(high[-1] - low[-1]) / 2

    def excess(images: Tensor) -> Tensor:
        found = seen(images)
        exact = within(found.numbers, low, high) - detector.limits["wholeness"]
        inside = 1 - (contrast(images, found) - middle).abs() / half
        return torch.from_numpy(exact).to(images) + inside - inside.detach()

    return excess


def vivid(
    detector: Detector,
    name: Literal["colour", "texture"],
    seen: Callable[[Tensor], Look] = look,
    fine: Callable[[Tensor], Tensor] | None = None,
) -> Objective:
    """Colour or texture less its limit: an image passes the test where it is greater than 0.

    Args:
        detector: the limits.
        name: of the test.
        seen: as in `whole`.
        fine: `colour_and_texture` of what is seen; one `once` of it for both tests.
    """
    limit, place = detector.limits[name], APPEARANCE.index(name)

    def excess(images: Tensor) -> Tensor:
        found = seen(images)
        both = fine(images) if fine else colour_and_texture(images, found)
        value = both[:, place - len(OUTLINE)]
        return torch.from_numpy(found.numbers[:, place] - limit).to(images) + value - value.detach()

    return excess


def stable(network: Asked, detector: Detector, again: Asked | None = None) -> Objective:
    """The stability less its limit: an image passes the test where it is greater than 0.

    Args:
        network: in evaluation mode.
        detector: the limits.
        again: what is asked about the smoothed images, if not `network`: `Shared` remembers one batch.
    """
    check_network(network)

    def excess(images: Tensor) -> Tensor:
        logits, _ = network(images)
        smoothed, _ = (again or network)(smooth(images))
        label = logits.argmax(dim=1)
        return lead(smoothed, label) - lead(logits, label) - detector.limits["stability"]

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
    planes = torch.stack([red + green + blue, red - green, blue - green], dim=1)
    inner = found.inner[:, None]
    fine, coarse = windows(images.shape[-1])
    smooth, wide = (_smoothed(planes, inner, side) for side in (fine, coarse))
    level, noise = _mean(planes, inner), _noise(planes, inner)
    light = level[:, 0].clamp(min=1 / 255)
    variance = _mean((smooth - _mean(smooth, inner)[:, :, None, None]).square(), inner)
    pattern = _smaller_half((smooth - wide)[:, 0].abs(), found.inner).square()
    speckle = noise[:, 1:].square().sum(dim=1) / fine**2
    grain = (NOISE_HALF * noise[:, 0]).square() * (1 / fine**2 - 1 / coarse**2)

    def root(squares: Tensor, noise: Tensor | float = 0.0) -> Tensor:
        return (torch.maximum(squares - noise, LEAST_LEFT * squares) + _TINY).sqrt()

    colour = root(level[:, 1:].square().sum(dim=1)) + SPREAD * root(variance[:, 1:].sum(dim=1), speckle)
    both = torch.stack([colour, root(pattern, grain)], dim=1)
    return (both / light[:, None] + FADED).log()


def _mean(planes: Tensor, inner: Tensor) -> Tensor:
    """Means inside the rim: [N, C, H, W] -> [N, C]."""
    return (planes * inner).sum(dim=(2, 3)) / inner.sum(dim=(2, 3)).clamp(min=1)


def _smoothed(planes: Tensor, inner: Tensor, side: int) -> Tensor:
    """`appearance.smoothed`: [N, C, H, W]."""
    sums, counts = (
        F.avg_pool2d(of, side, stride=1, padding=side // 2) * side**2 for of in (planes * inner, inner)
    )
    return sums / counts.clamp(min=1)


def _noise(planes: Tensor, inner: Tensor) -> Tensor:
    """Standard deviation of the noise of each plane: [N, C]."""
    kernel = torch.from_numpy(IMMERKAER).to(planes).expand(planes.shape[1], 1, 3, 3)
    response = F.conv2d(F.pad(planes, (1, 1, 1, 1), mode="reflect"), kernel, groups=planes.shape[1])
    return math.sqrt(math.pi / 2) / 6 * _mean(response.abs(), inner)


def _smaller_half(values: Tensor, inner: Tensor) -> Tensor:
    """Mean of the smaller half of the values inside the rim, 0 where there are none: [N, H, W] -> [N]."""
    inside = [value[where > 0].sort().values for value, where in zip(values, inner, strict=True)]
    return torch.stack([one[: (len(one) + 1) // 2].sum() / max((len(one) + 1) // 2, 1) for one in inside])
