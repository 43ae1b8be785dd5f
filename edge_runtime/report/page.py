"""The report of a slide: one HTML file that needs no network and no JavaScript to be read.

It depends on the record alone, so the same record gives the same report, byte for byte. The page is
page.html, with pictures.html and page.css beside it; Jinja2 escapes whatever they are given.
"""

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge_runtime.cells.cutting import WHY_NOT_CUT
from edge_runtime.clock import doubt
from edge_runtime.record.readings import FieldReading, by_class
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.colours import PENS
from edge_runtime.report.estimate import percent
from edge_runtime.report.pictures import (
    NumberedCell,
    counted,
    data_uri,
    describe,
    gallery,
    numbered,
    probability,
    thumbnail,
    why,
    words,
)
from edge_runtime.report.summary import SlideSummary, summarise
from edge_runtime.storage import write_whole

RESEARCH_ONLY = "Research use only. Not for use in diagnostic procedures."


def write_report(record: SlideRecord, path: str | Path) -> SlideSummary:
    """Write the report of a slide, whole or not at all.

    Returns:
        The numbers that it shows.

    Raises:
        StorageError: the file cannot be written; a report that was there before is untouched.
    """
    path, summary = Path(path), summarise(record)
    write_whole(
        path,
        render_report(record, summary),
        otherwise=lambda reason: (
            f"the report cannot be written ({reason}); the record is kept, free some space "
            f"and run 'cellgate report {path.parent}'"
        ),
    )
    return summary


def render_report(record: SlideRecord, summary: SlideSummary | None = None) -> str:
    """Return the report of a slide as one HTML page.

    Args:
        record: of the slide.
        summary: its numbers; counted here if None.
    """
    summary = summary or summarise(record)
    cells: dict[str, list[NumberedCell]] = {"parasitized": [], "rejected": []}
    for field in record.fields():
        for cell in numbered(field):
            if cell.reading.status in cells:
                cells[cell.reading.status].append(cell)
    return (
        _environment()
        .get_template("page.html")
        .render(
            header=summary.header,
            counts=summary.counts,
            verdict=summary.verdict,
            estimate=summary.estimate,
            by_class=by_class,
            galleries={status: gallery(found, summary.header.parasitized) for status, found in cells.items()},
            fields=record.fields(),  # read again, one at a time: their pictures together fill the memory
            stopped=record.fields(),
            skipped=record.skipped(),
            notes=record.notes(),
            pens=PENS,
            not_cut=WHY_NOT_CUT,
            research_only=RESEARCH_ONLY,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": _count,
        "counted": counted,
        "data_uri": data_uri,
        "describe": describe,
        "doubt": doubt,
        "either": _either,
        "named": _named,
        "numbered": numbered,
        "percent": percent,
        "probability": probability,
        "thumbnail": thumbnail,
        "time": _time,
        "why": why,
        "words": words,
    }
    return environment


def _count(number: int) -> str:
    return f"{number:,}"


def _either(phrases: Iterable[str]) -> str:
    """Join phrases by commas, the last by "or"."""
    *before, last = phrases
    return f"{', '.join(before)} or {last}" if before else last


def _named(field: FieldReading) -> str:
    """The frame's name and, of a video or camera, its time."""
    return field.name if field.moment is None else f"{field.name}, at {field.moment:.1f} s"


def _time(stamp: str) -> str:
    return stamp.replace("T", " ").replace("+00:00", " UTC")
