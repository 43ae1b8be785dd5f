"""Which detector is best where no anomaly is known: means over the sets that a clinic meets."""

from dataclasses import dataclass

import numpy as np

from training.evaluation.counting import Evaluation
from training.evaluation.imagesets import Group
from training.evaluation.rows import Row

GROUPS: tuple[Group, ...] = ("ood", "segmentation", "attacks")
ATTACKS = tuple(f"BIM {levels}/255, cell only, 8 bit" for levels in (2, 4, 8))


@dataclass(frozen=True)
class Standing:
    """One detector over all sets of a kind; shares are 0 to 1, nan where there is no such set.

    Attributes:
        title: of the detector.
        aurocs: per group of GROUPS, mean over its sets; of the attacks those on the cell only, in 8 bit.
        mean: over the groups.
        interval: the same mean of the lower and of the upper bounds of each row's 95 % interval.
        refused: of the attacks, share rejected at the threshold.
        clean: share of clean test cells rejected.
        harmless: share of cells accepted under corruptions that cost no accuracy.
    """

    title: str
    aurocs: tuple[float, ...]
    mean: float
    interval: tuple[float, float]
    refused: float
    clean: float
    harmless: float


def standings(made: Evaluation) -> list[Standing]:
    """Every detector that has seen no anomaly or another one, the best mean first."""
    found = []
    for title in made.thresholds:
        rows = [row for row in made.rows if row.title == title]
        groups = [_of_group(rows, group) for group in GROUPS]
        if not any(groups):
            continue
        low, high = (
            _mean([_mean([row.auroc_interval[bound] for row in group]) for group in groups if group])
            for bound in (0, 1)
        )
        aurocs = tuple(_mean([row.separation.auroc for row in group]) for group in groups)
        found.append(
            Standing(
                title=title,
                aurocs=aurocs,
                mean=_mean([value for value in aurocs if not np.isnan(value)]),
                interval=(low, high),
                refused=_mean([row.refused for row in groups[-1]]),
                clean=1 - float(made.clean.accepted(made.thresholds, title).mean()),
                harmless=made.harmless_accepted.get(title, float("nan")),
            )
        )
    return sorted(found, key=lambda one: -one.mean)


def _of_group(rows: list[Row], group: Group) -> list[Row]:
    return [row for row in rows if row.group == group and (group != "attacks" or row.images in ATTACKS)]


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
