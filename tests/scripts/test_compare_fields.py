"""Located cells: what the device said of its own crop beside what its bundle says of the archive's crop."""

import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge_runtime.bundle import files
from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.preprocessing import Box, InputSpec
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading, Status
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import PARASITIZED_KINDS, RED_CELL_KINDS, simulate_field
from edge_runtime.slide.reading import read_slide
from scripts.compare_crops import (
    Decision,
    Located,
    compare_crops,
    differences,
    held_out_patients,
    located_cells,
    markdown_table,
)
from scripts.compare_fields import main
from training.run import RunConfig, RunInfo, save_run

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"
FRAME = "IMG_1.png"


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reading of one simulated frame in `out`, its annotations and an archive of crops.

    The archive holds the very crops that the device cut, of two patients, so both ways must agree.
    """
    folder = tmp_path_factory.mktemp("slide")
    field = simulate_field(5, 0, width=640, height=480, cells=22)
    (folder / "frames").mkdir()
    write(folder / "frames" / FRAME, field.frame)
    read_slide(str(folder / "frames"), Classifier.open(TINY, threads=1), "S", folder / "out")
    with SlideRecord.open(folder / "out" / "slide.sqlite") as record:
        (read,) = record.fields()
    red = [true for true in field.objects if true.kind in RED_CELL_KINDS]
    cells: list[dict[str, Any]] = []
    for number, cell in enumerate(cell for cell in read.cells if cell.crop):
        true = best_match(cell.box, red)
        if true is None:  # a platelet: it is rejected by its size
            continue
        label = "Parasitized" if true.kind in PARASITIZED_KINDS else "Uninfected"
        of_label = sum(other["label"] == label for other in cells)
        name = f"C{1 + of_label % 2}P1_IMG_1_cell_{number}.png"
        cells.append({"crop": name, "label": label, **dict(zip("xywh", cell.box, strict=True))})
        file = folder / "cell_images" / label / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cell.crop)
    (folder / "annotations.json").write_text(json.dumps({"frames": {FRAME: {"cells": cells}}}))
    return folder


def write(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@pytest.fixture
def compare(slide: Path) -> Callable[..., Result]:
    def run(*more: object, annotations: Path = slide / "annotations.json") -> Result:
        record = slide / "out" / "slide.sqlite"
        arguments = ["--record", record, "--annotations", annotations, *more]
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return run


def annotated(slide: Path) -> list[dict[str, Any]]:
    frames = json.loads((slide / "annotations.json").read_text())["frames"]
    cells: list[dict[str, Any]] = frames[FRAME]["cells"]
    return cells


def test_the_same_crops_get_the_same_answers(compare: Callable[..., Result], slide: Path) -> None:
    result = compare("--crops", slide / "cell_images", "--bundle", TINY)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["patient", "---", "C1P1", "C2P1", "all"]
    assert len({len(row) for row in rows}) == 1
    every = dict(zip(rows[0], rows[-1], strict=True))
    count = len(annotated(slide))
    assert count >= 10
    assert (every["located"], every["found"], every["not judged"]) == (str(count), str(count), "0 (0.0%)")
    assert every["same class"] == f"{count} (100.0%)"
    assert every["accepted, our crop"] == every["accepted, NIH crop"]
    assert every["expert's class, our crop"] == every["expert's class, NIH crop"]
    assert result.stderr == ""
    assert result.exit_code == 0


def test_another_crop_in_the_archive_is_named(
    compare: Callable[..., Result], slide: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "cell_images"
    shutil.copytree(slide / "cell_images", archive)
    noise = np.random.default_rng(0).integers(1, 256, (60, 60, 3), np.uint8)
    first = annotated(slide)[0]
    write(archive / first["label"] / first["crop"], noise)
    result = compare("--crops", archive, "--bundle", TINY)
    (told,) = result.stderr.splitlines()
    assert told.startswith(f"{first['crop']}: ours ")
    assert ", NIH rejected (" in told


def test_crops_that_a_part_of_the_archive_lacks_are_left_out_and_told(
    compare: Callable[..., Result], slide: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        for file in sorted((slide / "cell_images").rglob("*.png")):
            if file.name.startswith("C1P1_"):
                archive.write(file, str(file.relative_to(slide)))
    result = compare("--crops", tmp_path / "part.zip", "--bundle", TINY)
    absent = sum(cell["crop"].startswith("C2P1_") for cell in annotated(slide))
    assert f"{absent} located cells are left out: {archive.filename} does not hold" in result.stderr
    assert [line.split("|")[1].strip() for line in result.stdout.splitlines()[2:]] == ["C1P1", "all"]


def test_without_crops_the_expert_is_compared(compare: Callable[..., Result], slide: Path) -> None:
    result = compare()
    count = len(annotated(slide))
    assert result.stdout.splitlines()[1].split()[:3] == [FRAME, str(count), str(count)]
    assert "found 100.0%" in result.stdout


def test_only_held_out_patients_count(compare: Callable[..., Result], slide: Path, tmp_path: Path) -> None:
    run = run_folder(tmp_path, patients=["C2P1", "C9P9"])
    result = compare("--crops", slide / "cell_images", "--bundle", TINY, "--held-out", run)
    assert [line.split("|")[1].strip() for line in result.stdout.splitlines()[2:]] == ["C2P1", "all"]
    run = run_folder(tmp_path, patients=["C9P9"])
    assert "no located cell is of a patient in its test split" in compare("--held-out", run).stderr


def run_folder(
    folder: Path, *, split: Literal["patient", "image"] = "patient", patients: list[str] | None = None
) -> Path:
    """A run.json with what says who was held out."""
    tested = {} if patients is None else {"test": {"patients": [{"patient": name} for name in patients]}}
    config = RunConfig(("x",), "edge", split, 0, 1, 64, 0.1)
    info = RunInfo(
        config,
        InputSpec(),
        ("uninfected", "parasitized"),
        ("parasitized",),
        ("stem",),
        "",
        "",
        "",
        {},
        "",
        "",
        tested,
    )
    save_run(folder, info)
    return folder


def test_who_was_held_out_is_refused_where_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"not tested yet; run 'python -m training test --run"):
        held_out_patients(run_folder(tmp_path))
    with pytest.raises(SourceError, match="split by image, so it holds no patient out"):
        held_out_patients(run_folder(tmp_path, split="image", patients=["C1P1"]))
    assert held_out_patients(run_folder(tmp_path, patients=["C1P1", "C2P1"])) == {"C1P1", "C2P1"}


def test_another_bundle_than_that_of_the_reading_is_refused(
    compare: Callable[..., Result], slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default bundle too: the two crops would be judged by two bundles."""
    other = tmp_path / "other"
    shutil.copytree(TINY, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "name": "other"}))
    monkeypatch.setattr(files, "DEFAULT", other)
    result = compare("--crops", slide / "cell_images")
    assert result.exit_code == 1
    assert "read by tiny 1 (" in result.stderr
    assert "not by other 1 (" in result.stderr
    monkeypatch.setattr(files, "DEFAULT", TINY)
    assert compare("--crops", slide / "cell_images").exit_code == 0


