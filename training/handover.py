"""What a finished run hands over to export: the trained detector, its figures, and the reference's own words.

Everything that needs the run's cells or PyTorch's arithmetic happens here, once; sealing only writes it down.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.bundle.performance import Performance
from edge_runtime.bundle.verification import ReferenceFrame, reference_frame
from edge_runtime.bundle.why import in_turn
from training.cells.source import CellSource
from training.reference import Reference, asked_gradient, perturbed_outputs, reference_outputs
from training.run import RunInfo, load_run, load_split
from training.statistics import to_tensor
from training.testing import CellFigures, measure_run
from training.trained import TrainedDetector, load_trained

REFERENCE_CELLS = 16


@dataclass(frozen=True)
class Handover:
    """All that a bundle is made of.

    Attributes:
        trained: the detector.
        performance: its figures on test cells.
        crops: uint8 [N, size, size, 3] RGB, the reference cells.
        said: what the reference says of them, with all gradients of eq. 3.
        asked: float32 [N, 3, size, size], the gradient of what `why.in_turn` asks of them.
        frame: the reference frame.
        frame_said: what the reference says of its cells.
    """

    trained: TrainedDetector
    performance: Performance
    crops: NDArray[np.uint8]
    said: Reference
    asked: NDArray[np.float32]
    frame: ReferenceFrame
    frame_said: Reference


def hand_over(run: Path, source: CellSource, *, reference_cells: int = REFERENCE_CELLS) -> Handover:
    """Measure a finished run on its test cells, and let the reference speak.

    Args:
        run: a run folder that was fitted and calibrated; figures that `test` noted there go along.
        source: where the run's cells are now, if they were moved.
        reference_cells: how many test cells the bundle carries, as many of one class as of the other.

    Raises:
        SourceError: a step is missing, or the cells have changed.
    """
    trained = load_trained(run)
    cells, split = load_split(trained.info, source)
    tested = measure_run(run, source)
    performance = performance_of(load_run(run), tested)
    among = split.test if len(split.test) else split.validation
    rng, classes = np.random.default_rng(trained.info.config.seed), len(trained.info.classes)
    chosen = [
        rng.permutation(among[cells.labels[among] == label])[: reference_cells // classes]
        for label in range(classes)
    ]
    crops = np.ascontiguousarray(cells.images[np.concatenate(chosen)])
    return refer(trained, performance, crops)


def refer(trained: TrainedDetector, performance: Performance, crops: NDArray[np.uint8]) -> Handover:
    """Let the reference speak of reference cells and of the reference frame.

    Args:
        trained: the detector, on the CPU.
        performance: its figures.
        crops: uint8 [N, size, size, 3] RGB.
    """
    frame, epsilon = reference_frame(trained.info.input.size), trained.detector.epsilon
    images = to_tensor(crops)
    asked = in_turn(len(crops), len(trained.info.classes), trained.detector)
    return Handover(
        trained=trained,
        performance=performance,
        crops=crops,
        said=perturbed_outputs(trained.model, images, epsilon),
        asked=asked_gradient(trained.model, images, torch.from_numpy(asked)).numpy(),
        frame=frame,
        frame_said=reference_outputs(trained.model, to_tensor(frame.crops), epsilon),
    )


def performance_of(info: RunInfo, tested: CellFigures) -> Performance:
    """The figures of the test, and those that `test --corruptions --ood` noted, as the manifest has them."""
    of, agreed = tested.archive, tested.agreed
    low, high = of.intervals["specificity"]
    corruptions, ood = info.metrics.get("corruptions", {}), info.metrics.get("ood", {})
    return Performance(
        split=info.config.split,
        folds=info.metrics.get("folds", 1),
        patients=len(tested.patients),
        parasitized=of.parasitized,
        uninfected=of.uninfected,
        accuracy=of.accuracy,
        accuracy_interval=of.intervals["accuracy"],
        sensitivity=of.sensitivity,
        sensitivity_interval=of.intervals["sensitivity"],
        false_positive_rate=1 - of.specificity,
        false_positive_rate_interval=(1 - high, 1 - low),
        rejected=of.rejected,
        rejected_interval=of.intervals["rejected"],
        accuracy_of_accepted=of.accuracy_of_accepted,
        agreed=agreed.parasitized + agreed.uninfected,
        agreed_accuracy=agreed.accuracy,
        agreed_accuracy_of_accepted=agreed.accuracy_of_accepted,
        called_of_parasitized=tested.called_of_parasitized,
        called_of_healthy=tested.called_of_healthy,
        counts=tuple(patient.counts for patient in tested.patients),
        ood_rejected={f"{kind} ({of['images']})": of["rejected"] for kind, of in ood.items()},
        corruptions_accepted={name: of["accepted"] for name, of in corruptions.items()},
        corruptions_accuracy={name: of["accuracy_of_accepted"] for name, of in corruptions.items()},
    )
