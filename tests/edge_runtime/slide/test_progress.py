"""What whoever watches a reading is told."""

import math
from dataclasses import replace

from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.slide.progress import Progress
from edge_runtime.statistics.stopping import PRESETS

UNINFECTED = CellReading((0, 0, 9, 9), "uninfected", "", "uninfected", 0.9, {}, (), b"")
PARASITIZED = replace(UNINFECTED, status="parasitized", label="parasitized")
SUSPECT = replace(PARASITIZED, status="rejected", reason="suspect")
FAINT = replace(UNINFECTED, status="rejected", reason="faint")
NOT_JUDGED = CellReading((0, 0, 9, 9), "not-judged", "edge", "", math.nan, {}, (), b"")
CELLS = (UNINFECTED,) * 96 + (PARASITIZED, PARASITIZED, SUSPECT, SUSPECT, FAINT, NOT_JUDGED)
FIELD = FieldReading(1, "a.png", 640, 480, b"", "2025-01-02T03:04:06+00:00", "", {}, CELLS)


def test_cells_and_fields_are_counted_towards_the_preset_with_the_time_left() -> None:
    progress = Progress(PRESETS["quick"], started=100.0)
    assert progress.told(100.0) == "0 of 1,000 cells, 0 of 10 fields"
    for _ in range(4):
        progress.add(FIELD)
    progress.add(replace(FIELD, reason="out-of-focus"))
    assert progress.told(180.0) == "400 of 1,000 cells, 4 of 10 fields, about 2 min left"
    for _ in range(5):
        progress.add(FIELD)
    assert progress.told(280.0) == "900 of 1,000 cells, 9 of 10 fields, less than a minute left"
    progress.add(FIELD)
    assert progress.told(300.0) == "1,000 cells, 10 fields: enough for a verdict"


def test_a_preset_that_wants_a_number_waits_for_parasites() -> None:
    progress = Progress(PRESETS["count"], started=0.0)
    for _ in range(50):
        progress.add(replace(FIELD, cells=(UNINFECTED,) * 99 + (SUSPECT,)))
    assert progress.told(600.0) == "0 of 62 parasitized"
    for _ in range(10):
        progress.add(FIELD)
    assert progress.told(600.0) == "20 of 62 parasitized, about 21 min left"
