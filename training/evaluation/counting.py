"""From scored sets to rows, shares and what else the tables and plots show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.calibration import conformal_threshold
from training.detection.fusion import fit_against
from training.evaluation.attacked import Curve
from training.evaluation.changed import ChangeRow, change_row
from training.evaluation.kept import Kept
from training.evaluation.rows import Row, measure
from training.evaluation.scorers import Family, Fitted, Scorer

SHIPPED = "shipped [0]"
FEWEST_KNOWN = 10  # anomalies that a fusion is fitted against: five folds need some in each
FEWEST = 2  # images that a row can be counted from


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        subject: the network and its split, in words.
        clean: the in-distribution test cells, scored.
        sets: every other set, scored.
        rows: one per scorer and set.
        changes: the shipped detector under every change of a microscope.
        harmless_accepted: per scorer, mean share of cells accepted under harmless changes.
        curve: the adaptive attack; None where attacks were left out.
        scorers: names in the order of the tables.
    """

    subject: str
    clean: Kept
    sets: tuple[Kept, ...]
    rows: tuple[Row, ...]
    changes: tuple[ChangeRow, ...]
    harmless_accepted: dict[str, float]
    curve: Curve | None
    thresholds: dict[str, float]

    @property
    def clean_accuracy(self) -> float:
        """Share of the in-distribution test cells with the right class."""
        return float(self.clean.right.mean())


def count(
    subject: str,
    clean: Kept,
    sets: Sequence[Kept],
    columns: Sequence[Scorer],
    layered: Sequence[Family],
    on: Fitted,
    curve: Curve | None,
) -> Evaluation:
    """Count what is kept into rows; the arguments are what `evaluate` has made."""
    rows: list[Row] = []
    for kept in sets:
        if kept.set.group != "changes" and len(kept.set) >= FEWEST:
            rows += [_row(clean, kept, column) for column in columns]
            rows += _known_rows(clean, kept, layered, on)
    accuracy = float(clean.right.mean())
    thresholds = {column.title: column.threshold for column in columns}
    changed = [kept for kept in sets if kept.set.group == "changes"]
    changes = [change_row(k.set.name, k.right, k.accepted(thresholds, SHIPPED), accuracy) for k in changed]
    harmless = [k for k, row in zip(changed, changes, strict=True) if row.verdict == "harmless"]
    accepted = {
        title: float(np.mean([k.accepted(thresholds, title).mean() for k in harmless]))
        for title in (harmless[0].scores if harmless else ())
    }
    return Evaluation(
        subject=f"{subject}, {len(clean.set)} test cells of {len(set(clean.set.patients))} patients",
        clean=clean,
        sets=tuple(sets),
        rows=tuple(rows),
        changes=tuple(changes),
        harmless_accepted=accepted,
        curve=curve,
        thresholds=thresholds,
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


def _known_rows(clean: Kept, kept: Kept, layered: Sequence[Family], on: Fitted) -> list[Row]:
    """Mode K, the paper's way: fitted on every other image of the set, tested on the rest."""
    rows = []
    half = len(kept.set) // 2
    if half < FEWEST_KNOWN:
        return []
    by_name = {family.name: family for family in layered}
    for name, layers in kept.layers.items():
        fused = fit_against(by_name[name].layers(on.fuse), [layers[0 : 2 * half : 2]])
        rows.append(
            measure(
                (fused(clean.layers[name]), fused(layers[1::2])),
                (clean.set.patients, kept.set.patients[1::2]),
                conformal_threshold(fused(by_name[name].layers(on.limit)), on.alpha),
                images=kept.set.name,
                group=kept.set.group,
                detector=name,
                mode="K",
            )
        )
    return rows
