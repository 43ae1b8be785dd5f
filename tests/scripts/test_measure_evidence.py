"""Frames as other cameras see them, on a simulated field and the tiny bundle."""

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.simulator import PARASITIZED_KINDS, RED_CELL_KINDS, SimulatedField, simulate_field
from scripts.compare_crops import Located
from scripts.measure_evidence import HEAD, VARIANTS, Count, count, jpeg, noisier, smaller

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


@pytest.fixture(scope="module")
def field() -> SimulatedField:
    return simulate_field(7, width=1280, height=960, cells=40)


def located(field: SimulatedField) -> list[Located]:
    """The free red cells, as if crops had been cut from them."""
    return [
        Located("f", "c", "parasitized" if true.kind in PARASITIZED_KINDS else "uninfected", true.box)
        for true in field.objects
        if true.free and true.kind in RED_CELL_KINDS
    ]


@pytest.mark.parametrize("name", ["as it is", "half size"])
def test_cells_are_found_again_at_any_scale(name: str, field: SimulatedField) -> None:
    counted, cells = Count(), located(field)
    count(field.frame, VARIANTS[name], cells, Classifier.open(TINY, threads=1), counted)
    assert counted.located >= 0.9 * len(cells)
    assert counted.red >= counted.located >= counted.accepted >= counted.right > 0
    assert counted.red >= counted.rejected >= counted.faint
    assert counted.odd >= counted.odd_accepted == 0


def test_an_empty_frame_counts_nothing() -> None:
    counted = Count()
    frame = np.full((300, 400, 3), 230, np.uint8)
    count(frame, VARIANTS["as it is"], [], Classifier.open(TINY, threads=1), counted)
    assert counted == Count()
    assert counted.line("empty") == "| empty | none of 0 | none | 0 of 0 | none of 0 | none |"
    assert HEAD.count("|") == counted.line("").count("|") + HEAD.splitlines()[1].count("|")


def test_other_cameras_do_what_they_are_called(field: SimulatedField) -> None:
    frame = field.frame
    assert smaller(frame, 0.25).shape == (240, 320, 3)
    assert np.std(noisier(frame, 4).astype(float) - frame) == pytest.approx(4, rel=0.1)
    off = [np.abs(jpeg(frame, quality).astype(float) - frame).mean() for quality in (90, 60)]
    assert 0 < off[0] < off[1]
