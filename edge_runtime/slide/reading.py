"""Reading a slide: every look at a source is recorded by what it turns out to be, and a report is written."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.clock import now
from edge_runtime.host import device_id, libraries
from edge_runtime.record.readings import FieldReading, SlideHeader, applied_gates, applied_tests
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.report.estimate import findable_of, rates_of
from edge_runtime.report.page import write_report
from edge_runtime.report.summary import SlideSummary
from edge_runtime.report.texts import DEFAULT as LANGUAGE
from edge_runtime.report.texts import texts_in
from edge_runtime.slide.looking import Looking
from edge_runtime.slide.past import Past
from edge_runtime.sources.frames import EVERY_SECONDS, PATIENCE_SECONDS, frames, is_live, shown_source
from edge_runtime.sources.items import Frame, SkippedFrame, SourceNote
from edge_runtime.sources.names import printable
from edge_runtime.statistics.stopping import DEFAULT, Preset, preset_named
from edge_runtime.version import __version__

REPORT = "report.html"


def read_slide(
    source: str | Path,
    classifier: Classifier,
    slide: str,
    out: str | Path,
    *,
    limit: int | None = None,
    until: str | None = None,
    operator: str = "",
    every: float = EVERY_SECONDS,
    patience: float = PATIENCE_SECONDS,
    on_field: Callable[[FieldReading | SkippedFrame | SourceNote], None] = lambda _: None,
    language: str = LANGUAGE,
) -> SlideSummary:
    """Read a slide into `out`: slide.sqlite, written field by field, and report.html.

    Args:
        source: see `sources.frames`.
        classifier: what decides.
        slide: the slide's code.
        out: folder for record and report. Where it holds the beginning of this very slide, cut off by
            whatever it was, the reading goes on behind it.
        limit: stop after so many fields that count.
        until: stop when enough was read by this preset (see `statistics.stopping.PRESETS`), which the verdict
            then asks for, too. A camera or stream, which have no end, need this or a limit.
        operator: who reads the slide, as initials or a code.
        every: seconds between two looks at a video or a live source.
        patience: seconds for which a live source may show nothing new before the reading ends.
        on_field: called after each frame was recorded, and of whatever happens to the source.
        language: of the report, one of `report.texts.LANGUAGES`.

    Returns:
        What was read, in numbers, and the verdict; everything else is in the record.

    Raises:
        SourceError: no such preset or language; or the source is absent, broken or ended too early: fields
            recorded before are kept and reported.
        StorageError: the disk is full; fields recorded before are kept.
    """
    out = Path(out)
    texts_in(language)  # or it would be refused when all is read
    preset = None if until is None else preset_named(until)
    endless = limit is not None or preset is not None
    looks = frames(source, every=every, patience=patience, endless=endless)
    first = next(looks, None)  # a source that is not there leaves nothing behind
    out.mkdir(parents=True, exist_ok=True)
    header = _header(source, classifier, slide, until or DEFAULT, every, operator)
    unreported = not (out / REPORT).exists()  # as after a power cut between the last field and its report
    begun = SlideRecord.begin(out / RECORD, header, though_finished=unreported)
    with closing(looks), begun as record:
        if record.header().finished is None:
            looking = Looking(classifier, record, on_field, Past(record, shown_again=not is_live(source)))
            waits = patience if is_live(source) else None
            with _reported(record, out, language):
                every_look = chain([] if first is None else [first], looks)
                _look_through(every_look, looking, limit=limit, preset=preset, patience=waits)
        return write_report(record, out / REPORT, language)


@contextmanager
def _reported(record: SlideRecord, out: Path, language: str) -> Iterator[None]:
    """Write the report of what was read, however the reading ends."""
    try:
        yield
    except BaseException:  # also Ctrl-C
        with suppress(Exception):  # the first failure is the one to be told
            write_report(record, out / REPORT, language)
        raise


def _look_through(
    looks: Iterable[Frame | SkippedFrame | SourceNote],
    looking: Looking,
    *,
    limit: int | None,
    preset: Preset | None,
    patience: float | None,
) -> None:
    def ended() -> bool:
        counted = limit is not None and looking.counted >= limit
        return counted or (preset is not None and looking.enough(preset))

    try:
        if patience is not None:
            looking.remember()
        for item in [] if ended() else looks:
            if isinstance(item, SourceNote):
                looking.note(item)
            elif isinstance(item, SkippedFrame):
                looking.skip(item)
            else:
                looking.look(item, patience=patience)
            if ended():
                break
    except BaseException:
        with suppress(Exception):
            looking.finish(whole=False)
        raise
    looking.finish(whole=True)


def _header(
    source: str | Path, classifier: Classifier, slide: str, until: str, every: float, operator: str
) -> SlideHeader:
    manifest = classifier.bundle.manifest
    sensitivity, false_positives = rates_of(manifest.performance.counts)
    return SlideHeader(
        slide=printable(slide),
        source=shown_source(str(source)),
        bundle=classifier.bundle.title,
        bundle_digest=classifier.bundle.digest,
        tests=applied_tests(manifest.detector),
        gates=applied_gates(manifest.gates),
        classes=manifest.classes,
        parasitized=manifest.parasitized,
        usual=manifest.calibrated.alpha,
        correlation=manifest.calibrated.correlation,
        provider=classifier.provider,
        software=f"cellgate {__version__}",
        started=now(),
        sensitivity=sensitivity,
        false_positives=false_positives,
        findable=findable_of(manifest.performance.counts),
        until=until,
        every=every,
        operator=printable(operator),
        device=device_id(),
        libraries=libraries(),
    )
