"""Reading a slide: frames in, cells found, judged and recorded field by field."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.cutting import CutCell, NotCut, cut_cells
from edge_runtime.clock import now
from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.errors import SourceError
from edge_runtime.slide.readings import CellReading, FieldReading, SlideHeader, Status, applied_tests
from edge_runtime.slide.record import RECORD, SlideRecord
from edge_runtime.slide.report import write_report
from edge_runtime.slide.summary import SlideSummary, summarise
from edge_runtime.sources.frames import EVERY_SECONDS, Frame, frames, shown_source
from edge_runtime.sources.images import SkippedFrame, printable
from edge_runtime.version import __version__

REPORT = "report.html"
OVERVIEW_WIDTH = 1600  # pixels; a report of fifty fields must still open on a phone
OVERVIEW_QUALITY = 80


def read_slide(
    source: str | Path,
    classifier: Classifier,
    slide: str,
    out: str | Path,
    *,
    limit: int | None = None,
    every: float = EVERY_SECONDS,
    on_field: Callable[[FieldReading | SkippedFrame], None] = lambda _: None,
) -> SlideSummary:
    """Read a slide into `out`: slide.sqlite, written field by field, and report.html.

    Args:
        source: see `sources.frames`.
        classifier: what decides.
        slide: the slide's code.
        out: folder for record and report; must not hold a record yet.
        limit: stop after so many fields.
        every: seconds between fields of a video or camera.
        on_field: called after each frame was recorded.

    Returns:
        What was read, in numbers; everything else is in the record.

    Raises:
        SourceError: the source is absent, broken or ended too early, or no frame of it could be read;
            fields recorded before are kept and reported.
        StorageError: the disk is full; fields recorded before are kept.
    """
    out = Path(out)
    found = frames(source, limit=limit, every=every)
    first = next(found, None)  # a source that is not there leaves nothing behind
    out.mkdir(parents=True, exist_ok=True)
    with SlideRecord.create(out / RECORD, _header(source, classifier, slide)) as record:
        try:
            number = 0
            while first is not None:
                number += _read_one(first, number + 1, classifier, record, on_field)
                first = next(found, None)
            record.finish(now())
            write_report(record, out / REPORT)
            summary = summarise(record)
        except BaseException:  # also Ctrl-C
            with suppress(Exception):  # the first failure is the one to be told
                write_report(record, out / REPORT)
            raise
    if summary.counts.fields == 0:
        skipped = summary.counts.skipped
        raise SourceError(f"{source}: none of its {skipped} frames could be read; see {out / REPORT}")
    return summary


def read_field(frame: NDArray[np.uint8], classifier: Classifier) -> list[CellReading]:
    """Find and judge the cells of one frame.

    Args:
        frame: uint8 [H, W, 3] RGB.
        classifier: what decides.
    """
    manifest = classifier.bundle.manifest
    cut, not_cut = cut_cells(frame, manifest.input.size)
    decisions = classifier.decide_resized([cell.resized for cell in cut])
    readings = [_reading(cell, decisions, index, manifest.classes) for index, cell in enumerate(cut)]
    return readings + [_not_judged(cell) for cell in not_cut]


def _read_one(
    item: Frame | SkippedFrame,
    number: int,
    classifier: Classifier,
    record: SlideRecord,
    on_field: Callable[[FieldReading | SkippedFrame], None],
) -> bool:
    """Record a frame, as a field of this number if it can be judged; whether it can."""
    found = item if isinstance(item, SkippedFrame) else _field(item, number, classifier)
    if isinstance(found, SkippedFrame):
        record.add_skipped(found)
    else:
        record.add_field(found)
    on_field(found)
    return isinstance(found, FieldReading)


def _field(frame: Frame, number: int, classifier: Classifier) -> FieldReading | SkippedFrame:
    """One field with its cells; one that this device cannot work through is left out, the rest goes on."""
    height, width = frame.image.shape[:2]
    try:
        return FieldReading(
            number=number,
            name=frame.name,
            width=width,
            height=height,
            overview=_overview(frame.image),
            read_at=now(),
            cells=tuple(read_field(frame.image, classifier)),
        )
    except (MemoryError, cv2.error) as error:
        return SkippedFrame(frame.name, _why_not_worked_through(error, width, height))


def _why_not_worked_through(error: MemoryError | cv2.error, width: int, height: int) -> str:
    if isinstance(error, MemoryError) or error.code == cv2.Error.StsNoMem:
        size = f"{width}x{height} pixels"
        return f"{size}, too large for this device's memory; cut it into fields of view or save it smaller"
    return f"OpenCV cannot work through it ({error.err}); save it as PNG, or leave it out"


def _reading(cell: CutCell, decisions: Decisions, index: int, classes: tuple[str, ...]) -> CellReading:
    label = int(decisions.label[index])
    rejected = bool(decisions.rejected[index])
    return CellReading(
        box=cell.box,
        status="rejected" if rejected else _accepted(classes[label]),
        reason=decisions.reason(index),
        label=classes[label],
        probability=float(decisions.probabilities[index, label]),
        values=dict(zip((test.name for test in table.TESTS), decisions.values[index].tolist(), strict=True)),
        confidences=tuple(decisions.confidences[index].tolist()),
        crop=_png(cell.crop),
    )


def _accepted(label: str) -> Status:
    return "parasitized" if label == "parasitized" else "uninfected"


def _not_judged(cell: NotCut) -> CellReading:
    nan = float("nan")
    return CellReading(cell.box, "not-judged", cell.reason, "", nan, {}, (), b"")


def _header(source: str | Path, classifier: Classifier, slide: str) -> SlideHeader:
    manifest = classifier.bundle.manifest
    return SlideHeader(
        slide=printable(slide),
        source=shown_source(str(source)),
        bundle=classifier.bundle.title,
        bundle_digest=classifier.bundle.digest,
        tests=applied_tests(manifest.detector),
        usual=manifest.calibrated.alpha,
        correlation=manifest.calibrated.correlation,
        provider=classifier.provider,
        software=f"cellgate {__version__}",
        started=now(),
    )


def _overview(image: NDArray[np.uint8]) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, OVERVIEW_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    quality = [cv2.IMWRITE_JPEG_QUALITY, OVERVIEW_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def _png(crop: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes()
