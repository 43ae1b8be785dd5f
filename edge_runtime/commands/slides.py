"""`cellgate read`, `report`, `review`, `replay` and `export`: a slide, from its frames on."""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.bundle.classifier import Classifier, Provider
from edge_runtime.bundle.files import default_bundle
from edge_runtime.clock import doubt, now
from edge_runtime.commands.device import enter_reading
from edge_runtime.commands.options import (
    bundle_option,
    finite,
    json_option,
    language_option,
    provider_option,
    threads_option,
)
from edge_runtime.console import answer, tell, to_json
from edge_runtime.errors import SourceError
from edge_runtime.sources.frames import EVERY_SECONDS, PATIENCE_SECONDS
from edge_runtime.statistics.stopping import DEFAULT, PRESETS

if TYPE_CHECKING:
    from edge_runtime.exchange.exporting import Form
    from edge_runtime.report.plain import Look
    from edge_runtime.report.summary import SlideSummary


@click.command()
@click.argument("source")
@bundle_option
@click.option("--slide", required=True, help="The slide's code; no patient's name.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for record and report.")
@click.option("--operator", default="", help="Who reads the slide: initials or a code.")
@click.option("--fields", type=click.IntRange(1), help="Stop after so many fields.")
@click.option(
    "--until",
    type=click.Choice(tuple(PRESETS)),
    help="Stop when so much was read; a camera needs this or --fields. The verdict asks for "
    f"'{DEFAULT}' if left out.",
)
@click.option(
    "--every",
    type=click.FloatRange(0),
    callback=finite,
    default=EVERY_SECONDS,
    show_default=True,
    help="Seconds between fields of a video or camera.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0, min_open=True),
    default=PATIENCE_SECONDS,
    show_default=True,
    help="Seconds for which a camera or stream may show nothing new.",
)
@language_option
@provider_option
@threads_option
@json_option
def read(
    source: str,
    bundle: Path | None,
    slide: str,
    out: Path,
    operator: str,
    fields: int | None,
    until: str | None,
    every: float,
    patience: float,
    language: str,
    provider: Provider,
    threads: int | None,
    as_json: bool,
) -> None:
    """Read a slide: a folder, zip, video, camera number, stream or simulated:fields=12,seed=5."""
    from edge_runtime.record.readings import FieldReading
    from edge_runtime.report.plain import one_line
    from edge_runtime.slide.progress import Progress
    from edge_runtime.slide.reading import REPORT, read_slide

    if doubt(now()):
        tell(f"note: {doubt(now())}")
    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    limits = classifier.bundle.manifest.gates
    progress = Progress(PRESETS[until or DEFAULT], time.monotonic())

    def tell_look(look: "Look") -> None:
        tell(one_line(look, limits))
        if isinstance(look, FieldReading) and sys.stderr.isatty():
            progress.add(look)
            tell(f"  {progress.told(time.monotonic())}")

    summary = read_slide(
        source,
        classifier,
        slide,
        out,
        limit=fields,
        until=until,
        operator=operator,
        every=every,
        patience=patience,
        on_field=tell_look,
        language=language,
    )
    enter_reading(out)
    _show(summary, out / REPORT, language, as_json=as_json)
    if summary.unread:
        raise SourceError(f"{summary.header.source}: could not be read: {summary.unread}")


def _show(summary: "SlideSummary", report: Path, language: str, *, as_json: bool) -> None:
    """A slide in numbers, and where its report lies; as JSON, `SlideSummary` with "report" beside it."""
    from edge_runtime.report.plain import lines_of
    from edge_runtime.report.texts import texts_in

    if as_json:
        answer(to_json({**asdict(summary), "report": str(report)}, indent=2))
        return
    for line in lines_of(summary, texts_in(language)):
        answer(line)
    answer(f"report {click.format_filename(report)}")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@language_option
@json_option
def report(out: Path, language: str, as_json: bool) -> None:
    """Write the report of a slide again, from the record that 'read' left in a folder."""
    from edge_runtime.record.slide_record import RECORD, SlideRecord
    from edge_runtime.report.page import write_report
    from edge_runtime.slide.reading import REPORT

    with SlideRecord.open(out / RECORD) as record:
        summary = write_report(record, out / REPORT, language)
    _show(summary, out / REPORT, language, as_json=as_json)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(("csv", "json", "fhir", "relabel")), required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="File or new folder to write.")
def export(folder: Path, form: "Form", out: Path) -> None:
    """Write a slide that was read for other programs: tables, JSON, FHIR R4, or reviewed cells to train on.

    FOLDER is one that 'read' wrote; csv and relabel make a folder, json and fhir a file.
    """
    from edge_runtime.exchange.exporting import export_slide

    for line in export_slide(folder, form, out):
        answer(line)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--reviewer", required=True, help="Who looks: initials or a code.")
@click.option("--calls", type=click.Path(path_type=Path), help="CSV field,cell,answer[,remark] to take over.")
@click.option("--cell", "only", metavar="FIELD:CELL", help="One cell, by its numbers in the report.")
@click.option("--again", is_flag=True, help="Look once more at cells that were called.")
@language_option
def review(
    out: Path, reviewer: str, calls: Path | None, only: str | None, again: bool, language: str
) -> None:
    """Look at a slide's doubtful cells, and say what they are; the report is written again.

    OUT is a folder that 'read' wrote. Suspects come first, then other rejected cells, then parasitized ones,
    the least sure first. What is said stands beside the classifier's answer, never over it.
    """
    from edge_runtime.record.slide_record import RECORD, SlideRecord
    from edge_runtime.report.page import write_report
    from edge_runtime.review.calls import call_listed
    from edge_runtime.review.queue import key_of, queue
    from edge_runtime.review.session import review as look
    from edge_runtime.slide.reading import REPORT

    with SlideRecord.open_for_calls(out / RECORD) as record:
        if calls:
            called = call_listed(record, calls, reviewer=reviewer)
        else:
            keys = [key_of(record, only)] if only else queue(record, again=again)
            called = look(record, keys, reviewer)
        summary = write_report(record, out / REPORT, language)
    tell(f"{called} cells called by {reviewer}")
    _show(summary, out / REPORT, language, as_json=False)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@bundle_option
@provider_option
@threads_option
@json_option
def replay(out: Path, bundle: Path | None, provider: Provider, threads: int | None, as_json: bool) -> None:
    """Judge the cells of a slide that was read once more; exit code 1 if anything is otherwise.

    OUT is a folder that 'read' wrote. The record must be as it was written, the bundle the one that read the
    slide, and the report what the record says.
    """
    from edge_runtime.slide.replay import replay_slide

    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    found = replay_slide(out, classifier)
    if as_json:
        answer(to_json({**asdict(found), "passed": found.passed}, indent=2))
    else:
        for line in (*found.misfits, *found.differing, *filter(None, [found.report])):
            answer(line)
        answer(
            f"{found.cells} cells, {len(found.differing)} answered otherwise; the record and its report are "
            f"{'as they were' if found.passed else 'NOT as they were'}, on {found.provider}"
        )
    sys.exit(0 if found.passed else 1)
