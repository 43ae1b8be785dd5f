"""What happens beside a reading, to the console, the memory or by a signal, takes nothing from the slide."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

import edge_runtime
from edge_runtime.bundle.classifier import Classifier
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import SimulatedField
from edge_runtime.slide import judging, looking
from edge_runtime.slide.reading import read_slide
from edge_runtime.sources.items import SkippedFrame

ROOT = Path(edge_runtime.__file__).parents[1]
# No code page of a console has all of these; 1252 has none of the first two.
NAMES = ("Зона 1.png", "样本 2.png", "ż\N{COMBINING ACUTE ACCENT} 3.png")


@pytest.fixture
def frames(tmp_path: Path, fields: tuple[SimulatedField, ...]) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, field in zip(NAMES, fields, strict=True):
        (folder / name).write_bytes(cv2.imencode(".png", field.frame[..., ::-1])[1].tobytes())
    return folder


@pytest.fixture
def command(read_arguments: Callable[..., list[object]], frames: Path) -> list[str]:
    return [sys.executable, "-m", "edge_runtime", *map(str, read_arguments(frames))]


def whole(out: Path) -> None:
    """All of the slide is there: each field, the end and the report."""
    with SlideRecord.open(out / "slide.sqlite") as record:
        assert sorted(Path(field.name).name for field in record.fields()) == sorted(NAMES)
        assert record.header().finished
    assert "INCOMPLETE" not in (out / "report.html").read_text(encoding="utf-8")


def run(command: list[str], **settings: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | settings.pop("env", {})
    return subprocess.run(command, env=environment, text=True, timeout=120, check=False, **settings)


def test_a_full_disk_behind_standard_error_stops_nothing(command: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(command, stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert "fields            3" in done.stdout
    whole(tmp_path / "out")


def test_a_full_disk_behind_the_answer_is_told_and_the_slide_is_whole(
    command: list[str], tmp_path: Path
) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(command, stdout=full, stderr=subprocess.PIPE)
    *told, last = done.stderr.splitlines()
    assert len(told) == 3
    assert last.startswith("error: the answer cannot be written (No space left on device); ")
    assert done.returncode == 1
    whole(tmp_path / "out")


def test_whoever_reads_the_progress_may_leave(command: list[str], tmp_path: Path) -> None:
    """As `2>&1 | head -1` does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, env=environment, **pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"field 1 ")
        process.stdout.close()
    assert process.returncode == 1  # the answer reached nobody
    whole(tmp_path / "out")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict"])
