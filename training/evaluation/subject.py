"""The run that is evaluated, the cells it is tested on, and what scores are fitted on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.errors import SourceError
from training import distributed
from training.augmentation import STRENGTHS, augment, draw
from training.cells.source import CellSet, CellSource
from training.cells.splits import Split, calibration_halves
from training.evaluation.attacked import KNOWN, attacked_set
from training.evaluation.counting import FEWEST_KNOWN
from training.evaluation.detectors.observed import observe
from training.evaluation.imagesets import ImageSet, image_set
from training.evaluation.scorers import Fitted
from training.networks import channels_last
from training.reference import BLOCK, FeatureModel
from training.run import load_split
from training.statistics import as_images
from training.trained import TrainedDetector, load_trained

_TRAINING_FACTOR = 6  # training cells that rivals are fitted on, per test cell


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a trained detector and the cells of its run."""

    trained: TrainedDetector
    cells: CellSet
    split: Split


def load_subject(folder: Path, source: CellSource) -> Subject:
    """Open a run.

    Raises:
        SourceError: it is not fitted or calibrated, its cells have changed, or none of them are for testing.
    """
    trained = load_trained(folder, distributed.device())
    cells, split = load_split(trained.info, source)
    if not len(split.test):
        raise SourceError(
            f"{folder}: learned from all patients, has no test cells; evaluate a network that measures it: "
            f"--run {folder / 'folds' / '1'}"
        )
    # Attacks then take a sixth less time on a CPU.
    model = FeatureModel(channels_last(trained.network), trained.model.gaussians)
    return Subject(replace(trained, model=model), cells, split)


def drawn_test_cells(subject: Subject, limit: int) -> ImageSet:
    """Test cells in a random order."""
    chosen = np.random.default_rng(subject.trained.info.config.seed).permutation(subject.split.test)[:limit]
    return cells_of(subject, chosen)


def cells_of(subject: Subject, chosen: NDArray[np.int64]) -> ImageSet:
    """The chosen cells of the run, by number, as a set."""
    cells = subject.cells
    patients = np.array([cells.patients[i] for i in chosen])
    images = np.ascontiguousarray(cells.images[chosen])
    return image_set("clean", "cells", images, patients, cells.labels[chosen])


def fitted_on(subject: Subject, limit: int) -> Fitted:
    """Observe what scorers are fitted on."""
    cells, split, seed = subject.cells, subject.split, subject.trained.info.config.seed
    train = np.random.default_rng([seed, 1]).permutation(split.train)[: _TRAINING_FACTOR * limit]
    halves = calibration_halves(split.validation, cells.labels, seed=seed)
    fuse, threshold = (cells.images[half] for half in halves)
    known = attacked_set(subject.trained.network, cells_of(subject, halves[0][:limit]), KNOWN)
    return Fitted(
        train=observe(subject.trained.network, _augmented(subject, train)),
        labels=cells.labels[train],
        fuse=observe(subject.trained.network, fuse),
        limit=observe(subject.trained.network, threshold),
        known=observe(subject.trained.network, known.images) if len(known) >= FEWEST_KNOWN else None,
        alpha=subject.trained.calibration.alpha,
        detector=subject.trained.calibration.detector,
    )


def _augmented(subject: Subject, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Training cells as the Gaussian statistics have seen them."""
    uniform = draw(len(subject.cells), seed=subject.trained.info.config.seed, epoch=90_003)
    strength, made = STRENGTHS[subject.trained.info.config.augmentation], []
    for start in range(0, len(chosen), BLOCK):
        block = chosen[start : start + BLOCK]
        images = augment(as_images(subject.cells, block), uniform[block], strength)
        made.append((images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy())
    return np.concatenate(made)
