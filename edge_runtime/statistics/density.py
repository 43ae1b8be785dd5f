"""From a share of red cells to parasitized cells in a microlitre of blood, with what was assumed said."""

from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import SourceError

ASSUMED = 5e6  # red cells in a microlitre where nobody has measured them (WHO)
PER_HAEMATOCRIT = 125_600.0  # red cells in a microlitre for each per cent of haematocrit


@dataclass(frozen=True)
class RedCells:
    """How many red cells a microlitre of the patient's blood holds.

    Attributes:
        per_microlitre: their number.
        origin: whether it was measured, follows from the haematocrit, or is assumed.
    """

    per_microlitre: float
    origin: Literal["measured", "haematocrit", "assumed"]

    def __str__(self) -> str:
        """What a density rests on."""
        how = {"assumed": "assumed", "measured": "measured", "haematocrit": "by the haematocrit"}[self.origin]
        return f"with {self.per_microlitre:,.0f} red cells in it ({how})"

    def density(self, share: float) -> float:
        """Parasitized cells in a microlitre, where `share` of the red cells are (0 to 1)."""
        return share * self.per_microlitre


def red_cells(measured: float | None = None, haematocrit: float | None = None) -> RedCells:
    """The best that is known: a measured count, or the haematocrit, or what is assumed of everyone.

    Args:
        measured: red cells in a microlitre, 0.5 to 10 million.
        haematocrit: in per cent, 5 to 75.

    Raises:
        SourceError: a number that no patient has; most likely one in another unit.
    """
    if measured is not None:
        if not 5e5 <= measured <= 1e7:
            raise SourceError(
                f"{measured:g} red cells in a microlitre; give 500000 to 10000000, in cells per microlitre"
            )
        return RedCells(measured, "measured")
    if haematocrit is not None:
        if not 5 <= haematocrit <= 75:
            raise SourceError(f"a haematocrit of {haematocrit:g}; give it in per cent, 5 to 75")
        return RedCells(haematocrit * PER_HAEMATOCRIT, "haematocrit")
    return RedCells(ASSUMED, "assumed")
