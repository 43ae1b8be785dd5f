"""Figures of a finished run on its test cells, which nothing else has touched.

They are given by three kinds of labels, for labels of cells are doubtful: those of the archive; those on
which all readings agree; and those of healthy patients, whose cells are certain to hold no parasite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.performance import PatientCounts, Rate
from edge_runtime.bundle.strict import MisfitError, read_strictly
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.table import SUSPECT
from edge_runtime.errors import SourceError
from training import distributed
from training.cells.source import CellSet, CellSource
from training.cells.splits import NONE
from training.intervals import beta_binomial_correlation, over_patients
from training.run import add_metrics, load_run, load_split
from training.trained import TrainedDetector, load_trained

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What was answered of N cells.

    Attributes:
        label: int64 [N], the class.
        infected: bool [N], whether that class counts as parasitized.
        rejected: bool [N], whether the answer must not be relied on.
        suspect: bool [N], whether it is rejected for being perhaps a parasite, and for nothing graver.
    """

    label: NDArray[np.int64]
    infected: Bools
    rejected: Bools
    suspect: Bools

    @classmethod
    def of(cls, decisions: Decisions, infected: Bools) -> "Answers":
        """What was decided; infected [K] says which classes count as parasitized."""
        reasons = np.array([decisions.reason(index) for index in range(len(decisions))])
        return cls(decisions.label, infected[decisions.label], decisions.rejected, reasons == SUSPECT.code)

    @classmethod
    def joined(cls, parts: Sequence["Answers"]) -> "Answers":
        """Those of several sets of cells, one after the other."""
        return cls(*(np.concatenate(column) for column in zip(*map(astuple, parts), strict=True)))


@dataclass(frozen=True)
class LabelFigures:
    """Cells by one kind of labels. Classes are judged on every cell, unless the name says "of accepted".

    Attributes:
        parasitized: number of parasitized cells.
        uninfected: number of cells without a parasite.
        accuracy: share with the right class.
        sensitivity: share of parasitized cells called parasitized.
        specificity: share of cells without a parasite called so.
        rejected: share of cells rejected, for whatever reason.
        suspect: share of cells rejected for being perhaps a parasite, and for nothing graver.
        accuracy_of_accepted: share of the accepted cells with the right class.
        sensitivity_of_accepted: share of the accepted parasitized cells called parasitized.
        specificity_of_accepted: share of the accepted cells without a parasite called so.
        intervals: 95 % intervals of the shares above, by name, drawing patients (see `intervals`).
    """

    parasitized: int
    uninfected: int
    accuracy: float
    sensitivity: float
    specificity: float
    rejected: float
    suspect: float
    accuracy_of_accepted: float
    sensitivity_of_accepted: float
    specificity_of_accepted: float
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class PatientFigures:
    """One patient's test cells.

    Attributes:
        patient: name, or prefix of the cells' names.
        cells: number of test cells.
        accuracy: share with the right class by the archive's labels, rejected or not.
        rejected: share rejected.
        counts: by agreed labels.
    """

    patient: str
    cells: int
    accuracy: float
    rejected: float
    counts: PatientCounts


@dataclass(frozen=True)
class CellFigures:
    """All test cells.

    Attributes:
        archive: by the labels that the cells came with.
        agreed: of the cells on which all readings agree.
        healthy: of the cells of healthy patients.
        called_of_parasitized: accepted parasitized cells, by agreed labels, that are called so.
        called_of_healthy: accepted cells of healthy patients that are called parasitized.
        patients: the same per patient.
    """

    archive: LabelFigures
    agreed: LabelFigures
    healthy: LabelFigures
    called_of_parasitized: Rate
    called_of_healthy: Rate
    patients: tuple[PatientFigures, ...]


def measure_run(folder: Path, source: CellSource) -> CellFigures:
    """Test a fitted and calibrated run with the PyTorch reference, and note the figures in run.json.

    A run without test cells has the figures that cross-fitting noted in it.

    Raises:
        SourceError: the run is not fitted or calibrated, its cells have changed, or no figures are noted.
    """
    trained = load_trained(folder, distributed.device())
    cells, split = load_split(trained.info, source)
    if not len(split.test):
        return noted(folder)
    result = measure(trained, cells, split.test)
    add_metrics(folder, test=asdict(result))
    return result


