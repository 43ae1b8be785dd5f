"""What a technician sees when a source or a folder is bad: one line with what to do, exit code 1.

What was recorded before stays readable.
"""

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import Result

from edge_runtime.record.slide_record import SlideRecord

Refusal = Callable[..., str]
Run = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cut_zip(tmp_path: Path, slide_folder: Path) -> Path:
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in slide_folder.iterdir():
            archive.write(file, file.name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def test_truncated_zip(
    cut_zip: Path, refusal: Refusal, read_arguments: Any, tiny_bundle: Path, tmp_path: Path
) -> None:
    expected = f"{cut_zip}: not a complete zip file; copy or download it again"
    assert refusal("score", cut_zip, "--bundle", tiny_bundle) == expected
    assert refusal(*read_arguments(cut_zip)) == expected
    assert not (tmp_path / "out").exists()


def test_truncated_zip_in_a_process_of_its_own(
    cut_zip: Path, refusal_of_process: Refusal, read_arguments: Any
) -> None:
    assert refusal_of_process(*read_arguments(cut_zip)).startswith(f"{cut_zip}: not a complete zip file")


def test_empty_folder(tmp_path: Path, refusal: Refusal, read_arguments: Any, tiny_bundle: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    expected = f"{folder}: holds no image (.png, .jpg, .jpeg, .jfif, .tif, .tiff, .bmp); check the path"
    assert refusal("score", folder, "--bundle", tiny_bundle) == expected
    assert refusal(*read_arguments(folder)) == expected


def test_nothing_there(tmp_path: Path, refusal: Refusal, read_arguments: Any, tiny_bundle: Path) -> None:
    gone = tmp_path / "gone"
    expected = f"{gone}: no such file or folder; check the path"
    assert refusal("score", gone, "--bundle", tiny_bundle) == expected
    assert refusal(*read_arguments(gone)) == expected


def test_a_camera_that_is_not_there(tmp_path: Path, refusal_of_process: Refusal, read_arguments: Any) -> None:
    expected = "camera 97: cannot be opened; check that it is connected and not in use"
    assert refusal_of_process(*read_arguments("97", "--fields", 3)) == expected
    assert not (tmp_path / "out").exists()


def test_a_camera_that_is_not_told_when_to_stop(refusal: Refusal, read_arguments: Any) -> None:
    assert (
        refusal(*read_arguments("0")) == "camera 0: never ends; say with --fields or --until how much to read"
    )


@pytest.fixture
def avi(tmp_path: Path, slide_folder: Path) -> Path:
    path = tmp_path / "slide.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 1, (640, 480))
    for file in sorted(slide_folder.iterdir()):
        writer.write(cv2.imread(str(file)))
    writer.release()
    return path


def test_a_video_that_ends_mid_frame_keeps_and_reports_what_was_read_before(
    tmp_path: Path, avi: Path, cellgate_process: Process, read_arguments: Any
) -> None:
    avi.write_bytes(avi.read_bytes()[: int(0.8 * avi.stat().st_size)])
    done = cellgate_process(*read_arguments(avi))
    assert done.returncode == 1
    first, second, error = done.stderr.splitlines()
    assert first.startswith("field 1 (slide.avi frame 1): ")
    assert second.startswith("field 2 (slide.avi frame 2): ")
    assert error.startswith(f"error: {avi}: ends in the middle, after frame 2; ")
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert [f.name for f in record.fields()] == ["slide.avi frame 1", "slide.avi frame 2"]
        assert record.counts().uninfected > 20
        assert record.header().finished is None
    assert "INCOMPLETE: cut off" in (tmp_path / "out" / "report.html").read_text()


def test_a_video_that_cannot_be_opened_leaves_nothing(
    tmp_path: Path, refusal_of_process: Refusal, slide_folder: Path, read_arguments: Any
) -> None:
    path = tmp_path / "slide.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 1, (640, 480))
    writer.write(cv2.imread(str(slide_folder / "field-1.png")))
    writer.release()
    path.write_bytes(path.read_bytes()[:-200])  # its table of frames stands at the end
    assert (
        refusal_of_process(*read_arguments(path)) == f"{path}: not a video that can be decoded; copy it again"
    )
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_a_slide_already(
    tmp_path: Path, cellgate: Run, refusal: Refusal, read_arguments: Any, slide_folder: Path
) -> None:
    assert cellgate(*read_arguments(slide_folder / "field-1.png")).exit_code == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    record = tmp_path / "out" / "slide.sqlite"
    assert refusal(*read_arguments(slide_folder)) == f"{record}: holds a slide already; choose another --out"
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_the_folder_should_be(
    tmp_path: Path, refusal: Refusal, read_arguments: Any, slide_folder: Path, below: str
) -> None:
    (tmp_path / "out").write_text("a file")
    arguments = read_arguments(slide_folder)
    arguments[-1] = tmp_path / "out" / below
    message = refusal(*arguments)
    assert message == f"{arguments[-1]}: a file stands where a folder is needed; choose another path"


def test_a_record_that_is_damaged_or_missing(tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "slide.sqlite"
    assert refusal("report", tmp_path) == f"{path}: no slide record; make one with 'cellgate read'"
    path.write_bytes(b"SQLite format 3\0" + bytes(3000))
    assert refusal("report", tmp_path).startswith(f"{path}: no slide record or a damaged one (")
