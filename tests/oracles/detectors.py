"""For tests about something else: a detector that accepts everything, and evidence without a fault."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.appearance import APPEARANCE, OUTLINE
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence

# Beyond every value that a test here may have.
FAR_OFF = 1e6


def any_limits() -> dict[str, float]:
    """Limits of all tests of the table that no number fails."""
    return {test.name: -test.sign * FAR_OFF for test in table.TESTS}


def lenient(
    layers: Sequence[str] = ("stem",),
    weights: Sequence[float] = (1.0,),
    bias: float = 0.0,
    *,
    epsilon: float = 0.0,
    outline: tuple[float, float] = (-1.0, 1.0),
    **limits: float,
) -> Detector:
    """A detector that accepts whatever has numbers, but for the limits that are given, by the test's name.

    Args:
        layers: names.
        weights: one per layer.
        bias: added to the weighted sum.
        epsilon: magnitude of the perturbation.
        outline: the range of every number of the outline.
        limits: of tests that the caller is about.
    """
    accepting = any_limits()
    assert set(limits) <= set(accepting), f"no such test: {sorted(set(limits) - set(accepting))}"
    low, high = ((end,) * len(OUTLINE) for end in outline)
    return Detector(tuple(layers), epsilon, tuple(weights), bias, low, high, accepting | limits)


def evidence(
    logits: NDArray[np.floating],
    confidences: NDArray[np.floating],
    *,
    smoothed: NDArray[np.floating] | None = None,
    appearance: NDArray[np.float64] | None = None,
    relative_size: NDArray[np.float64] | None = None,
) -> Evidence:
    """Evidence of N cells that smoothing does not change and whose looks are in the middle of their range.

    Args:
        logits: [N, K].
        confidences: [N, L].
        smoothed: [N, K]; the logits if left out.
        appearance: [N, 7]; zeros if left out.
        relative_size: [N]; unknown if left out.
    """
    return Evidence(
        logits=np.asarray(logits, np.float32),
        smoothed=np.asarray(logits if smoothed is None else smoothed, np.float32),
        confidences=np.asarray(confidences, np.float32),
        crops=np.zeros((len(logits), 1, 1, 3), np.uint8),
        appearance=np.zeros((len(logits), len(APPEARANCE))) if appearance is None else appearance,
        relative_size=np.full(len(logits), np.nan) if relative_size is None else relative_size,
    )


def with_margins(margins: Sequence[float], confidences: NDArray[np.floating]) -> Evidence:
    """Evidence of cells of class 1 with these margins, by two logits."""
    return evidence(np.column_stack([np.zeros(len(margins)), margins]), confidences)
