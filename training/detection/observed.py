"""What the scores are made of: images, and what a trained network puts out for them."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import click
import numpy as np
import torch
from numpy.typing import NDArray

from training.networks import VGG, ResNet
from training.reference import BLOCK
from training.statistics import to_tensor

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Observed:
    """N images and the outputs of a network with L layers and K classes.

    Attributes:
        images: uint8 [N, S, S, 3] RGB, the network's input before its division by 255.
        logits: float32 [N, K].
        features: per layer float32 [N, C_l].
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    features: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Observed":
        """The chosen images, by number, mask or slice, with their outputs."""
        features = tuple(layer[chosen] for layer in self.features)
        return Observed(self.images[chosen], self.logits[chosen], features)


# Of one number per image [N] (`softmax`, `baselines`), or one per layer [N, L] (`mahalanobis`, `subspace`,
# `neighbours`, `lid`); float64, high = in-distribution. `Fit` is what makes one of training cells and labels.
Score = Callable[[Observed], Array]
Fit = Callable[[Observed, Labels], Score]


@torch.inference_mode()
def observe(network: ResNet | VGG, images: NDArray[np.uint8], *, progress: str | None = None) -> Observed:
    """Run a network over images, in the blocks that the reference uses.

    Args:
        network: in evaluation mode, on any device; its parameters' type decides the arithmetic.
        images: uint8 [N, S, S, 3] RGB, N at least 1.
        progress: what to call the work on a progress bar; None for no bar.
    """
    parameter = next(network.parameters())
    logits, features = [], []
    starts = range(0, len(images), BLOCK)
    with click.progressbar(starts, label=progress, hidden=progress is None, file=sys.stderr) as bar:
        for start in bar:
            out, layers = network(to_tensor(images[start : start + BLOCK]).to(parameter))
            logits.append(out.float().cpu().numpy())
            features.append([layer.float().cpu().numpy() for layer in layers])
    stacked = tuple(np.concatenate(layer) for layer in zip(*features, strict=True))
    return Observed(images, np.concatenate(logits), stacked)


def by_layer(scores: list[Array]) -> Array:
    """Scores [N] of every layer side by side: [N, L]."""
    return np.stack(scores, axis=1).astype(np.float64)