def test_an_archive_of_others_is_refused(compare: Callable[..., Result], slide: Path, tmp_path: Path) -> None:
    for label in ("Parasitized", "Uninfected"):
        file = tmp_path / "others" / label / "C7P7_IMG_2_cell_1.png"
        file.parent.mkdir(parents=True)
        shutil.copy(next((slide / "cell_images").rglob("*.png")), file)
    told = compare("--crops", tmp_path / "others", "--bundle", TINY).stderr
    assert "others: holds none of the" in told


@pytest.mark.parametrize(
    "text", ["", "[]", '{"frames": []}', '{"frames": {"a": {}}}', '{"frames": {"a": {"cells": [{"x": 1}]}}}']
)
def test_what_are_no_annotations_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SourceError, match=r"a\.json: no annotations of frames"):
        located_cells(tmp_path / "a.json")


BOX = (10, 10, 100, 100)


def reading(status: Status, label: str, box: Box = BOX) -> CellReading:
    return CellReading(box, status, "edge" if status == "not-judged" else "", label, 0.9, {}, (), b"")


def counted(*cells: CellReading, nih: Decision, label: str = "parasitized") -> Counter[str]:
    """Counts of one located cell of patient C1P1."""
    crop = "C1P1_cell_1.png"
    rows = compare_crops([Located("f", crop, label, BOX)], {"f": cells}, {crop: nih})
    assert list(rows) == ["C1P1"]
    return rows["C1P1"]