def noted(folder: Path) -> CellFigures:
    """The figures that testing or cross-fitting noted in a run.

    Raises:
        SourceError: there are none, or another version noted them.
    """
    info = load_run(folder)
    command = f"python -m training {'crossfit' if info.config.test == NONE else 'test'} --run {folder}"
    if "test" not in info.metrics:
        raise SourceError(f"{folder}: has no figures yet; run '{command}'")
    try:
        return read_strictly(CellFigures, info.metrics["test"], f"{folder}, test")
    except MisfitError as error:
        raise SourceError(f"{error}; noted by another version of cellgate; run '{command}'") from error


def measure(trained: TrainedDetector, cells: CellSet, chosen: NDArray[np.int64]) -> CellFigures:
    """Test a detector on the chosen cells."""
    return summarise(answers(trained, cells, chosen), cells, chosen)


def answers(trained: TrainedDetector, cells: CellSet, chosen: NDArray[np.int64]) -> Answers:
    """What a detector answers of the chosen cells."""
    return Answers.of(trained.decide(cells.images[chosen]), cells.counted)


def summarise(given: Answers, cells: CellSet, chosen: NDArray[np.int64]) -> CellFigures:
    """Count the answers about the chosen cells, in their order."""
    labels, infected = cells.labels[chosen], cells.infected[chosen]
    patients, healthy = np.array(cells.patients)[chosen], cells.healthy[chosen]
    agreed = cells.agreed[chosen] | healthy
    right, accepted = given.label == labels, ~given.rejected

    def figures(among: Bools) -> LabelFigures:
        shares = {  # by name: what is counted, and among which cells
            "accuracy": (right, among),
            "sensitivity": (given.infected, among & infected),
            "specificity": (~given.infected, among & ~infected),
            "rejected": (given.rejected, among),
            "suspect": (given.suspect, among),
            "accuracy_of_accepted": (right, among & accepted),
            "sensitivity_of_accepted": (given.infected, among & accepted & infected),
            "specificity_of_accepted": (~given.infected, among & accepted & ~infected),
        }
        return LabelFigures(
            **{name: _share(hits[of]) for name, (hits, of) in shares.items()},
            parasitized=int((among & infected).sum()),
            uninfected=int((among & ~infected).sum()),
            intervals={name: over_patients(hits[of], patients[of]) for name, (hits, of) in shares.items()},
        )

    def rate(among: Bools) -> Rate:
        hits, of = given.infected[among], patients[among]
        low, high = over_patients(hits, of) if among.any() else (0.0, 1.0)
        return Rate(int(hits.sum()), int(among.sum()), (low, high), beta_binomial_correlation(hits, of))

    def patient(name: str) -> PatientFigures:
        own = patients == name
        return PatientFigures(
            patient=name,
            cells=int(own.sum()),
            accuracy=_share(right[own]),
            rejected=_share(given.rejected[own]),
            counts=patient_counts(given, infected, own & agreed, healthy=bool(healthy[own].any())),
        )

    return CellFigures(
        archive=figures(np.ones(len(chosen), bool)),
        agreed=figures(agreed),
        healthy=figures(healthy),
        called_of_parasitized=rate(agreed & accepted & infected),
        called_of_healthy=rate(healthy & accepted),
        patients=tuple(map(patient, sorted(set(patients.tolist())))),
    )


def patient_counts(given: Answers, infected: Bools, among: Bools, *, healthy: bool) -> PatientCounts:
    """Count the answers to one patient's cells.

    Args:
        given: to N cells.
        infected: bool [N], by their labels.
        among: bool [N], which of them are the patient's, and have a label to be trusted.
        healthy: whether the patient has no parasite.
    """
    accepted = ~given.rejected
    numbers = {}
    for name, of in (("parasitized", among & infected), ("uninfected", among & ~infected)):
        numbers[name] = int(of.sum())
        numbers[f"{name}_accepted"] = int((of & accepted).sum())
        numbers[f"{name}_suspect"] = int((of & given.suspect).sum())
        numbers[f"{name}_called"] = int((of & accepted & given.infected).sum())
    return PatientCounts(healthy=healthy, **numbers)


def _share(of: Bools) -> float:
    return float(of.mean()) if of.size else float("nan")
