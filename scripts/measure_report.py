"""How large the report of a long slide is, how long it takes to write and to open, and how much memory.

    python -m scripts.measure_report --fields 2000

The record is made of a few simulated fields, each inserted many times, since only the report is measured.
Chromium opens the report without a window: the time is that of the whole program, to
a picture of the page, beside that of an empty page.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import click

from edge_runtime import Classifier, default_bundle, read_slide
from edge_runtime.console import Commands
from edge_runtime.record.readings import FieldReading, SlideHeader
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.report.page import write_report
from edge_runtime.report.texts import LANGUAGES
from scripts.report_picture import photograph

SEEN = 8  # different fields
PHONE, DESK = (390, 844), (1280, 900)  # pixels


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--fields", default=2000, show_default=True, help="Of the record.")
@click.option("--source", default=f"simulated:fields={SEEN},seed=5", show_default=True)
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if left out.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder in which record and report stay.")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
def main(fields: int, source: str, bundle: Path | None, out: Path | None, language: str) -> None:
    """Make the record, write its report in a process of its own, open it."""
    with tempfile.TemporaryDirectory() as folder:
        here = out or Path(folder)
        here.mkdir(parents=True, exist_ok=True)
        classifier = Classifier.open(bundle or default_bundle())
        read_slide(source, classifier, "long", Path(folder) / "short")
        with SlideRecord.open(Path(folder) / "short" / RECORD) as record:
            header, few = record.header(), list(record.fields())
        repeated(here / RECORD, header, few, fields)
        report = here / "report.html"
        click.echo(f"{fields} fields, record {(here / RECORD).stat().st_size / 1e6:.1f} MB")
        writing = [sys.executable, "-m", "scripts.measure_report", "--write", str(here), language]
        subprocess.run(writing, check=True)
        click.echo(f"report {report.stat().st_size / 1e6:.2f} MB")
        opened(report, Path(folder))


def repeated(path: Path, header: SlideHeader, few: Sequence[FieldReading], number: int) -> None:
    """Make a record of so many fields, from a few that are inserted again and again."""
    path.unlink(missing_ok=True)
    with SlideRecord.begin(path, replace(header, finished=None)) as record:
        for place, field in enumerate(islice(cycle(few), number), start=1):
            record.add_field(replace(field, number=place, name=f"field {place}"))
        record.finish(header.finished)


def write(folder: Path, language: str) -> None:
    """Write the report, and tell time and memory."""
    before, began = _memory(), time.perf_counter()
    with SlideRecord.open(folder / RECORD) as record:
        counts = write_report(record, folder / "report.html", language).counts
    seconds, fields = time.perf_counter() - began, counts.fields + counts.stopped
    click.echo(
        f"{counts.parasitized} parasitized, {counts.suspect} suspect, {counts.rejected} rejected in all"
    )
    click.echo(
        f"written in {seconds:.1f} s, {1000 * seconds / fields:.1f} ms a field; "
        f"{before:.0f} MB before, {_memory():.0f} MB at most"
    )


def opened(report: Path, folder: Path) -> None:
    """Open the report in the browser and tell how long it took."""
    empty = folder / "empty.html"
    empty.write_text("<!doctype html><title>empty</title>")
    for page in (empty, empty, report):  # the first one makes the browser's profile
        for width, height in (PHONE, DESK):
            began = time.perf_counter()
            photograph(page, folder / "shot.png", folder / "profile", (width, height))
            seconds = time.perf_counter() - began
            click.echo(f"{page.name} at {width} px: {seconds:.2f} s from the program's start to its picture")


def _memory() -> float:
    """The most that this process has had, MB; of Linux, for `getrusage` counts what started it, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), sys.argv[3])
    else:
        main()
