"""The run that is evaluated, the cells it is tested on, and what scores are fitted on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training import distributed
from training.augmentation import STRENGTHS, augment, draw
from training.calibration_file import Calibration, load_calibration
from training.cells.source import CellSet, CellSource
from training.cells.splits import Split, calibration_halves
from training.evaluation.attacked import KNOWN, attacked_set
from training.evaluation.counting import FEWEST_KNOWN
from training.evaluation.detectors.observed import observe
from training.evaluation.imagesets import ImageSet, image_set
from training.evaluation.scorers import Fitted
from training.gaussians import LayerGaussian
from training.networks import Network, channels_last
from training.reference import BLOCK
from training.run import RunInfo, load_network, load_run, load_split, load_statistics
from training.statistics import as_images

_TRAINING_FACTOR = 6  # training cells that rivals are fitted on, per test cell


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a fitted and calibrated run."""

    info: RunInfo
    network: Network
    gaussians: dict[str, LayerGaussian]
    calibration: Calibration
    cells: CellSet
    split: Split


def load_subject(folder: Path, source: CellSource) -> Subject:
    """Open a run.

    Raises:
        SourceError: it is not fitted or calibrated, or its cells have changed.
    """
    info = load_run(folder)
    cells, split = load_split(info, source)
    network = load_network(folder, info, distributed.device())
    return Subject(
        info,
        channels_last(network),  # attacks then take a sixth less time on a CPU
        load_statistics(folder),
        load_calibration(folder),
        cells,
        split,
    )


def drawn_test_cells(subject: Subject, limit: int) -> ImageSet:
    """Test cells in a random order."""
    chosen = np.random.default_rng(subject.info.config.seed).permutation(subject.split.test)[:limit]
    return cells_of(subject, chosen)


def cells_of(subject: Subject, chosen: NDArray[np.int64]) -> ImageSet:
    """The chosen cells of the run, by number, as a set."""
    cells = subject.cells
    patients = np.array([cells.patients[i] for i in chosen])
    images = np.ascontiguousarray(cells.images[chosen])
    return image_set("clean", "cells", images, patients, cells.labels[chosen])


def fitted_on(subject: Subject, limit: int) -> Fitted:
    """Observe what scorers are fitted on."""
    cells, split, seed = subject.cells, subject.split, subject.info.config.seed
    train = np.random.default_rng([seed, 1]).permutation(split.train)[: _TRAINING_FACTOR * limit]
    halves = calibration_halves(split.validation, cells.labels, seed=seed)
    fuse, threshold = (cells.images[half] for half in halves)
    known = attacked_set(subject.network, cells_of(subject, halves[0][:limit]), KNOWN)
    return Fitted(
        train=observe(subject.network, _augmented(subject, train)),
        labels=cells.labels[train],
        fuse=observe(subject.network, fuse),
        limit=observe(subject.network, threshold),
        known=observe(subject.network, known.images) if len(known) >= FEWEST_KNOWN else None,
        alpha=subject.calibration.alpha,
        detector=subject.calibration.detector,
    )


def _augmented(subject: Subject, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Training cells as the Gaussian statistics have seen them."""
    uniform = draw(len(subject.cells), seed=subject.info.config.seed, epoch=90_003)
    strength, made = STRENGTHS[subject.info.config.augmentation], []
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        images = augment(as_images(subject.cells, block), uniform[block], strength)
        made.append((images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy())
    return np.concatenate(made)
