"""Running a trained network over cells: its outputs, and the Gaussian statistics of its features."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.cells.preprocessing import to_input
from training import distributed
from training.augmentation import STRENGTHS, augment, draw
from training.cells.source import CellSet
from training.gaussians import Moments, fit_gaussian, relative_activations, save_gaussians
from training.networks import Network
from training.reference import BLOCK
from training.run import GAUSSIANS, RunInfo, add_metrics

# Statistics are estimated on augmented cells, so that a change of light or stain stays in-distribution.
# These epochs of random numbers were never used in training.
_STATISTICS_EPOCHS = (90_001, 90_002)


def as_images(cells: CellSet, chosen: NDArray[np.int64]) -> Tensor:
    """Cells as network input: float32 [N, 3, size, size] in [0, 1]."""
    return to_tensor(cells.images[chosen])


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """What `preprocessing.to_input` gives, as a tensor: uint8 [N, H, W, 3] to float32 [N, 3, H, W]."""
    return torch.from_numpy(to_input(images))


@torch.inference_mode()
def predict(
    network: Network, cells: CellSet, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Logits [N, K] and the features [N, C_l] of every layer, for the chosen cells as they are."""
    device = next(network.parameters()).device
    logits, features = [], []
    for block in _blocks(chosen):
        out, layers = network(as_images(cells, block).to(device))
        logits.append(out.cpu().numpy())
        features.append([layer.cpu().numpy() for layer in layers])
    stacked = [np.concatenate(layer) for layer in zip(*features, strict=True)]
    return np.concatenate(logits), stacked


@torch.inference_mode()
def fit_statistics(
    folder: Path, info: RunInfo, network: Network, cells: CellSet, chosen: NDArray[np.int64]
) -> None:
    """Estimate the Gaussians of relative activations on augmented training cells, and write gaussians.npz.

    Several processes share the blocks of cells; the result does not depend on how many they are.
    """
    network.eval()
    moments = _moments(network, info, cells, chosen)
    gathered = [
        Moments(*(distributed.summed(torch.from_numpy(a)).numpy() for a in m.arrays())) for m in moments
    ]
    if distributed.rank() == 0:
        fitted = [
            (name, fit_gaussian(m, name, relative=True))
            for name, m in zip(info.layers, gathered, strict=True)
        ]
        save_gaussians(folder / GAUSSIANS, fitted)
        add_metrics(
            folder,
            shrinkage={name: round(g.shrinkage, 6) for name, g in fitted},
            condition={name: round(g.condition, 1) for name, g in fitted},
        )


def _moments(network: Network, info: RunInfo, cells: CellSet, chosen: NDArray[np.int64]) -> list[Moments]:
    device, strength = next(network.parameters()).device, STRENGTHS[info.config.augmentation]
    total: list[Moments] = []
    for epoch in _STATISTICS_EPOCHS:
        uniform = draw(len(cells), seed=info.config.seed, epoch=epoch)
        blocks = list(_blocks(chosen))[distributed.rank() :: distributed.world_size()]
        hidden = distributed.rank() != 0
        with click.progressbar(blocks, label="statistics", hidden=hidden, file=sys.stderr) as bar:
            for block in bar:
                images = augment(as_images(cells, block).to(device), uniform[block], strength)
                _, features = network(images)
                labels = cells.labels[block]
                relative = [relative_activations(f.cpu().numpy()) for f in features]
                new = [Moments.of(f, labels, len(info.classes)) for f in relative]
                total = [a + b for a, b in zip(total, new, strict=True)] if total else new
    return total


def _blocks(chosen: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(chosen), BLOCK):
        yield chosen[start : start + BLOCK]
