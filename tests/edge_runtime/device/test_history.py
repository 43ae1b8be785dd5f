"""The history of a device: every slide once, whole, whoever comes at the same time and whatever fails."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.device.history import HISTORY, enter, note_recalibration, read_history
from edge_runtime.errors import SourceError, StorageError
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.report.summary import SlideSummary
from edge_runtime.slide.reading import read_slide


@pytest.fixture(scope="module")
def read_once(
    tmp_path_factory: pytest.TempPathFactory, slide_folder: Path, classifier: Classifier
) -> tuple[Path, SlideSummary]:
    """A slide that was read. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("slides") / "one"
    return out, read_slide(slide_folder, classifier, "S1", out)


@pytest.fixture
def slides(read_once: tuple[Path, SlideSummary], tmp_path: Path) -> Path:
    """A folder that holds this slide, and others with the same fields."""
    for number in (1, 2, 3):
        folder = tmp_path / "slides" / f"S{number}"
        folder.mkdir(parents=True)
        shutil.copy(read_once[0] / RECORD, folder)
        change(folder, f"slide = 'S{number}'")
    return tmp_path / "slides"


def change(slide: Path, what: str) -> None:
    with sqlite3.connect(slide / RECORD) as connection:
        connection.execute(f"UPDATE slide SET {what}")
    connection.close()


def test_an_entry_says_what_the_slide_came_to(slides: Path, read_once: tuple[Path, SlideSummary]) -> None:
    content = (slides / "S1" / RECORD).read_bytes()
    assert enter(slides / "S1")
    assert (slides / "S1" / RECORD).read_bytes() == content
    (entry,) = read_history(slides).entries
    summary = read_once[1]
    assert (entry.number, entry.slide, entry.folder, entry.kind) == (1, "S1", "S1", "patient")
    assert (entry.bundle_digest, entry.verdict) == (summary.header.bundle_digest, summary.verdict.word)
    assert (entry.judged, entry.asked) == (summary.counts.judged, summary.counts.asked)
    assert (entry.called, entry.fields) == (summary.counts.parasitized, summary.counts.fields)
    assert (entry.whole, entry.rejected) == (summary.group.cells, summary.group.rejected)
    assert entry.false_positives == summary.header.false_positives
    with SlideRecord.open(slides / "S1" / RECORD) as record:
        fields = [field for field in record.fields() if not field.reason]
    assert entry.sharpness == np.median([field.values["sharpness"] for field in fields])
    assert entry.warmth == np.median([field.values["warmth"] for field in fields])
    whole = [
        cell.values["confidence"]
        for field in fields
        for cell in field.cells
        if cell.values and cell.reason not in {"smaller", "larger", "not-one-cell"}
    ]
    assert entry.confidence == np.median(whole)


def test_a_slide_is_entered_once_wherever_its_folder_lies(slides: Path) -> None:
    assert enter(slides / "S1")
    assert not enter(slides / "S1")
    (slides / "S1").rename(slides / "moved")
    assert not enter(slides / "moved")
    assert enter(slides / "S2")
    assert [entry.slide for entry in read_history(slides).entries] == ["S1", "S2"]


def test_whose_slide_it_is_can_be_told_later_and_is_kept_for_its_code(slides: Path) -> None:
    enter(slides / "S1")
    enter(slides / "S2")
    assert not enter(slides / "S1", "quality")
    assert not enter(slides / "S1")
    change(slides / "S3", "slide = 'S1', started = '2026-11-29T08:00:00+00:00'")
    assert enter(slides / "S3")
    assert [entry.kind for entry in read_history(slides).entries] == ["quality", "patient", "quality"]
    with sqlite3.connect(slides / HISTORY) as connection:  # what was told first is not lost
        told = connection.execute("SELECT kind FROM kind WHERE slide = 1").fetchall()
    connection.close()
    assert told == [("patient",), ("quality",)]


def test_a_slide_that_was_not_read_to_its_end_is_not_entered(slides: Path) -> None:
    change(slides / "S1", "finished = NULL")
    with pytest.raises(SourceError, match="was not read to its end"):
        enter(slides / "S1")
    with pytest.raises(SourceError, match="no device history"):
        read_history(slides)


