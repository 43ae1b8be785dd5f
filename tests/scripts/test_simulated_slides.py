"""Simulated preparations: what was judged is kept, and dirt counts as a cell without a parasite."""

import json
from pathlib import Path

import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.preprocessing import Box
from edge_runtime.record.readings import CellReading, Status
from scripts import simulated_slides
from scripts.composed_slides import CALLED, NOT_CALLED, REJECTED, SUSPICIOUS
from scripts.simulated_slides import FIRST_SEED, answers, judged, preparations

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


def cell(status: Status, reason: str = "", box: Box = (0, 0, 9, 9)) -> CellReading:
    return CellReading(box, status, reason, "", 0.5, {}, (), b"")


def test_answers_are_those_that_count() -> None:
    read = [
        cell("parasitized"),
        cell("rejected", "suspect"),
        cell("not-judged", "edge"),
        cell("rejected", "faint"),
        cell("uninfected"),
    ]
    assert answers(read) == [CALLED, SUSPICIOUS, REJECTED, NOT_CALLED]


def test_a_preparation_is_read_from_end_to_end() -> None:
    pools = judged(FIRST_SEED, Classifier.open(TINY), clean=1, infected=1)
    assert 40 < len(pools["uninfected"]) < 110
    assert 5 < len(pools["parasitized"]) < 50
    assert all(0 <= answer < 4 for of in pools.values() for answer in of)


def test_what_was_judged_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def stand_in(seed: int, _: Classifier) -> dict[str, list[int]]:
        asked.append(seed)
        return {"parasitized": [CALLED, SUSPICIOUS], "uninfected": [NOT_CALLED] * 9 + [CALLED]}

    monkeypatch.setattr(simulated_slides, "judged", stand_in)
    classifier = Classifier.open(TINY)
    first = preparations(2, classifier, tmp_path)
    again = preparations(3, classifier, tmp_path)
    assert asked == [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]
    assert [one.counts for one in first] == [one.counts for one in again[:2]]
    ill, well = first[0].counts
    assert (ill.healthy, ill.parasitized, ill.parasitized_called, ill.parasitized_suspect) == (False, 2, 1, 1)
    assert (well.healthy, well.uninfected, well.uninfected_called) == (True, 10, 1)
    assert len([json.loads(file.read_text()) for file in tmp_path.iterdir()]) == 3
