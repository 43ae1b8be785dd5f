"""`cellgate review`, as a person at a terminal uses it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from slide_samples import FIELD, HEADER, JUDGED, REJECTED, UNINFECTED

from edge_runtime.cli import main
from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.slide_record import SlideRecord

PIXELS = cv2.imencode(".png", np.full((40, 30, 3), 90, np.uint8))[1].tobytes()
CELLS = tuple(
    replace(cell, crop=PIXELS)
    for cell in (replace(REJECTED, reason=SUSPECT.code), JUDGED, UNINFECTED, REJECTED)
)
Review = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    with SlideRecord.begin(out / "slide.sqlite", HEADER) as record:
        record.add_field(replace(FIELD, overview=PIXELS, cells=CELLS))
        record.finish("2025-01-02T04:00:00+00:00")
    return out


@pytest.fixture
def review(folder: Path) -> Review:
    def run(*arguments: str, typed: str = "") -> Result:
        line = ["review", str(folder), "--reviewer", "AB", *arguments]
        return CliRunner().invoke(main, line, input=typed)

    return run


def answers(folder: Path) -> list[tuple[int, str, str]]:
    with SlideRecord.open(folder / "slide.sqlite") as record:
        return [(call.cell, call.answer, call.remark) for call in record.calls()]


def test_cells_are_shown_one_by_one_and_called(folder: Path, review: Review) -> None:
    told = review(typed="p\nring\nn\nc\n")
    assert told.exit_code == 0, told.output
    assert answers(folder) == [(1, "parasite", "ring"), (4, "none", ""), (2, "cannot-tell", "")]
    assert "3 cells called by AB" in told.output
    assert "0 cells called" in review().output  # nothing is left


def test_the_classifier_speaks_after_the_person(review: Review) -> None:
    told = review(typed="p\n\nq\n").output
    asked, after = told.index("[p]arasite"), told.index("the classifier says")
    assert asked < after
    assert "unlike" not in told[:after]
    assert "perhaps a parasite" not in told[:after]


def test_one_can_go_back_and_skip_and_end(folder: Path, review: Review) -> None:
    review(typed="s\nb\np\n\nx\nq\n")
    assert answers(folder) == [(1, "parasite", "")]


@pytest.mark.parametrize("typed", ["p\n\n", "p\n\nq\n"])
def test_what_was_called_is_kept_however_it_ends(folder: Path, review: Review, typed: str) -> None:
    told = review(typed=typed)  # the first one ends as if the terminal were closed
    assert told.exit_code == 0
    assert answers(folder) == [(1, "parasite", "")]
    assert not (folder / "review.png").exists()
    assert "AB: parasite" in (folder / "report.html").read_text()


def test_a_call_is_changed_by_another_one(folder: Path, review: Review) -> None:
    review(typed="p\n\nq\n")
    review("--cell", "1:1", typed="n\n")
    assert answers(folder) == [(1, "parasite", ""), (1, "none", "")]


def test_calls_come_from_a_file_too(folder: Path, review: Review, tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("field,cell,answer\n1,1,none\n1,2,none\n")
    told = review("--calls", str(tmp_path / "calls.csv"))
    assert answers(folder) == [(1, "none", ""), (2, "none", "")]
    assert "reviewed by AB" in told.output


def test_a_slide_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["review", str(tmp_path), "--reviewer", "AB"])
    assert told.exit_code == 1
    assert "no slide record; make one with 'cellgate read'" in told.output
