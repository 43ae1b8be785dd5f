"""What the scores are made of: images, and what a trained network puts out for them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.decision.evidence import Evidence
from training.networks import Network
from training.reference import BLOCK, answers
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
        answers: what the classifier answers, by the names of the graph's outputs, float32 [N, K] each (see
            `reference.answers`).
        features: per layer float32 [N, C_l].
    """

    images: Images
    answers: Mapping[str, NDArray[np.float32]]
    features: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def logits(self) -> NDArray[np.float32]:
        """The answer to the images as they are: float32 [N, K]."""
        return self.answers["logits"]

    def evidence(self, confidences: Array) -> Evidence:
        """What speaks for and against the images, with confidences [N, L] of some detector."""
        return Evidence.of({**self.answers, "confidences": confidences}, self.pixels)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The images in 8 bit: uint8 [N, S, S, 3] RGB."""
        return in_eight_bit(self.images)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Observed":
        """The chosen images, by number, mask or slice, with their outputs."""
        features = tuple(layer[chosen] for layer in self.features)
        answers = {name: answer[chosen] for name, answer in self.answers.items()}
        return Observed(self.images[chosen], answers, features)


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
    said, features = [], []
    starts = range(0, len(images), BLOCK)
    with click.progressbar(starts, label=progress, hidden=progress is None, file=sys.stderr) as bar:
        for start in bar:
            block = as_input(images[start : start + BLOCK]).to(parameter)
            answered, layers = answers(network, block)
            said.append({name: answer.float().cpu().numpy() for name, answer in answered.items()})
            features.append([layer.float().cpu().numpy() for layer in layers])
    stacked = tuple(np.concatenate(layer) for layer in zip(*features, strict=True))
    joined = {name: np.concatenate([block[name] for block in said]) for name in said[0]}
    return Observed(images, joined, stacked)


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
