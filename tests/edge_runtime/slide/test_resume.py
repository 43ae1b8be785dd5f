"""A reading that was cut off goes on: the same command reads what is left, and the end is the same."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.errors import SourceError
from edge_runtime.record.database import reserved
from edge_runtime.record.readings import FieldReading
from edge_runtime.report.summary import SlideSummary
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.reading import read_slide
from edge_runtime.sources.items import Frame, SkippedFrame, SourceNote

Look = FieldReading | SkippedFrame | SourceNote
WIDTH, HEIGHT, DIRT = 640, 480, (300, 200)
TIMES = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\+00:00| UTC)|<code>[0-9a-f]{64}</code>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Overlaps, a place that comes back, one out of focus, one unreadable, and dirt on them all."""
    film = simulate_field(21, width=4 * WIDTH, height=2 * HEIGHT, cells=8 * 14).frame
    made = tmp_path_factory.mktemp("source")
    places = [(0, 0), (500, 0), (0, 0), (1200, 0), (1900, 0), (0, 480), (700, 480), (1400, 480), (1900, 480)]
    for number, (left, top) in enumerate(places):
        frame = cv2.circle(film[top : top + HEIGHT, left : left + WIDTH].copy(), DIRT, 22, (150, 90, 140), -1)
        save(made / f"{number}.png", np.asarray(cv2.GaussianBlur(frame, (0, 0), 0.8), np.uint8))
    save(made / "3 soft.png", cv2.GaussianBlur(film[HEIGHT:, :WIDTH], (0, 0), 9))
    (made / "4 torn.png").write_bytes(b"\x89PNG\r\n")
    return made


def save(file: Path, frame: NDArray[np.uint8]) -> None:
    assert cv2.imwrite(str(file), frame[..., ::-1])


@pytest.fixture(scope="module")
def video(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same looks, three seconds each."""
    file = tmp_path_factory.mktemp("video") / "slide.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 1, (WIDTH, HEIGHT))
    for path in sorted(folder.glob("?.png")):
        frame = cv2.imread(str(path))
        assert frame is not None
        for _ in range(3):
            writer.write(frame)
    writer.release()
    return file


class Cut(BaseException):
    """As Ctrl-C, between two looks."""


def read(
    source: Path, out: Path, classifier: Classifier, told: Callable[[Look], None] = lambda _: None
) -> SlideSummary:
    return read_slide(source, classifier, "S", out, every=0.5, on_field=told)


def content(out: Path) -> dict[str, Any]:
    """All that a record holds, without times, and the report."""
    with sqlite3.connect(out / "slide.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {
            name: [dict(zip([c[0] for c in rows.description], row, strict=True)) for row in rows.fetchall()]
            for name in ("slide", "field", "cell", "skipped", "note")
            if (rows := connection.execute(f"SELECT * FROM {name} ORDER BY rowid"))
        }
    connection.close()
    for row in tables["slide"]:
        assert row.pop("finished")
        row.pop("started")
    for row in tables["field"]:
        row.pop("read_at")
    return {**tables, "report": TIMES.sub("then", (out / "report.html").read_text())}


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_wherever_it_is_cut_off_the_end_is_the_same(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, classifier: Classifier
) -> None:
    source = request.getfixturevalue(kind)
    looks: list[Look] = []
    read(source, tmp_path / "whole", classifier, looks.append)
    expected = content(tmp_path / "whole")
    dirty = [cell for cell in expected["cell"] if cell["reason"] == "dirt"]
    assert dirty
    assert len({cell["field"] for cell in dirty}) > 2
    for number in range(1, len(looks) + 1):
        out, seen = tmp_path / f"cut {number}", []

        def cut(look: Look, seen: list[Look] = seen, number: int = number) -> None:
            seen.append(look)
            if len(seen) == number:
                raise Cut

        with pytest.raises(Cut):
            read(source, out, classifier, cut)
        read(source, out, classifier, seen.append)
        assert content(out) == expected
        names = [[look.name for look in told] for told in (seen, looks)]
        assert names[0] == names[1]  # nothing is told, and judged, twice
        shutil.rmtree(out)


KILLED = """
import os, sys, traceback
from pathlib import Path
from edge_runtime.bundle.classifier import Classifier
from edge_runtime.record import database
from edge_runtime.slide.reading import read_slide

source, bundle, out, instants = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
connect = database.connect

def counting(path, at):
    connection, left = connect(path), [at]
    def statement(_):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)  # as SIGKILL: nothing is cleaned up
    connection.set_trace_callback(statement)
    return connection

