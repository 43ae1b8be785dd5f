"""From scored sets to rows, shares and what else the tables and plots show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.conformal import conformal_limit
from training.evaluation.attacked import Curve
from training.evaluation.detectors.fusion import fit_against
from training.evaluation.detectors.observed import Array
from training.evaluation.kept import Kept
from training.evaluation.rows import PAPER_PROTOCOL, UNSUPERVISED, Row, heading, measure
from training.evaluation.scorers import FUSED, OWN, Family, Fitted, Scorer, answer_values

SHIPPED = heading("shipped", UNSUPERVISED)
BOTH = f"{OWN} and answer"  # all that the network says to the shipped detector, fused on a known anomaly
FEWEST_KNOWN = 10  # anomalies that a fusion is fitted against: five folds need some in each
FEWEST = 2  # images that a row can be counted from
HARMLESS, HARMFUL = 0.01, 0.05  # accuracy that a corruption costs: at most, and more than


@dataclass(frozen=True)
class CorruptionRow:
    """One corruption at one severity.

    Attributes:
        corruption: its name.
        severity: 1 to 5.
        cells: number of test cells.
        accuracy: share with the right class, rejected or not.
        cost: accuracy of the same cells as they were, less that.
        accepted: share accepted.
        accuracy_of_accepted: share of these with the right class; nan if there are none.
    """

    corruption: str
    severity: int
    cells: int
    accuracy: float
    cost: float
    accepted: float
    accuracy_of_accepted: float

    @property
    def verdict(self) -> str:
        """One of "harmless", "harmful" and, between them, ""."""
        return "harmless" if self.cost <= HARMLESS else "harmful" if self.cost > HARMFUL else ""


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        subject: the network and its split, in words.
        classes: names of the classes.
        clean: the in-distribution test cells, scored.
        sets: every other set, scored.
        rows: one per scorer and set.
        corruptions: the shipped detector under every corruption.
        harmless_accepted: per scorer, mean share of cells accepted under harmless corruptions.
        curve: the adaptive attack; None where attacks were left out.
        thresholds: per scorer, in the order of the tables: accepted at this score or above.
    """

    subject: str
    classes: tuple[str, ...]
    clean: Kept
    sets: tuple[Kept, ...]
    rows: tuple[Row, ...]
    corruptions: tuple[CorruptionRow, ...]
    harmless_accepted: dict[str, float]
    curve: Curve | None
    thresholds: dict[str, float]

    @property
    def clean_accuracy(self) -> float:
        """Share of the in-distribution test cells with the right class."""
        return float(self.clean.right.mean())


def count(
    subject: str,
    classes: tuple[str, ...],
    clean: Kept,
    sets: Sequence[Kept],
    columns: Sequence[Scorer],
    layered: Sequence[Family],
    on: Fitted,
    curve: Curve | None,
) -> Evaluation:
    """Count what is kept into rows; the arguments are what `evaluate` has made."""
    rows: list[Row] = []
    validation = {f.name: (f.layers(on.fuse), f.layers(on.limit)) for f in layered if f.name in FUSED}
    fuse, limit = validation[OWN]
    validation[BOTH] = (
        _with_answers(fuse, answer_values(on.fuse, on.detector)),
        _with_answers(limit, answer_values(on.limit, on.detector)),
    )
    for kept in sets:
        if kept.set.group != "corruptions" and len(kept.set) >= FEWEST:
            rows += [_row(clean, kept, column) for column in columns]
            rows += _known_rows(clean, kept, validation, on.alpha)
    accuracy = float(clean.right.mean())
    thresholds = {column.title: column.threshold for column in columns}
    corrupted = [kept for kept in sets if kept.set.group == "corruptions"]
    corruptions = [
        corruption_row(k.set.name, k.right, k.accepted(thresholds, SHIPPED), accuracy) for k in corrupted
    ]
    harmless = [k for k, row in zip(corrupted, corruptions, strict=True) if row.verdict == "harmless"]
    accepted = {
        title: float(np.mean([k.accepted(thresholds, title).mean() for k in harmless]))
        for title in (harmless[0].scores if harmless else ())
    }
    return Evaluation(
        subject=f"{subject}, {len(clean.set)} test cells of {len(set(clean.set.patients))} patients",
        classes=classes,
        clean=clean,
        sets=tuple(sets),
        rows=tuple(rows),
        corruptions=tuple(corruptions),
        harmless_accepted=accepted,
        curve=curve,
        thresholds=thresholds,
    )


def corruption_row(
    name: str, right: NDArray[np.bool_], accepted: NDArray[np.bool_], clean_accuracy: float
) -> CorruptionRow:
    """Count one set of corrupted cells, named "corruption severity"."""
    corruption, _, severity = name.rpartition(" ")
    return CorruptionRow(
        corruption=corruption,
        severity=int(severity),
        cells=len(right),
        accuracy=float(right.mean()),
        cost=clean_accuracy - float(right.mean()),
        accepted=float(accepted.mean()),
        accuracy_of_accepted=float(right[accepted].mean()) if accepted.any() else float("nan"),
    )


def _row(clean: Kept, kept: Kept, column: Scorer) -> Row:
    return measure(
        (clean.scores[column.title], kept.scores[column.title]),
        (clean.set.patients, kept.set.patients),
        column.threshold,
        images=kept.set.name,
        group=kept.set.group,
        detector=column.name,
        mode=column.mode,
    )


def _known_rows(
    clean: Kept, kept: Kept, validation: Mapping[str, tuple[Array, Array]], alpha: float
) -> list[Row]:
    """The paper's protocol: fitted on every other image of the set, tested on the rest."""
    rows = []
    half = len(kept.set) // 2
    if half < FEWEST_KNOWN:
        return []
    for name, (fuse, limit) in validation.items():
        layers = _layers(kept, name)
        fused = fit_against(fuse, [layers[0 : 2 * half : 2]])
        rows.append(
            measure(
                (fused(_layers(clean, name)), fused(layers[1::2])),
                (clean.set.patients, kept.set.patients[1::2]),
                conformal_limit(fused(limit), alpha),
                images=kept.set.name,
                group=kept.set.group,
                detector=name,
                mode=PAPER_PROTOCOL,
            )
        )
    return rows


def _layers(kept: Kept, name: str) -> Array:
    """What a fusion sees of a set: [N, L], or [N, L + A] with what A tests of the answer look at."""
    return _with_answers(kept.layers[OWN], kept.answers) if name == BOTH else kept.layers[name]


def _with_answers(layers: Array, answers: Mapping[str, Array]) -> Array:
    return np.column_stack([layers, *answers.values()])