def test_a_recalibration_lies_between_slides(slides: Path) -> None:
    enter(slides / "S1")
    note_recalibration(slides, "kisumu", "b-kisumu 1")
    enter(slides / "S2")
    history = read_history(slides)
    assert [(mark.after, mark.site) for mark in history.recalibrations] == [(1, "kisumu")]
    assert [entry.slide for entry in history.since_recalibration] == ["S2"]


def test_a_slide_without_a_field_is_entered_too(slides: Path) -> None:
    with sqlite3.connect(slides / "S1" / RECORD) as connection:
        connection.execute("UPDATE field SET reason = 'out-of-focus'")
        connection.execute("DELETE FROM cell")
    connection.close()
    enter(slides / "S1")
    (entry,) = read_history(slides).entries
    assert (entry.fields, entry.whole, entry.verdict) == (0, 0, "not-readable")
    assert np.isnan([entry.sharpness, entry.confidence]).all()


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to look at" * 90, b"SQLite format 3\0" * 300]
)
def test_a_damaged_history_is_told_and_not_touched(slides: Path, content: bytes) -> None:
    (slides / HISTORY).write_bytes(content)
    for use in (lambda: enter(slides / "S1"), lambda: read_history(slides)):
        with pytest.raises(SourceError, match=r"no device history or a damaged one .*; move it away"):
            use()
    assert (slides / HISTORY).read_bytes() == content


def test_a_history_of_another_version_is_told(slides: Path) -> None:
    enter(slides / "S1")
    with sqlite3.connect(slides / HISTORY) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SourceError, match="schema 99, but this cellgate has schema 1"):
        enter(slides / "S2")
    with pytest.raises(SourceError, match="schema 99"):
        read_history(slides)


def test_an_empty_file_is_a_history_that_has_not_begun(slides: Path) -> None:
    (slides / HISTORY).touch()
    assert read_history(slides).entries == ()
    assert enter(slides / "S1")


def test_a_history_that_cannot_be_written_is_told(slides: Path) -> None:
    (slides / HISTORY).mkdir()
    with pytest.raises(StorageError, match=r"cannot be written .* slides entered before are kept"):
        enter(slides / "S1")


ENTER = "import sys; from pathlib import Path; from edge_runtime.device.history import enter; "


def entering(*slides: Path) -> subprocess.Popen[str]:
    script = f"{ENTER}[enter(Path(slide)) for slide in sys.argv[1:]]"
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, slides)], stderr=subprocess.PIPE, text=True
    )


def test_two_readers_at_once_are_both_entered(slides: Path) -> None:
    both = [entering(slides / name) for name in ("S1", "S2", "S3")]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0)] * 3
    assert sorted(entry.slide for entry in read_history(slides).entries) == ["S1", "S2", "S3"]


def test_whoever_is_killed_while_entering_leaves_all_or_nothing(slides: Path) -> None:
    """Killed inside the transaction, before anything of it was committed, and at other instants."""
    enter(slides / "S1")
    script = (
        f"{ENTER}import os, signal, edge_runtime.device.history as history\n"
        "history._kind_before = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "enter(Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(slides / "S2")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [entry.slide for entry in read_history(slides).entries] == ["S1"]
    for delay in np.linspace(0.2, 1.2, 6):
        process = entering(slides / "S2")
        time.sleep(delay)
        process.kill()
        process.communicate()
        with sqlite3.connect(slides / HISTORY) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        assert len(read_history(slides).entries) in (1, 2)
    enter(slides / "S2")
    assert [entry.slide for entry in read_history(slides).entries] == ["S1", "S2"]


def test_a_history_on_a_locked_card_can_be_read(slides: Path) -> None:
    enter(slides / "S1")
    for path in (slides / HISTORY, slides):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert len(read_history(slides).entries) == 1
    finally:
        slides.chmod(0o755)
    assert sorted(path.name for path in slides.iterdir()) == ["S1", "S2", "S3", HISTORY]
