"""The truth of a simulated slide beside its reading, counted again by other means."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.errors import SourceError
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.reading import read_slide
from scripts.compare_simulated import COLUMNS, truth_table

BUNDLE = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.open(BUNDLE, threads=1)


def test_every_object_is_in_its_row(classifier: Classifier, tmp_path: Path) -> None:
    counts = read_slide("simulated:fields=1,seed=9", classifier, "S", tmp_path).counts
    lines = truth_table(tmp_path).splitlines()
    rows = {line.split()[0]: list(map(int, line.split()[1:])) for line in lines[1 : lines.index("")]}
    truth = Counter(true.kind for true in simulate_field(9, 0).objects)
    assert {kind: row[0] for kind, row in rows.items()} == truth
    by_column = dict(zip(COLUMNS, np.sum(list(rows.values()), axis=0), strict=True))
    answered = by_column["right"] + by_column["wrong"] + by_column["rejected"] + by_column["not judged"]
    assert by_column["found"] == answered
    # Every answer belongs to at most one object, save where two objects lie in one box.
    assert by_column["rejected"] <= counts.rejected + 2
    assert by_column["free"] > 30
    assert lines[-1].startswith("white cells, platelets, debris rejected")


def test_a_slide_that_was_not_simulated_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    frame = cv2.cvtColor(simulate_field(9, 0).frame, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(tmp_path / "frames" / "1.png"), frame)
    read_slide(str(tmp_path / "frames"), classifier, "S", tmp_path / "slide")
    with pytest.raises(SourceError, match="not a simulated slide with its seed"):
        truth_table(tmp_path / "slide")
