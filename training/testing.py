"""Figures of a finished run on its test cells, which nothing else has touched."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import Decisions
from training.calibration import load_calibration
from training.reference import reference_decisions
from training.run import add_metrics, load_network, load_run, load_split, load_statistics


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
        patients: the same per patient.
    """

    accuracy: float
    sensitivity: float
    specificity: float
    parasitized: int
    uninfected: int
    rejected: float
    accuracy_of_accepted: float
    patients: tuple[PatientFigures, ...]


def measure_run(folder: Path, *, source: str | None = None, cache: Path | None = None) -> CellFigures:
    """Test a fitted and calibrated run with the PyTorch reference, and note the figures in run.json.

    Raises:
        SourceError: the run is not fitted or calibrated, or its cells have changed.
    """
    info = load_run(folder)
    cells, split = load_split(info, source=source, cache=cache)
    detector = load_calibration(folder).detector
    decisions = reference_decisions(
        load_network(folder, info), load_statistics(folder), detector, cells.images[split.test]
    )
    result = summarise(decisions, cells.labels[split.test], [cells.patients[i] for i in split.test])
    add_metrics(folder, test=asdict(result))
    return result


def summarise(decisions: Decisions, labels: NDArray[np.int64], patients: list[str]) -> CellFigures:
    """Count decisions about N cells with known labels (1 is parasitized)."""
    right = decisions.label == labels
    accepted = ~decisions.rejected
    infected = labels == 1
    return CellFigures(
        accuracy=_share(right),
        sensitivity=_share(right[infected]),
        specificity=_share(right[~infected]),
        parasitized=int(infected.sum()),
        uninfected=int((~infected).sum()),
        rejected=_share(decisions.rejected),
        accuracy_of_accepted=_share(right[accepted]),
        patients=tuple(
            PatientFigures(
                patient=patient,
                cells=int(of.sum()),
                parasitized=int(infected[of].sum()),
                accuracy=_share(right[of]),
                rejected=_share(decisions.rejected[of]),
            )
            for patient in sorted(set(patients))
            for of in [np.array(patients) == patient]
        ),
    )


def _share(of: NDArray[np.bool_]) -> float:
    return float(of.mean()) if of.size else float("nan")
