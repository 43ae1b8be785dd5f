"""Located cells as a slide: the estimate is of these cells alone."""

import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading, Status
from scripts.compare_crops import Located
from scripts.read_located_frames import by_patient, located_estimate


def test_the_estimate_is_of_located_cells_alone() -> None:
    try:
        classifier = Classifier.open(default_bundle())
    except SourceError as error:
        pytest.skip(f"needs the rates of the default bundle: {error}")

    def reading(place: int, status: Status, reason: str = "") -> CellReading:
        return CellReading((100 * place, 0, 90, 90), status, reason, "", 0.5, {}, (), b"")

    read = (
        *(reading(place, "parasitized") for place in range(4)),
        reading(4, "rejected", "suspect"),
        reading(5, "rejected", "faint"),
        *(reading(place, "uninfected") for place in range(6, 40)),
    )
    labels = ["parasitized"] * 5 + ["uninfected"] * 5
    located = [Located("a.jpg", f"C1P{n}", label, (100 * n, 0, 90, 90)) for n, label in enumerate(labels)]
    found, share = located_estimate(located, {"a.jpg": read}, classifier)
    assert found is not None
    assert (found.cells, found.parasitized, share) == (9, 4, 0.5)


def test_all_cells_come_first_and_then_those_of_each_patient() -> None:
    crops = ["C2P1thinF_IMG_1_cell_1.png", "C1P1thinF_IMG_2_cell_1.png", "C2P1thinF_IMG_1_cell_2.png"]
    grouped = by_patient(Located("a.jpg", crop, "uninfected", (0, 0, 9, 9)) for crop in crops)
    assert [len(cells) for cells in grouped.values()] == [3, 1, 2]
    assert next(iter(grouped)) == "all"
