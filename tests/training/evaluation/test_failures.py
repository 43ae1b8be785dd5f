"""What a segmentation that went wrong hands on does not look like a whole cell."""

import numpy as np

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.limits import outline_range
from edge_runtime.decision.values import within
from edge_runtime.simulator import simulate_field
from training.evaluation.failures import FAILURES


def test_segmentation_errors_are_outside_the_range_of_whole_cells() -> None:
    fields = [simulate_field(3, index, width=1000, height=800, cells=60) for index in range(4)]
    cells = np.stack([cell.resized for field in fields for cell in cut_cells(field.frame, 125)[0]])
    low, high = map(np.array, outline_range(describe(cells[::2])))
    new = cells[1::2]
    limit = float(np.quantile(within(describe(new), low, high), 0.05))
    for name, failure in FAILURES.items():
        assert (within(describe(failure(new)), low, high) < limit).mean() > 0.7, name
