"""What the scores are made of: images, and what a trained network puts out for them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.networks import Network
from training.reference import BLOCK, smooth
from training.statistics import to_tensor

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


Images = NDArray[np.uint8] | NDArray[np.float32]


@dataclass(frozen=True)
class Observed:
    """N images and the outputs of a network with L layers and K classes.

    Attributes:
        images: uint8 [N, S, S, 3] RGB, the network's input before its division by 255; or float32 in [0, 1],
            what an attack that no camera could show has made.
        logits: float32 [N, K].
        smoothed: float32 [N, K], of the smoothed images (`reference.smooth`).
        features: per layer float32 [N, C_l].
    """

    images: Images
    logits: NDArray[np.float32]
    smoothed: NDArray[np.float32]
    features: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The images in 8 bit: uint8 [N, S, S, 3] RGB."""
        return in_eight_bit(self.images)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Observed":
        """The chosen images, by number, mask or slice, with their outputs."""
        features = tuple(layer[chosen] for layer in self.features)
        return Observed(self.images[chosen], self.logits[chosen], self.smoothed[chosen], features)


# Of one number per image [N] (`softmax`, `baselines`), or one per layer [N, L] (`mahalanobis`, `subspace`,
# `neighbours`, `lid`); float64, high = in-distribution. `Fit` is what makes one of training cells and labels.
Score = Callable[[Observed], Array]
Fit = Callable[[Observed, Labels], Score]


@torch.inference_mode()
def observe(network: Network, images: Images, *, progress: str | None = None) -> Observed:
    """Run a network over images, in the blocks that the reference uses.

    Args:
        network: in evaluation mode, on any device; its parameters' type decides the arithmetic.
        images: [N, S, S, 3] RGB, as Observed has them, N at least 1.
        progress: what to call the work on a progress bar; None for no bar.
    """
    parameter = next(network.parameters())
    logits, smoothed, features = [], [], []
    starts = range(0, len(images), BLOCK)
    with click.progressbar(starts, label=progress, hidden=progress is None, file=sys.stderr) as bar:
        for start in bar:
            block = as_input(images[start : start + BLOCK]).to(parameter)
            (out, layers), (soft, _) = network(block), network(smooth(block))
            logits.append(out.float().cpu().numpy())
            smoothed.append(soft.float().cpu().numpy())
            features.append([layer.float().cpu().numpy() for layer in layers])
    stacked = tuple(np.concatenate(layer) for layer in zip(*features, strict=True))
    return Observed(images, np.concatenate(logits), np.concatenate(smoothed), stacked)


def in_eight_bit(images: Images) -> NDArray[np.uint8]:
    """Images as Observed has them, rounded to what a camera gives: uint8 [N, S, S, 3] RGB."""
    if images.dtype == np.uint8:
        return np.asarray(images, np.uint8)
    return np.asarray(np.rint(images * np.float32(255)), np.uint8)


def as_input(images: Images) -> Tensor:
    """Images as Observed has them, as network input: float32 [N, 3, S, S] in [0, 1]."""
    if images.dtype == np.uint8:
        return to_tensor(np.asarray(images, np.uint8))
    return torch.from_numpy(np.ascontiguousarray(np.asarray(images, np.float32).transpose(0, 3, 1, 2)))


def by_layer(scores: list[Array]) -> Array:
    """Scores [N] of every layer side by side: [N, L]."""
    return np.stack(scores, axis=1).astype(np.float64)
