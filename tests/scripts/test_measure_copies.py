"""The table of copies: every kind has its row, and its shares are counted again by other means."""

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from scripts.measure_copies import copies, spread, table

BUNDLE = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.open(BUNDLE, threads=1)


def test_patients_take_turns(cell_folder: Path) -> None:
    crops, patients = spread(cell_folder, 20)
    assert len(crops) == 20
    assert np.unique(patients, return_counts=True)[1].tolist() == [10, 10]


def test_every_kind_of_copy_has_its_row(cell_folder: Path, classifier: Classifier) -> None:
    crops, patients = spread(cell_folder, 24)
    head, _, none, *rows = table(classifier, crops, patients).splitlines()
    assert head.startswith("| copy | same decision")
    decisions = classifier.decide(crops)
    assert none == f"| none | | | {100 * (~decisions.rejected).mean():.1f} |"
    assert len(rows) == len(copies())
    for (name, copy), row in zip(copies().items(), rows, strict=True):
        told, share, same_class, accepted = (cell.strip() for cell in row.strip("|").split("|"))
        copied = classifier.decide([copy(crop) for crop in crops])
        agree = (copied.rejected & decisions.rejected) | (
            ~copied.rejected & ~decisions.rejected & (copied.label == decisions.label)
        )
        assert told == name
        assert float(share.split()[0]) == pytest.approx(100 * agree.mean(), abs=0.05)
        assert float(same_class) == pytest.approx(100 * (copied.label == decisions.label).mean(), abs=0.05)
        assert float(accepted) == pytest.approx(100 * (~copied.rejected).mean(), abs=0.05)
