"""What a finished run hands over to export: the trained detector, its figures, and the reference's own words.

Everything that needs the run's cells or PyTorch's arithmetic happens here, once; sealing only writes it down.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.manifest import Performance
from edge_runtime.bundle.verification import ReferenceFrame, reference_frame
from training.cells.source import CellSource
from training.reference import Reference, perturbed_outputs, reference_outputs
from training.run import RunInfo, add_metrics, load_split
from training.statistics import to_tensor
from training.testing import CellFigures, measure
from training.trained import TrainedDetector, load_trained

REFERENCE_CELLS = 16


@dataclass(frozen=True)
class Handover:
    """All that a bundle is made of.

    Attributes:
        trained: the detector.
        performance: its figures on test cells.
        crops: uint8 [N, size, size, 3] RGB, the reference cells.
        said: what the reference says of them, with all gradients.
        frame: the reference frame.
        frame_said: what the reference says of its cells.
    """

    trained: TrainedDetector
    performance: Performance
    crops: NDArray[np.uint8]
    said: Reference
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
    tested = measure(trained, cells, split.test)
    add_metrics(run, test=asdict(tested))  # as `test` would: what the bundle states stands in the run, too
    rng, classes = np.random.default_rng(trained.info.config.seed), len(trained.info.classes)
    chosen = [
        rng.permutation(split.test[cells.labels[split.test] == label])[: reference_cells // classes]
        for label in range(classes)
    ]
    crops = np.ascontiguousarray(cells.images[np.concatenate(chosen)])
    return refer(trained, performance_of(trained.info, tested), crops)


def refer(trained: TrainedDetector, performance: Performance, crops: NDArray[np.uint8]) -> Handover:
    """Let the reference speak of reference cells and of the reference frame.

    Args:
        trained: the detector, on the CPU.
        performance: its figures.
        crops: uint8 [N, size, size, 3] RGB.
    """
    frame, epsilon = reference_frame(trained.info.input.size), trained.detector.epsilon
    return Handover(
        trained=trained,
        performance=performance,
        crops=crops,
        said=perturbed_outputs(trained.model, to_tensor(crops), epsilon),
        frame=frame,
        frame_said=reference_outputs(trained.model, to_tensor(frame.crops), epsilon),
    )


def performance_of(info: RunInfo, tested: CellFigures) -> Performance:
    """The figures of the test, and those that `test --corruptions --ood` noted, as the manifest has them."""
    low, high = tested.intervals["specificity"]
    corruptions, ood = info.metrics.get("corruptions", {}), info.metrics.get("ood", {})
    return Performance(
        split=info.config.split,
        patients=len(tested.patients),
        parasitized=tested.parasitized,
        uninfected=tested.uninfected,
        accuracy=tested.accuracy,
        accuracy_interval=tested.intervals["accuracy"],
        sensitivity=tested.sensitivity,
        sensitivity_interval=tested.intervals["sensitivity"],
        false_positive_rate=1 - tested.specificity,
        false_positive_rate_interval=(1 - high, 1 - low),
        rejected=tested.rejected,
        rejected_interval=tested.intervals["rejected"],
        accuracy_of_accepted=tested.accuracy_of_accepted,
        ood_rejected={f"{kind} ({of['images']})": of["rejected"] for kind, of in ood.items()},
        corruptions_accepted={name: of["accepted"] for name, of in corruptions.items()},
        corruptions_accuracy={name: of["accuracy_of_accepted"] for name, of in corruptions.items()},
    )
