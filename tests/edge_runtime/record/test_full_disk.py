"""A disk that fills up while a slide is read: one line, exit code 1, and what was recorded stays readable."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.slide.reading import read_slide

Process = Callable[..., subprocess.CompletedProcess[str]]
PAGE = 4096


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes in memory, mounted on a folder."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root can mount a small disk"
)


@pytest.fixture(scope="module")
def read_once(tmp_path_factory: pytest.TempPathFactory, slide_folder: Path, tiny_bundle: Path) -> Path:
    """The folder with record and report of the slide, where there is room."""
    out = tmp_path_factory.mktemp("room")
    read_slide(str(slide_folder), Classifier.open(tiny_bundle, threads=1), "S", out)
    return out


@pytest.fixture
def arguments(slide_folder: Path, tiny_bundle: Path) -> Callable[[Path], list[object]]:
    return lambda out: ["read", slide_folder, "--bundle", tiny_bundle, "--slide", "S", "--out", out]


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    *before, last = done.stderr.splitlines()
    assert all(line.startswith("field ") for line in before), done.stderr
    assert last.startswith("error: ")
    return last


def told_fields(done: subprocess.CompletedProcess[str]) -> int:
    return sum(line.startswith("field ") for line in done.stderr.splitlines())


def fields_in(out: Path) -> int:
    with SlideRecord.open(out / "slide.sqlite") as record:
        assert record.header().finished is None
        assert all(len(field.cells) > 5 for field in record.fields())
        return record.counts().fields


@needs_mount
def test_a_disk_that_is_full_from_the_start(
    tmp_path: Path, cellgate_process: Process, arguments: Callable[[Path], list[object]]
) -> None:
    with small_disk(tmp_path / "disk", 8 * PAGE) as disk:
        (disk / "filler").write_bytes(bytes(7 * PAGE))
        out = disk / "out"
        message = last_line(cellgate_process(*arguments(out)))
        assert message == (
            f"error: {out / 'slide.sqlite'}: cannot be written (database or disk is full); "
            "free some space or choose another --out"
        )
        # Nothing is left that would be in the way of the same command.
        assert list(out.iterdir()) == []


@needs_mount
def test_a_disk_that_fills_up_after_some_fields(
    tmp_path: Path,
    cellgate_process: Process,
    arguments: Callable[[Path], list[object]],
    read_once: Path,
) -> None:
    record_size = (read_once / "slide.sqlite").stat().st_size
    with small_disk(tmp_path / "disk", int(0.8 * record_size)) as disk:
        out = disk / "out"
        done = cellgate_process(*arguments(out))
        message = last_line(done)
        assert message.startswith(
            f"error: {out / 'slide.sqlite'}: cannot be written (database or disk is full); "
        )
        assert message.endswith("fields recorded before are kept, and it goes on behind them")
        told = told_fields(done)
        assert fields_in(out) == told > 0


@needs_mount
def test_a_disk_with_no_room_for_the_report(
    tmp_path: Path,
    cellgate_process: Process,
    cellgate: Callable[..., Result],
    arguments: Callable[[Path], list[object]],
    read_once: Path,
) -> None:
    sizes = [(read_once / name).stat().st_size for name in ("slide.sqlite", "report.html")]
    with small_disk(tmp_path / "disk", sum(sizes)) as disk:
        out = disk / "out"
        out.mkdir()
        shutil.copy(read_once / "slide.sqlite", out)  # while it is read, it takes more room than that
        (disk / "filler").write_bytes(bytes(sizes[1] // 2))
        message = last_line(cellgate_process(*arguments(out)))
        assert message == (
            f"error: {out / 'report.html'}: the report cannot be written (No space left on device); "
            f"the record is kept, free some space and run 'cellgate report {out}'"
        )
        assert [file.name for file in out.iterdir()] == ["slide.sqlite"]
        moved = Path(shutil.copytree(out, tmp_path / "moved"))
    written = cellgate("report", moved)
    assert written.exit_code == 0
    assert written.stdout.splitlines()[-1] == f"report {moved / 'report.html'}"
    assert "INCOMPLETE" not in (moved / "report.html").read_text()
    with SlideRecord.open(moved / "slide.sqlite") as record:
        assert record.counts().fields == 3
        assert record.header().finished


def limited(size: int) -> Callable[[], None]:
    """Let no file of a process grow beyond so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("share", [0.001, 0.5])
def test_files_that_may_not_grow(
    tmp_path: Path,
    cellgate_process: Process,
    arguments: Callable[[Path], list[object]],
    read_once: Path,
    share: float,
) -> None:
    """The same through a limit that needs no root: SQLite meets an error of its own kind, disk I/O."""
    out = tmp_path / "out"
    limit: Any = limited(int(share * (read_once / "slide.sqlite").stat().st_size))
    done = cellgate_process(*arguments(out), preexec_fn=limit)
    message = last_line(done)
    assert message.startswith(f"error: {out / 'slide.sqlite'}: cannot be written (")
    assert "; free some space" in message
    told = told_fields(done)
    if share < 0.1:
        assert list(out.iterdir()) == []
    else:
        assert fields_in(out) == told > 0
        assert "INCOMPLETE" in (out / "report.html").read_text()


def test_what_the_file_has_no_room_for_stays_in_the_log(
    tmp_path: Path,
    cellgate_process: Process,
    arguments: Callable[[Path], list[object]],
    read_once: Path,
) -> None:
    out = tmp_path / "out"
    limit: Any = limited(int(0.8 * (read_once / "slide.sqlite").stat().st_size))
    done = cellgate_process(*arguments(out), preexec_fn=limit)
    assert done.returncode == 0, done.stderr
    with SlideRecord.open(out / "slide.sqlite") as record:
        assert record.counts().fields == told_fields(done) == 3
        assert record.header().finished
