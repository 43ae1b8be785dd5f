"""What is measured of segmentation: squares, simulated frames, an archive laid out as the sets are."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.segmentation import Cell, Segmentation, segmentation
from edge_runtime.simulator import RED_CELL_KINDS, simulate_field
from scripts import annotated_frames, measure_segmentation
from scripts.annotated_frames import Truth, centre
from scripts.measure_segmentation import accepted, crowded_frame, matched, tallied

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


def square(x: int, y: int, side: int = 20, *, width: int = 0, clump: bool = False) -> Cell:
    return Cell((x, y, width or side, side), np.ones((side, width or side), bool), at_edge=False, clump=clump)


def segmented(*cells: Cell) -> Segmentation:
    blank = np.zeros((1, 1, 3), np.uint8)
    return Segmentation(list(cells), blank[..., 0], blank, np.zeros((1, 1), np.float32), 400.0)


def truth(*boxes: tuple[int, int, int, int]) -> Truth:
    points = [centre(box) for box in boxes]
    return Truth("frame", np.zeros((100, 200, 3), np.uint8), boxes, points)


def test_each_box_takes_one_object_the_best_pair_first() -> None:
    true = [(0, 0, 20, 20), (4, 0, 20, 20)]
    assert matched(true, [(3, 0, 20, 20)]) == {1: 0}
    assert matched(true, [(3, 0, 20, 20), (0, 0, 20, 20)]) == {0: 1, 1: 0}
    assert matched(true, [(60, 0, 20, 20)]) == {}


def test_a_piece_of_two_cells_passes_as_one_only_if_it_is_judged() -> None:
    two = truth((10, 10, 20, 20), (30, 10, 20, 20))
    for cells, pieces, as_one in (
        ([square(10, 10, width=40)], 1, 1),
        ([square(10, 10, width=40, clump=True)], 1, 0),
        ([square(10, 10), square(30, 10)], 1, 0),
        ([square(10, 10), square(80, 10)], 0, 0),
    ):
        tally = tallied(two, segmented(*cells))
        assert (tally.pieces, tally.pieces_as_one) == (pieces, as_one)


def test_a_piece_that_is_rejected_does_not_pass() -> None:
    two, found = truth((10, 10, 20, 20), (30, 10, 20, 20)), segmented(square(10, 10, width=40))
    assert tallied(two, found, passing={0}).pieces_as_one == 1
    assert tallied(two, found, passing=set()).pieces_as_one == 0


def test_those_pass_that_the_bundle_accepts() -> None:
    field = simulate_field(7, 0, width=480, height=360, cells=12)
    found, classifier = segmentation(field.frame), Classifier.open(TINY)
    manifest = classifier.bundle.manifest
    passed = accepted(field.frame, found, classifier)
    cut, _ = cut_cells(field.frame, manifest.input.size)
    sizes = np.array([cell.relative_size for cell in cut])
    rejected = classifier.decide_resized([cell.resized for cell in cut], sizes).rejected
    assert 0 < len(passed) == (~rejected).sum() < len(found.cells)
    assert {found.cells[number].box for number in passed} <= {cell.box for cell in cut}


def test_what_is_no_red_cell_does_not_count_against_precision() -> None:
    one = truth((10, 10, 20, 20))
    crumb, other = square(60, 60, side=8), square(100, 10)
    tally = tallied(one, segmented(square(10, 10), crumb))
    assert (tally.found, tally.objects, tally.alone) == (1, 1, 1)
    assert tallied(one, segmented(square(10, 10), other)).objects == 2
    named = Truth("frame", one.frame, one.boxes, one.points, others=[(95, 5, 30, 30)])
    assert tallied(named, segmented(square(10, 10), other)).objects == 1


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated frame, annotated as each of the sets is."""
    field = simulate_field(7, 0, width=480, height=360, cells=12)
    boxes = [each.box for each in field.objects if each.kind in RED_CELL_KINDS]
    corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    picture = cv2.imencode(".png", cv2.cvtColor(field.frame, cv2.COLOR_RGB2BGR))[1].tobytes()
    sides = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>RBC</name><bndbox>"
        + "".join(f"<{side}>{at}</{side}>" for side, at in zip(sides, box, strict=True))
        + "</bndbox></object>"
        for box in corners
    )
    path = tmp_path_factory.mktemp("frames") / "fields.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("fields/bbbc041/images/a.png", picture)
        told = {"a.png": {"objects": [{"bbox": box} for box in corners]}}
        made.writestr("fields/bbbc041/annotations.json", json.dumps(told))
        made.writestr("fields/bccd/JPEGImages/b.jpg", picture)
        made.writestr("fields/bccd/Annotations/b.xml", f"<annotation>{objects}</annotation>")
        made.writestr("fields/chula_rbc12/Dataset/1.jpg", picture)
        points = "\n".join(f"{x + width / 2} {y + height / 2} 0" for x, y, width, height in boxes)
        made.writestr("fields/chula_rbc12/Label/1.txt", points)
        cells = [{"x": x, "y": y, "w": width, "h": height} for x, y, width, height in boxes]
        made.writestr("fields/nih_thin/annotations.json", json.dumps({"frames": {"c.png": {"cells": cells}}}))
        made.writestr("fields/nih_thin/frames/c.png", picture)
    return path


def test_every_set_has_its_row_and_its_overlays(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotated_frames, "SEEDS", range(7, 8))
    arguments = ["--frames", str(archive), "--overlays", str(tmp_path), "--most", "1"]
    done = CliRunner().invoke(measure_segmentation.main, arguments)
    assert done.exit_code == 0, done.output
    rows = {
        cells[0]: cells[1:]
        for line in done.output.splitlines()[2:]
        if (cells := line.strip("| ").split(" | "))
    }
    assert list(rows)[:4] == ["bbbc041", "bccd", "chula_rbc12", "nih_thin"]
    assert float(rows["bbbc041"][1]) > 0.8
    assert rows["bbbc041"][1:3] == rows["bccd"][1:3]
    assert float(rows["chula_rbc12"][5]) > 0.8
    assert rows["nih_thin"][1:3] == ["", ""]
    assert len(list(tmp_path.rglob("*.jpg"))) == len(rows)


def test_the_crowded_frame_is_what_it_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = crowded_frame(300, 400, 20, 30)
    assert frame.shape == (300, 400, 3)
    assert 0.2 < (frame[..., 1] < 180).mean() < 0.6
    monkeypatch.setattr(measure_segmentation, "CROWDED", (300, 400, 20, 30))
    measure_segmentation.print_crowded()
    assert capsys.readouterr().out.startswith("400x300 pixels, 20 cells that overlap: ")