PARASITIZED, REJECTED = Decision("parasitized", accepted=True), Decision("uninfected", accepted=False)


def test_a_cell_that_was_not_found_counts_as_located_alone() -> None:
    far = reading("parasitized", "parasitized", (80, 80, 100, 100))
    assert counted(far, nih=PARASITIZED) == {"located": 1}
    assert counted(nih=PARASITIZED) == {"located": 1}


def test_a_cell_that_was_not_judged_has_no_class_and_is_not_accepted() -> None:
    assert counted(reading("not-judged", ""), nih=PARASITIZED) == {
        "located": 1,
        "found": 1,
        "not judged": 1,
        "accepted, NIH crop": 1,
        "expert's class, NIH crop": 1,
    }


def test_the_class_counts_also_where_it_was_rejected() -> None:
    assert counted(reading("rejected", "uninfected"), nih=REJECTED) == {
        "located": 1,
        "found": 1,
        "same class": 1,
    }
    assert counted(reading("parasitized", "parasitized"), nih=REJECTED) == {
        "located": 1,
        "found": 1,
        "accepted, our crop": 1,
        "expert's class, our crop": 1,
    }


def test_differences_tell_both_answers() -> None:
    located = [Located("f", f"C1P1_cell_{n}.png", "parasitized", (200 * n, 0, 100, 100)) for n in range(4)]
    read = {
        "f": (
            reading("parasitized", "parasitized", located[0].box),
            reading("rejected", "parasitized", located[1].box),
            reading("not-judged", "", located[2].box),
        )
    }
    theirs = {cell.crop: PARASITIZED for cell in located}
    assert list(differences(located, read, theirs)) == [
        "C1P1_cell_1.png: ours rejected (parasitized), NIH parasitized",
        "C1P1_cell_2.png: ours not judged (edge), NIH parasitized",
        "C1P1_cell_3.png: ours not found, NIH parasitized",
    ]


def test_shares_in_the_table_are_of_the_cells_found() -> None:
    rows = {
        "C1P1": Counter({"located": 3, "found": 2, "same class": 1}),
        "C2P1": Counter({"located": 1}),
    }
    last = markdown_table(rows).splitlines()[-1]
    assert last.startswith("| all | 4 | 2 | 0 (0.0%) | 1 (50.0%) | 0 (0.0%) |")
    assert "none found" in markdown_table({"C2P1": Counter({"located": 1})})


@pytest.mark.parametrize(("same", "accepted", "code"), [(95, 85, 0), (94, 85, 1), (95, 84, 1)])
def test_the_exit_code_says_whether_the_seam_is_closed(
    compare: Callable[..., Result],
    slide: Path,
    monkeypatch: pytest.MonkeyPatch,
    same: int,
    accepted: int,
    code: int,
) -> None:
    counts = Counter({"located": 100, "found": 100, "same class": same, "accepted, our crop": accepted})
    monkeypatch.setattr("scripts.compare_fields.compare_crops", lambda *_: {"C1P1": counts})
    assert compare("--crops", slide / "cell_images", "--bundle", TINY).exit_code == code
