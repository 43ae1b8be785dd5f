"""What the shipped detector does with cells that a microscope changed: harmless, harmful, or between."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HARMLESS, HARMFUL = 0.01, 0.05  # accuracy that a change costs: at most, and more than


@dataclass(frozen=True)
class ChangeRow:
    """One change at one severity.

    Attributes:
        change: its name.
        severity: 1 to 5.
        cells: number of test cells.
        accuracy: share with the right class, rejected or not.
        cost: accuracy of the same cells unchanged, less that.
        accepted: share accepted.
        accuracy_of_accepted: share of these with the right class; nan if there are none.
    """

    change: str
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


def change_row(
    name: str, right: NDArray[np.bool_], accepted: NDArray[np.bool_], clean_accuracy: float
) -> ChangeRow:
    """Count one set of changed cells, named "change severity"."""
    change, _, severity = name.rpartition(" ")
    return ChangeRow(
        change=change,
        severity=int(severity),
        cells=len(right),
        accuracy=float(right.mean()),
        cost=clean_accuracy - float(right.mean()),
        accepted=float(accepted.mean()),
        accuracy_of_accepted=float(right[accepted].mean()) if accepted.any() else float("nan"),
    )
