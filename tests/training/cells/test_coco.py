"""Boxes on frames: crops are what the device would cut there, and wrong boxes are named by their number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.errors import SourceError
from edge_runtime.simulator import PARASITIZED_KINDS, SimulatedField, simulate_field
from edge_runtime.sources.decoding import decode_image
from training.cells.coco import list_coco

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def field() -> SimulatedField:
    return simulate_field(1, 0, width=480, height=400, cells=14, parasitized_fraction=0.4)


def annotated(field: SimulatedField) -> dict[str, Any]:
    boxes = [
        {
            "id": number,
            "image_id": 7,
            "category_id": 2 if true.kind in PARASITIZED_KINDS else 1,
            "bbox": [float(value) for value in true.box],
        }
        for number, true in enumerate(field.objects, start=100)
        if all(true.box[axis] >= 0 and sum(true.box[axis::2]) <= (480, 400)[axis] for axis in (0, 1))
    ]
    return {
        "images": [
            {"id": 7, "file_name": "frames/P3_1.png", "width": 480, "height": 400},
            {"id": 8, "file_name": "frames/P4_1.png", "width": 480, "height": 400},
        ],
        "categories": [{"id": 1, "name": "RBC"}, {"id": 2, "name": "Infected"}, {"id": 9, "name": "unused"}],
        "annotations": boxes,
    }


@pytest.fixture
def write(tmp_path: Path, field: SimulatedField) -> Callable[..., Path]:
    (tmp_path / "frames").mkdir()
    for name in ("P3_1.png", "P4_1.png"):
        cv2.imwrite(str(tmp_path / "frames" / name), cv2.cvtColor(field.frame, cv2.COLOR_RGB2BGR))

    def write(edit: Edit = lambda raw: None) -> Path:
        raw = annotated(field)
        edit(raw)
        (tmp_path / "boxes.json").write_text(json.dumps(raw))
        return tmp_path / "boxes.json"

    return write


def test_crops_are_what_the_device_cuts(
    write: Callable[..., Path], field: SimulatedField, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list_coco(write(), r"(P\d+)_")
    files = list(found.files)
    assert set(found.classes) == {"rbc", "infected"}
    assert {file.label for file in files} == {"rbc", "infected"}
    assert {file.patient for file in files} == {"P3"}
    assert all(file.name.startswith("frames/P3_1.png/box_1") for file in files)
    assert [str(item) for item in found.skipped] == ["skipped: frames/P4_1.png: no box is listed for it"]
    cut = [cell.crop for cell in cut_cells(field.frame, 125)[0]]
    for file in files:
        crop = decode_image(file.read(), file.name)
        assert any(crop.shape == other.shape and np.array_equal(crop, other) for other in cut)
    boxes = len(annotated(field)["annotations"])
    assert 5 < len(files) <= boxes
    if len(files) < boxes:
        assert f"{boxes - len(files)} of {boxes} boxes are left out: " in capsys.readouterr().err


def test_a_box_in_which_no_cell_is_found_is_counted_and_told(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    usual = len(list(list_coco(write()).files))
    capsys.readouterr()
    empty = {"id": 1, "image_id": 8, "category_id": 1, "bbox": [0, 0, 12, 390]}
    assert len(list(list_coco(write(lambda raw: raw["annotations"].append(empty))).files)) == usual
    assert "1 no cell found there" in capsys.readouterr().err


def annotation(**values: object) -> Edit:
    return lambda raw: raw["annotations"][0].update(values)


def image(**values: object) -> Edit:
    return lambda raw: raw["images"][0].update(values)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (annotation(iscrowd=1), r"annotation 10\d: a crowd, which no single cell is"),
        (
            annotation(bbox=[470, 10, 40, 40]),
            r"annotation 10\d: bbox .* does not lie in its image of 480",
        ),
        (
            annotation(bbox=[4, 10, 0, 40]),
            r"annotation 10\d: bbox .* expected \[x, y, width, height\]",
        ),
        (annotation(bbox=[4, 10, 40]), r"annotation 10\d: bbox \[4, 10, 40\] of an image"),
        (annotation(bbox=None), r"annotation 10\d: bbox None of an image"),
        (annotation(image_id=99), r"annotation 10\d: of an image or a category that is not listed"),
        (annotation(category_id=[1]), r"annotation 10\d: of an image or a category that is not listed"),
        (annotation(id="a"), "entry 1 with image_id, category_id, bbox: id a is no number of its own"),
        (lambda raw: raw["annotations"][0].pop("bbox"), "entry 1 .*: no bbox; expected a COCO file"),
        (lambda raw: raw["images"].append(3), "entry 3 with file_name, width, height: no id, file_name"),
        (lambda raw: raw.pop("categories"), "no categories; expected a COCO file"),
        (
            image(file_name="gone.png"),
            "image gone.png: no such file; expected a path from the folder",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(write: Callable[..., Path], edit: Edit, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        list_coco(write(edit))


def test_boxes_of_another_copy_of_the_frame_are_refused(write: Callable[..., Path]) -> None:
    path = write(image(width=960, height=800))
    with pytest.raises(SourceError, match="480x400 pixels, but its boxes are of 960x800"):
        list(list_coco(path).files)


def test_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text("{")
    with pytest.raises(SourceError, match=r"boxes\.json: cannot be read as JSON .*; expected a COCO file"):
        list_coco(tmp_path / "boxes.json")
