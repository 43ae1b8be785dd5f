"""Figures of a finished run on its test cells, which nothing else has touched."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.decide import Decisions
from training import distributed
from training.cells.source import CellSet, CellSource
from training.intervals import over_patients
from training.run import add_metrics, load_split
from training.trained import TrainedDetector, load_trained


@dataclass(frozen=True)
class PatientFigures:
    """One patient's test cells.

    Attributes:
        patient: prefix.
        cells: number of test cells.
        parasitized: how many of them are.
        accuracy: share with the right class, rejected or not.
        rejected: share rejected.
    """

    patient: str
    cells: int
    parasitized: int
    accuracy: float
    rejected: float


@dataclass(frozen=True)
class CellFigures:
    """All test cells. Classes are judged on every cell, rejected or not, unless the name says accepted.

    Attributes:
        accuracy: share with the right class.
        sensitivity: share of parasitized cells called parasitized.
        specificity: share of uninfected cells called uninfected.
        parasitized: number of parasitized cells.
        uninfected: number of uninfected cells.
        rejected: share of cells rejected.
        accuracy_of_accepted: share of the accepted cells with the right class.
        intervals: 95 % intervals of the shares above, by name, drawing patients (see `intervals`).
        patients: the same per patient.
    """

    accuracy: float
    sensitivity: float
    specificity: float
    parasitized: int
    uninfected: int
    rejected: float
    accuracy_of_accepted: float
    intervals: Mapping[str, tuple[float, float]]
    patients: tuple[PatientFigures, ...]


def measure_run(folder: Path, source: CellSource) -> CellFigures:
    """Test a fitted and calibrated run with the PyTorch reference, and note the figures in run.json.

    Raises:
        SourceError: the run is not fitted or calibrated, or its cells have changed.
    """
    trained = load_trained(folder, distributed.device())
    cells, split = load_split(trained.info, source)
    result = measure(trained, cells, split.test)
    add_metrics(folder, test=asdict(result))
    return result


def measure(trained: TrainedDetector, cells: CellSet, chosen: NDArray[np.int64]) -> CellFigures:
    """Test a detector on the chosen cells."""
    decisions = trained.decide(cells.images[chosen])
    return summarise(decisions, cells.labels[chosen], [cells.patients[i] for i in chosen])


def summarise(decisions: Decisions, labels: NDArray[np.int64], patients: list[str]) -> CellFigures:
    """Count decisions about N cells with known labels (1 is parasitized)."""
    right = decisions.label == labels
    accepted = ~decisions.rejected
    infected = labels == 1
    whole = np.ones(len(labels), bool)
    shares = {  # by name: what is counted, and among which cells
        "accuracy": (right, whole),
        "sensitivity": (right, infected),
        "specificity": (right, ~infected),
        "rejected": (decisions.rejected, whole),
        "accuracy_of_accepted": (right, accepted),
    }
    of_cell = np.array(patients)
    return CellFigures(
        **{name: _share(hits[among]) for name, (hits, among) in shares.items()},
        parasitized=int(infected.sum()),
        uninfected=int((~infected).sum()),
        intervals={
            name: over_patients(hits[among], of_cell[among]) for name, (hits, among) in shares.items()
        },
        patients=tuple(
            PatientFigures(
                patient=patient,
                cells=int(of.sum()),
                parasitized=int(infected[of].sum()),
                accuracy=_share(right[of]),
                rejected=_share(decisions.rejected[of]),
            )
            for patient in sorted(set(patients))
            for of in [of_cell == patient]
        ),
    )


def _share(of: NDArray[np.bool_]) -> float:
    return float(of.mean()) if of.size else float("nan")