for instant in [*map(int, instants), 10**9]:
    child = os.fork()
    if child == 0:
        from edge_runtime.record import slide_record as record
        record.connect = lambda path: counting(path, instant)
        try:
            read_slide(source, Classifier.open(bundle, threads=1), "S", out, every=0.5)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, flush=True)
    if code != 9:
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_instant_it_opens_and_goes_on(
    folder: Path, tiny_bundle: Path, tmp_path: Path, classifier: Classifier
) -> None:
    read(folder, tmp_path / "whole", classifier)
    instants = [str(number) for number in (1, 2, 5, 9, 11, 14, 17, 21, 26, 31, 33, 36, 38, 41, 43, 46, 48)]
    command = [sys.executable, "-c", KILLED, folder, tiny_bundle, tmp_path / "out", *instants]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    codes = done.stdout.split()
    assert codes.count("9") >= 8
    assert codes[-1] == "0", done.stderr
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_reading_that_ended_without_its_report_gets_it(
    folder: Path, tmp_path: Path, classifier: Classifier
) -> None:
    whole, again = read(folder, tmp_path / "out", classifier), []
    before = content(tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    assert read(folder, tmp_path / "out", classifier, again.append) == whole
    assert content(tmp_path / "out") == before
    assert again == []
    with pytest.raises(SourceError, match="holds a slide already; choose another --out"):
        read(folder, tmp_path / "out", classifier)


def test_another_reading_of_the_same_folder_is_told_and_harms_nothing(
    folder: Path, tmp_path: Path, classifier: Classifier
) -> None:
    out = tmp_path / "out"

    def second(look: Look) -> None:
        script = (
            "import sys; from edge_runtime.__main__ import main;"
            f"sys.argv[1:] = {['read', str(folder), '--slide', 'S', '--out', str(out), '--bundle']!r}"
            f" + [{str(classifier.bundle.path)!r}]; main()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "another program reads a slide into it; wait for its end" in done.stderr
        raise Cut

    with pytest.raises(Cut):
        read(folder, out, classifier, second)
    read(folder, out, classifier)
    read(folder, tmp_path / "whole", classifier)
    assert content(out) == content(tmp_path / "whole")


def test_the_folder_is_free_again_when_a_reading_has_ended(tmp_path: Path) -> None:
    with reserved(tmp_path), pytest.raises(SourceError, match="another program"), reserved(tmp_path):
        pass
    with reserved(tmp_path):
        pass


@pytest.fixture
def begun(folder: Path, tmp_path: Path, classifier: Classifier) -> Path:
    def cut(look: Look) -> None:
        raise Cut

    with pytest.raises(Cut):
        read(folder, tmp_path / "out", classifier, cut)
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"slide": "T"}, "the beginning of a slide with slide S, which this one, T, cannot go on with"),
        ({"until": "who"}, "until quick, which this one, who, cannot"),
        ({"every": 3.0}, "every 0.5, which this one, 3.0, cannot"),
    ],
)
def test_another_slide_does_not_go_on_with_it(
    begun: Path, folder: Path, classifier: Classifier, other: dict[str, Any], told: str
) -> None:
    before = (begun / "slide.sqlite").read_bytes()
    given = {"slide": "S", "every": 0.5, **other}
    with pytest.raises(SourceError, match=told):
        read_slide(folder, classifier, out=begun, **given)
    assert (begun / "slide.sqlite").read_bytes() == before


def test_another_source_does_not_go_on_with_it(begun: Path, video: Path, classifier: Classifier) -> None:
    with pytest.raises(SourceError, match=r"source .*, which this one, .*slide\.mp4, cannot go on"):
        read(video, begun, classifier)


def test_what_is_left_of_a_start_is_begun_anew(folder: Path, tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "slide.sqlite").write_bytes(b"")
    assert read(folder, tmp_path / "out", classifier).header.finished


def test_a_camera_goes_on_without_counting_again_what_was_counted(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other pictures of the same places, at other times."""
    film = simulate_field(22, width=3 * WIDTH, height=HEIGHT, cells=3 * 24).frame
    shots = [film[:, left : left + WIDTH] for left in (0, WIDTH, 2 * WIDTH)]
    rng = np.random.default_rng(0)

    def sees(*places: int) -> Callable[..., Any]:
        def looks(*_: object, **__: object) -> Any:
            for number, place in enumerate(places):
                noisy = np.clip(shots[place] + rng.normal(0, 2, shots[place].shape), 0, 255).astype(np.uint8)
                yield Frame(f"camera 0 at {number}", noisy, float(number))

        return looks

    def cut(look: Look) -> None:
        if isinstance(look, FieldReading) and look.number == 2:
            raise Cut

    monkeypatch.setattr("edge_runtime.slide.reading.frames", sees(0, 1))
    with pytest.raises(Cut):
        read_slide("0", classifier, "S", tmp_path / "out", limit=3, on_field=cut)
    monkeypatch.setattr("edge_runtime.slide.reading.frames", sees(1, 0, 1, 2, 0))
    summary = read_slide("0", classifier, "S", tmp_path / "out", limit=3)
    assert (summary.counts.fields, summary.header.repeats) == (3, 3)
