"""Reading a slide: every cell of every field ends in the record, whatever its answer."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.preprocessing import masked_crop
from edge_runtime.cells.segmentation import Cell, segment, segmentation
from edge_runtime.decision import table
from edge_runtime.errors import SourceError
from edge_runtime.fields import gates
from edge_runtime.record.readings import FieldReading, applied_tests
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.summary import summarise
from edge_runtime.simulator import SimulatedField
from edge_runtime.slide import judging, reading
from edge_runtime.slide.judging import read_field
from edge_runtime.slide.reading import read_slide
from edge_runtime.sources.items import SkippedFrame


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, slide_folder: Path, classifier: Classifier) -> Path:
    """A slide that was read. Not to be changed."""
    folder = tmp_path_factory.mktemp("read") / "deep" / "out"
    read_slide(str(slide_folder), classifier, "S-1", folder)
    return folder


def test_a_reading_leaves_record_and_report_alone(out: Path) -> None:
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "slide.sqlite"]


def test_the_header_tells_what_decided(out: Path, classifier: Classifier, slide_folder: Path) -> None:
    with SlideRecord.open(out / "slide.sqlite") as record:
        header = record.header()
    assert (header.slide, header.source) == ("S-1", str(slide_folder))
    assert header.bundle == classifier.bundle.title
    assert header.bundle_digest == classifier.bundle.digest
    assert header.tests == applied_tests(classifier.bundle.manifest.detector)
    assert {test.name: test.limit for test in header.tests} == classifier.bundle.manifest.detector.limits
    assert header.provider == "CPUExecutionProvider"
    assert header.started.endswith("+00:00")
    assert header.finished is not None
    assert header.finished >= header.started


def test_every_cell_that_was_found_is_recorded(
    out: Path, fields: tuple[SimulatedField, ...], slide_folder: Path
) -> None:
    with SlideRecord.open(out / "slide.sqlite") as record:
        recorded = list(record.fields())
    assert [f.number for f in recorded] == [1, 2, 3]
    assert [f.name for f in recorded] == [str(slide_folder / f"field-{n}.png") for n in (1, 2, 3)]
    for found, true in zip(recorded, fields, strict=True):
        assert (found.width, found.height) == (640, 480)
        assert sorted(cell.box for cell in found.cells) == sorted(c.box for c in segment(true.frame))


def test_rejected_cells_are_kept_with_their_crop_and_values(out: Path) -> None:
    with SlideRecord.open(out / "slide.sqlite") as record:
        cells = [cell for field in record.fields() for cell in field.cells]
        counts, tests = record.counts(), record.header().tests
    assert [test.name for test in tests] == [test.name for test in table.TESTS]
    rejected = [cell for cell in cells if cell.status == "rejected"]
    assert len(rejected) == counts.rejected >= 5  # two white cells, platelets
    assert {reason: n for reason, n in counts.reasons.items() if n} == Counter(c.reason for c in rejected)
    for cell in cells:
        if cell.status != "not-judged":
            asked = [t.name for t in tests if t.name != table.CERTAINTY or cell.label == "parasitized"]
            assert list(cell.values) == asked
            failed = [test.reason for test in cell.failed(tests)]
            assert cell.reason == next(iter(failed), "")
            assert bool(failed) == (cell.status == "rejected")
            assert len(cell.confidences) == 5
            assert cell.label in ("uninfected", "parasitized")
            assert cell.status in (cell.label, "rejected")
            assert 0.5 <= cell.probability <= 1
            crop = cv2.imdecode(np.frombuffer(cell.crop, np.uint8), cv2.IMREAD_COLOR)
            assert crop.shape[:2] == (cell.box[3], cell.box[2])
    assert len(cells) == counts.uninfected + counts.parasitized + counts.rejected + counts.not_judged


def test_a_recorded_crop_is_decided_the_same_again(out: Path, classifier: Classifier) -> None:
    with SlideRecord.open(out / "slide.sqlite") as record:
        judged = [cell for cell in next(record.fields()).cells if cell.status != "not-judged"]
    decoded = [cv2.imdecode(np.frombuffer(cell.crop, np.uint8), cv2.IMREAD_COLOR) for cell in judged]
    again = classifier.decide([cv2.cvtColor(crop, cv2.COLOR_BGR2RGB) for crop in decoded])
    for number, cell in enumerate(judged):
        found = again.values_of(number)
        assert found.keys() == cell.values.keys() - {table.SMALL, table.LARGE}  # of a crop no frame is known
        assert found == pytest.approx({name: cell.values[name] for name in found}, rel=1e-4, abs=1e-4)


def test_the_record_is_plain_sqlite_that_others_can_read(out: Path) -> None:
    with sqlite3.connect(out / "slide.sqlite") as connection:
        rows = connection.execute(
            "SELECT \"values\", confidences FROM cell WHERE status = 'rejected'"
        ).fetchall()
    connection.close()
    assert rows
    assert all(len(json.loads(confidences)) == 5 for _, confidences in rows)
    named = {test.name for test in table.TESTS}
    assert all(named - {table.CERTAINTY} <= set(json.loads(values)) <= named for values, _ in rows)


def test_counts_returned_are_those_recorded(out: Path, slide_folder: Path, classifier: Classifier) -> None:
    seen: list[FieldReading | SkippedFrame] = []
    summary = read_slide(
        slide_folder, classifier, "S-2", str(out.parent / "again"), limit=2, on_field=seen.append
    )
    counts = summary.counts
    assert counts.fields == len(seen) == 2
    statuses = [cell.status for field in seen if isinstance(field, FieldReading) for cell in field.cells]
    assert counts.uninfected == statuses.count("uninfected")
    assert counts.parasitized == statuses.count("parasitized")
    assert counts.rejected == statuses.count("rejected")
    assert counts.not_judged == statuses.count("not-judged")
    judged = (counts.whole - counts.suspect, counts.whole_rejected - counts.suspect)
    assert (summary.group.cells, summary.group.rejected) == judged
    with SlideRecord.open(str(out.parent / "again" / "slide.sqlite")) as record:
        assert summarise(record) == summary


def test_an_interrupted_reading_keeps_and_reports_what_was_read(
    tmp_path: Path, slide_folder: Path, classifier: Classifier
) -> None:
    def stop(field: FieldReading | SkippedFrame) -> None:
        if isinstance(field, FieldReading) and field.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_slide(str(slide_folder), classifier, "S-3", tmp_path / "out", on_field=stop)
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert record.counts().fields == 2
        assert record.header().finished is None
    assert "INCOMPLETE" in (tmp_path / "out" / "report.html").read_text()


def test_a_source_that_is_not_there_leaves_nothing(tmp_path: Path, classifier: Classifier) -> None:
    with pytest.raises(SourceError):
        read_slide(str(tmp_path / "gone"), classifier, "S", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_slide_without_a_frame_that_could_be_read_says_so(tmp_path: Path, classifier: Classifier) -> None:
    folder = tmp_path / "slide"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_text("no image")
    summary = read_slide(str(folder), classifier, "S", tmp_path / "out")
    assert summary.unread == "none of its frames counts: 2 skipped"
    assert (tmp_path / "out" / "report.html").exists()
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert [skipped.name for skipped in record.skipped()] == [str(folder / n) for n in ("a.png", "b.png")]


def test_why_a_cell_was_not_judged_is_recorded(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = np.full((200, 300, 3), 180, np.uint8)
    frame[100:140, 10:50] = 0  # dirt as black as what is masked out
    whole = np.ones((40, 40), bool)
    found = [
        Cell((10, 10, 40, 40), whole, at_edge=True, clump=True),
        Cell((60, 10, 40, 40), whole, at_edge=False, clump=True),
        Cell((110, 10, 15, 12), np.ones((12, 15), bool), at_edge=False, clump=False),
        Cell((10, 100, 40, 40), whole, at_edge=False, clump=False),
        Cell((160, 10, 40, 40), whole, at_edge=False, clump=False),
    ]
    segmented = replace(segmentation(frame), cells=found)
    monkeypatch.setattr(judging, "segmentation", lambda _: segmented)
    monkeypatch.setattr(gates, "stopped_by", lambda *_: [])
    readings = read_field(frame, classifier).cells
    assert [r.reason for r in readings[1:]] == ["edge", "clump", "too-small", "too-dark"]
    assert all(r.status == "not-judged" and r.label == "" for r in readings[1:])
    assert readings[0].box == (160, 10, 40, 40)
    assert readings[0].status == "rejected"  # a grey square


def test_a_field_without_cells_does_not_count(classifier: Classifier) -> None:
    judged = read_field(np.full((300, 400, 3), 200, np.uint8), classifier)
    assert (judged.reason, judged.cells) == ("no-cells", ())


def test_reading_a_field_decides_as_scoring_its_crops(
    classifier: Classifier, fields: tuple[SimulatedField, ...]
) -> None:
    frame = fields[1].frame
    readings = {r.box: r for r in read_field(frame, classifier).cells if r.status != "not-judged"}
    cells = [cell for cell in segment(frame) if cell.box in readings]
    decisions = classifier.decide([masked_crop(frame, cell.box, cell.mask) for cell in cells])
    for index, cell in enumerate(cells):
        expected = (
            "rejected" if decisions.rejected[index] else ("uninfected", "parasitized")[decisions.label[index]]
        )
        assert readings[cell.box].status == expected


@pytest.mark.parametrize("shape", [(64, 64), (64, 3000), (2400, 64)])
def test_a_frame_of_any_shape_is_looked_at_and_reported(
    tmp_path: Path, classifier: Classifier, shape: tuple[int, int]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "odd.png"), image)
    summary = read_slide(tmp_path / "odd.png", classifier, "S", tmp_path / "out")
    assert summary.unread.startswith("none of its frames counts: 1 not counted (1 ")
    assert (tmp_path / "out" / "report.html").exists()


def test_names_that_no_encoding_explains_do_not_stop_a_reading(
    tmp_path: Path, classifier: Classifier, slide_folder: Path
) -> None:
    folder = tmp_path / "slide-\udce9"
    try:
        folder.mkdir()
        (folder / "field-\udce9.png").write_bytes((slide_folder / "field-1.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    read_slide(str(folder), classifier, "caf\udce9", tmp_path / "out")
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert record.header().slide == "caf\ufffd"
        assert record.header().source.endswith("slide-\ufffd")
        assert next(record.fields()).name.endswith("field-\ufffd.png")


def test_a_streams_password_is_not_recorded(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reading, "frames", lambda *_, **__: (item for item in [SkippedFrame("x", "y")]))
    read_slide("rtsp://nurse:secret@10.0.0.1/live", classifier, "S", tmp_path / "out")
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert record.header().source == "rtsp://10.0.0.1/live"


def test_the_command_line_prints_fields_counts_bundle_and_report(
    cellgate: Callable[..., Result], slide_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    result = cellgate("read", slide_folder, "--bundle", tiny_bundle, "--slide", "S", "--out", tmp_path / "o")
    assert result.exit_code == 0
    told = result.stderr.splitlines()
    assert len(told) == 3
    assert told[0].startswith(f"field 1 ({slide_folder / 'field-1.png'}): ")
    lines = result.stdout.splitlines()
    told = [line.split("  ") for line in lines if not line.startswith("   ")]
    assert [line[0] for line in told[:7]] == [
        "uninfected",
        "parasitized",
        "rejected",
        "not judged",
        "fields",
        "stopped",
        "skipped",
    ]
    assert [line[-1].strip() for line in told[4:7]] == ["3", "0", "0"]
    reasons = [line.split(maxsplit=1)[1] for line in lines if line.startswith("   ")]
    every = dict.fromkeys(f"{test.reason.code}: {test.reason.sentence}" for test in table.TESTS)
    assert reasons == list(every)
    end = lines.index("NOT READABLE, not reviewed by a person")
    assert lines[end + 1].startswith("  3 of at least 10 fields; read on")
    assert not any(line.startswith("share") for line in lines)
    assert "bundle tiny 1 (" in result.stdout
    assert result.stdout.splitlines()[-1] == f"report {tmp_path / 'o' / 'report.html'}"
