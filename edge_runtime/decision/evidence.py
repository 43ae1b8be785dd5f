"""What speaks for and against a cell: what the network says of it, and what the picture shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision.appearance import describe

# The outputs of the graph that the decision needs, as `Evidence` has them.
OUTPUTS = ("logits", "logits.smoothed", "confidences")


@dataclass(frozen=True)
class Evidence:
    """All that N cells are judged by.

    Attributes:
        logits: float32 [N, K].
        smoothed: float32 [N, K], the logits of the smoothed cells.
        confidences: float32 [N, L], the confidence scores M_l of eq. 4.
        crops: N crops uint8 [size, size, 3] RGB, black outside the cell, as `preprocessing.resize_crop`
            makes them.
        appearance: float64 [N, 7], the numbers of the picture (see `appearance.describe`).
        relative_size: float64 [N], the cell's diameter over that of its frame's typical cell; NaN where no
            frame is known.
    """

    logits: NDArray[np.float32]
    smoothed: NDArray[np.float32]
    confidences: NDArray[np.float32]
    crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    appearance: NDArray[np.float64]
    relative_size: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        outputs: Mapping[str, NDArray[np.generic]],
        crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        appearance: NDArray[np.float64] | None = None,
        relative_size: NDArray[np.float64] | None = None,
    ) -> "Evidence":
        """Pick what decides from outputs by the names of `OUTPUTS`; measure the crops unless that is done."""
        logits, smoothed, confidences = (np.asarray(outputs[name], np.float32) for name in OUTPUTS)
        measured = describe(crops) if appearance is None else appearance
        return cls(logits, smoothed, confidences, crops, measured, _sizes(len(measured), relative_size))

    @classmethod
    def of_pictures(
        cls,
        crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
        relative_size: NDArray[np.float64] | None = None,
    ) -> "Evidence":
        """Of the picture alone, where no network was asked: what it would say has no columns."""
        nothing = np.zeros((len(crops), 0), np.float32)
        return cls(nothing, nothing, nothing, crops, describe(crops), _sizes(len(crops), relative_size))

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.logits)


def _sizes(cells: int, known: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return np.full(cells, np.nan) if known is None else np.asarray(known, np.float64)