def test_a_console_that_has_no_such_letters_stops_nothing(
    encoding: str, command: list[str], tmp_path: Path
) -> None:
    done = run(command, env={"PYTHONIOENCODING": encoding}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 3
    if encoding == "cp1252":  # what is written as ASCII click writes in UTF-8
        assert r"\u6837\u672c 2.png" in done.stderr
    whole(tmp_path / "out")


def test_names_of_crops_stop_no_score_either(
    frames: Path, tiny_bundle: Path, crops: list[np.ndarray]
) -> None:
    for file in frames.iterdir():
        file.write_bytes(cv2.imencode(".png", crops[0][..., ::-1])[1].tobytes())
    command = [sys.executable, "-m", "edge_runtime", "score", str(frames), "--bundle", str(tiny_bundle)]
    done = run(command, env={"PYTHONIOENCODING": "ascii:strict"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_a_frame_too_large_for_the_memory_is_left_out_alone(
    command: list[str], frames: Path, tmp_path: Path
) -> None:
    huge = frames / "huge.png"
    cv2.imwrite(str(huge), np.full((7000, 8000, 3), 200, np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    most = 1_000_000 * 1024  # as `ulimit -v 1000000`; on some processors OpenBLAS alone takes much of it
    limit: Any = lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most))  # noqa: E731 - for one call
    done = run([*command, "--threads", "1"], preexec_fn=limit, capture_output=True)
    assert done.returncode == 0, done.stderr
    skipped = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 1
    assert str(huge) in skipped[0]
    assert "too large for" in skipped[0]
    assert "memory" in skipped[0]
    whole(tmp_path / "out")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MemoryError(), "640x480 pixels, too large for this device's memory"),
        (cv2.error("assertion"), "OpenCV cannot work through it"),
    ],
)
def test_the_fields_after_a_frame_that_cannot_be_worked_through_are_read(
    error: Exception,
    told: str,
    classifier: Classifier,
    slide_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, calls = judging.read_field, iter(range(3))

    def failing_at_the_second(*arguments: Any, **settings: Any) -> Any:
        if next(calls) == 1:
            raise error
        return real(*arguments, **settings)

    monkeypatch.setattr(looking, "read_field", failing_at_the_second)
    seen: list[Any] = []
    summary = read_slide(str(slide_folder), classifier, "S", tmp_path / "out", on_field=seen.append)
    assert (summary.counts.fields, summary.counts.skipped) == (2, 1)
    assert isinstance(seen[1], SkippedFrame)
    assert told in seen[1].reason
    assert [found.number for found in (seen[0], seen[2])] == [1, 2]


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "-1", "soon"])
def test_an_interval_that_is_no_time_is_wrong_use(
    seconds: str, cellgate: Callable[..., Result], read_arguments: Callable[..., list[object]], frames: Path
) -> None:
    result = cellgate(*read_arguments(frames, f"--every={seconds}"))
    assert result.exit_code == 2
    assert "Invalid value for '--every'" in result.stderr
    assert not (frames.parent / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_reading_that_is_stopped_ends_with_what_was_read(
    number: signal.Signals, read_arguments: Callable[..., list[object]], tmp_path: Path
) -> None:
    source = "simulated:fields=500,seed=5"
    command = [sys.executable, "-m", "edge_runtime", *map(str, read_arguments(source))]
    heeding: Any = lambda: signal.signal(number, signal.SIG_DFL)  # noqa: E731 - whoever runs the tests may not
    settings: dict[str, Any] = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "preexec_fn": heeding}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **settings) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("field 1 ")
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert "Traceback" not in rest
    assert "stopped" in rest
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert record.counts().fields >= 1
        assert record.header().finished is None
    assert "INCOMPLETE" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert not list((tmp_path / "out").glob("*-wal"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_at_any_moment_of_its_start(number: signal.Signals, tmp_path: Path) -> None:
    """From when its first module is loaded on; Python's own start is not ours to guard."""
    hooked = "import sys; sys.stdout.write('x'); sys.stdout.flush(); "
    heeding: Any = lambda: signal.signal(number, signal.SIG_DFL)  # noqa: E731 - as above
    script = hooked + "from edge_runtime.__main__ import main; sys.argv = ['cellgate', 'doctor']; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for moment in range(5):
        command = [sys.executable, "-c", script]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heeding}
        with subprocess.Popen(command, env=environment, cwd=tmp_path, **pipes) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(1) == b"x"
            time.sleep(0.05 + 0.08 * moment)
            process.send_signal(number)
            told = process.stderr.read()
            said = process.stdout.read()
        # Once all is said, Python takes the handlers away before it ends.
        done = {0, 1, -number} if said.count(b"\n") > 5 else set()
        assert process.returncode in {128 + number, *done}, (moment, said)
        assert b"Traceback" not in told, told.decode()


def test_what_ignores_hanging_up_goes_on_doing_so(
    read_arguments: Callable[..., list[object]], frames: Path, tmp_path: Path
) -> None:
    """As under `nohup`."""
    command = [sys.executable, "-m", "edge_runtime", *map(str, read_arguments(frames))]
    ignoring: Any = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731 - for one call
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    settings: dict[str, Any] = {"env": environment, "preexec_fn": ignoring, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **settings) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.stderr.read()
    assert process.returncode == 0
    whole(tmp_path / "out")
