"""A slide of overlapping places, photographed and read: no cell of it is judged twice, and none is lost."""

import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.fields.places import Places
from scripts import measure_slides
from scripts.measure_places import HEIGHT, WIDTH
from scripts.measure_slides import SHARES, Tally, measure, place_of, table, walk


@pytest.fixture(scope="module")
def read() -> dict[str, Tally]:
    return measure(0, Classifier.open("tests/edge_runtime/tiny-bundle", threads=1))


@pytest.mark.parametrize("source", measure_slides.SOURCES)
def test_no_cell_of_twelve_overlapping_places_is_judged_twice(read: dict[str, Tally], source: str) -> None:
    found = read[source]
    assert (found.places, found.twice) == (12, 0)
    assert found.judged > 50
    assert found.before > 20


@pytest.mark.parametrize("source", measure_slides.SOURCES)
def test_no_new_field_and_no_new_cell_is_taken_for_an_old_one(read: dict[str, Tally], source: str) -> None:
    found = read[source]
    assert found.new >= 6
    assert (found.taken, found.lost) == (0, 0)
    assert found.counted + found.stopped >= found.new


def test_the_places_of_a_walk_overlap_by_every_share() -> None:
    places = np.array(walk(np.random.default_rng(3)))
    moved = np.abs(np.diff(places, axis=0))
    shares = (WIDTH - moved[:, 0]) * (HEIGHT - moved[:, 1]) / (WIDTH * HEIGHT)
    assert sorted(shares) == pytest.approx(SHARES, abs=0.01)


def test_cells_that_two_fields_judge_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SHARES", (0.5, 0.4)), ("_FILM", (2 * WIDTH, 2 * HEIGHT)), ("_CELLS", 88)):
        monkeypatch.setattr(measure_slides, name, value)
    monkeypatch.setattr(Places, "find", lambda *_: [])
    found = measure(0, Classifier.open("tests/edge_runtime/tiny-bundle", threads=1), ["folder"])["folder"]
    assert (found.counted, found.before) == (3, 0)
    assert found.twice >= 5


def test_frames_are_known_by_their_names() -> None:
    assert place_of("slides/12/frames/07.png", "folder") == 7
    assert [place_of(f"frames.mp4 frame {n}", "video") for n in (1, 6, 7, 72)] == [0, 0, 1, 11]


def test_the_table_states_the_intervals() -> None:
    shown = table({"zip": Tally(12, 8, 0, 8, 0, 99, 1, 80, 1)})
    assert "| zip | 12 | 8 | 0 | 8 | 0 | 99 | 1 | 80 | 1 |" in shown
    assert "0 of 8 new fields left out as shown before (95 % interval 0.00 to 36.94 %)" in shown
    assert "1 of 100 cells (0.03 to 5.45 %); 1 judged twice." in shown
