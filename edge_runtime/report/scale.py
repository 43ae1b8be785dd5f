"""The picture of the interval: where its parts stand on a logarithmic scale of densities."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edge_runtime.report.estimate import Estimate

WIDTH = 400  # of the picture, in its own units; a phone shows it about so wide
_MARGIN = 30
_LEAST = 10.0  # parasitized cells in a microlitre, at the left end; smaller shares stand there, too


@dataclass(frozen=True)
class Scale:
    """Places from the left, in units of the picture.

    Attributes:
        low: the interval's lower bound.
        high: its upper bound.
        open: whether the lower bound lies beyond the left end.
        point: the best estimate.
        limit: the limit of detection; None where there is none.
        ticks: of the scale: each with its density and its share of the red cells.
        left: the left end.
        right: the right end.
    """

    low: float
    high: float
    open: bool
    point: float
    limit: float | None
    ticks: tuple[tuple[float, float, float], ...]
    left: float = _MARGIN
    right: float = WIDTH - _MARGIN


def scale_of(found: Estimate) -> Scale:
    """Lay an estimate out."""
    most = found.per_microlitre(1.0)

    def place(share: float) -> float:
        density = min(max(found.per_microlitre(share), _LEAST), most)
        along = math.log(density / _LEAST) / math.log(most / _LEAST)
        return round(_MARGIN + along * (WIDTH - 2 * _MARGIN), 1)

    def ticks() -> Iterator[tuple[float, float, float]]:
        density = _LEAST
        while density < most:
            share = density / most
            yield place(share), density, share
            density *= 10

    return Scale(
        low=place(found.interval.low),
        high=place(found.interval.high),
        open=found.per_microlitre(found.interval.low) < _LEAST,
        point=place(found.share if found.corrected is None else found.corrected),
        limit=None if found.detectable is None else place(found.detectable),
        ticks=tuple(ticks()),
    )
