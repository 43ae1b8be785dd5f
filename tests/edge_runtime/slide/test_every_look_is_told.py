"""What is found is what is told: every look is counted, stopped, skipped by name or a repeat."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import SimulatedField

Picture = NDArray[np.uint8]
Run = Callable[..., Result]
Arguments = Callable[..., list[object]]


@pytest.fixture
def frames(fields: tuple[SimulatedField, ...]) -> dict[str, Picture]:
    """One frame of every kind, in an order in which they can follow each other."""
    first, second, third = (field.frame for field in fields)
    return {
        "1 counted": first,
        "2 out of focus": np.asarray(cv2.GaussianBlur(second, (0, 0), 7), np.uint8),
        "3 out of focus again": np.asarray(cv2.GaussianBlur(second, (0, 0), 7), np.uint8),
        "4 focused": second,
        "5 seen before": first,
        "6 empty": np.full_like(first, 230),
        "7 counted": third,
    }


def numbers(printed: str) -> dict[str, int]:
    """The numbers of the printout by their names, without the reasons below them."""
    return {name: int(n) for name, n in re.findall(r"^([a-z][a-z ]*?) +(\d+)$", printed, re.MULTILINE)}


def test_every_file_of_a_folder_is_told_once(
    frames: dict[str, Picture], tmp_path: Path, cellgate: Run, read_arguments: Arguments
) -> None:
    folder = tmp_path / "slide"
    folder.mkdir()
    for name, frame in frames.items():
        cv2.imwrite(str(folder / f"{name}.png"), frame[..., ::-1])
    whole = (folder / "1 counted.png").read_bytes()
    (folder / "8 cut off.png").write_bytes(whole[: len(whole) // 2])
    (folder / "9 small.png").write_bytes(cv2.imencode(".png", frames["1 counted"][:40, :40])[1].tobytes())
    (folder / ".hidden.png").write_bytes(whole)
    result = cellgate(*read_arguments(folder))
    told = numbers(result.stdout)
    assert (told["fields"], told["stopped"], told["skipped"]) == (3, 2, 5)
    assert told["fields"] + told["stopped"] + told["skipped"] == len(list(folder.iterdir()))
    lines = result.stderr.splitlines()
    assert [line.split(" ")[0] for line in lines].count("field") == 3
    for file in folder.iterdir():
        # A repeated one is named again as what it repeats, at the end of a line.
        assert sum(file.name in re.sub(r"shows the same field as .*", "", line) for line in lines) == 1
    report = (tmp_path / "out" / "report.html").read_text()
    assert all(file.name in report for file in folder.iterdir())


def test_every_look_at_a_video_is_told_or_a_repeat(
    frames: dict[str, Picture], tmp_path: Path, cellgate: Run, read_arguments: Arguments
) -> None:
    file = tmp_path / "slide.avi"
    video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 1, (640, 480))
    for frame in [*frames.values(), frames["6 empty"], frames["7 counted"]]:
        video.write(np.ascontiguousarray(frame[..., ::-1]))
    video.release()
    result = cellgate(*read_arguments(file))
    told = numbers(result.stdout)
    assert (told["fields"], told["stopped"], told["skipped"], told["repeats"]) == (3, 2, 0, 4)
    assert len(result.stderr.splitlines()) == 5
    assert "4 more looks showed what was read already" in (tmp_path / "out" / "report.html").read_text()
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert [(f.name, f.reason) for f in record.fields()] == [
            ("slide.avi frame 1", ""),
            ("slide.avi frame 2", "out-of-focus"),
            ("slide.avi frame 4", ""),
            ("slide.avi frame 6", "no-cells"),
            ("slide.avi frame 7", ""),
        ]
