"""`cellgate`: the commands of the device, thin over the functions that do the same from Python.

Commands import what only they need: a single crop is decided on without loading what reads slides.
"""

import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from edge_runtime.bundle.classifier import Classifier, Provider
from edge_runtime.bundle.files import MODEL_CARD, default_bundle, open_bundle
from edge_runtime.bundle.scoring import CellScore, score_images
from edge_runtime.clock import doubt, now
from edge_runtime.console import Commands, answer, tell, tell_skipped, to_json
from edge_runtime.errors import SourceError
from edge_runtime.report.texts import LANGUAGES
from edge_runtime.sources.frames import EVERY_SECONDS, PATIENCE_SECONDS
from edge_runtime.statistics.stopping import DEFAULT, PRESETS
from edge_runtime.version import __version__

if TYPE_CHECKING:
    from edge_runtime.exchange.exporting import Form
    from edge_runtime.report.plain import Look
    from edge_runtime.report.summary import SlideSummary

bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="The bundle folder; the default bundle, which came with cellgate, if left out.",
)
bundle_argument = click.argument("bundle", required=False, type=click.Path(path_type=Path))
provider_option = click.option(
    "--provider",
    type=click.Choice(get_args(Provider)),
    default="cpu",
    show_default=True,
    help="Where to compute; an error if it is not to be had.",
)
threads_option = click.option("--threads", type=click.IntRange(1), help="CPU threads; all cores if left out.")
language_option = click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="Of the report and the verdict.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _finite(_: click.Context, __: click.Parameter, seconds: float) -> float:
    """Refuse nan, which no range excludes, and inf."""
    if not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is no number of seconds; give one from 0 on, such as 2")
    return seconds


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="cellgate")
def main() -> None:
    """Classify blood cells, and say when not to answer. Research use only."""


@main.command()
@click.argument("images", type=click.Path(path_type=Path))
@bundle_option
@provider_option
@threads_option
@click.option(
    "--relative-size",
    "sizes",
    type=click.Path(path_type=Path),
    help="CSV path,relative_size: a cell's diameter over that of its frame's typical cell.",
)
@json_option
def score(
    images: Path,
    bundle: Path | None,
    provider: Provider,
    threads: int | None,
    sizes: Path | None,
    as_json: bool,
) -> None:
    """Decide for cell crops: an image, a folder or a zip; one line each."""
    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    started, cells, skipped = time.perf_counter(), 0, 0
    for item in score_images(images, classifier, sizes):
        if isinstance(item, CellScore):
            cells += 1
            answer(to_json(asdict(item)) if as_json else _line(item))
        else:
            skipped += 1
            tell_skipped([item])
    seconds = time.perf_counter() - started
    tell(
        f"{cells} cells, {cells / seconds:.1f} cells per second on {classifier.provider}, "
        f"{skipped} skipped, by {classifier.bundle.title}"
    )
    if not cells:
        raise SourceError(f"{click.format_filename(images)}: none of its {skipped} images could be read")


def _line(cell: CellScore) -> str:
    answer = f"rejected ({', '.join(cell.reasons)})" if cell.rejected else cell.label
    values = ", ".join(
        f"{name} {value:.3f} (limit {cell.limits[name]:.3f})" for name, value in cell.values.items()
    )
    return f"{cell.path}: {answer}, {cell.label} {cell.probabilities[cell.label]:.3f}, {values}"


@main.command()
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
    callback=_finite,
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


@main.command()
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


@main.command()
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


@main.command()
@click.argument("cells", type=click.Path(path_type=Path))
@click.option("--site", required=True, help="A name for the site; it becomes part of the bundle's name.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle to make.")
@click.option(
    "--labels", type=click.Path(path_type=Path), help="CSV path,label: crops of this site, and their classes."
)
@bundle_option
@provider_option
@threads_option
@json_option
def recalibrate(
    cells: Path,
    site: str,
    out: Path,
    labels: Path | None,
    bundle: Path | None,
    provider: Provider,
    threads: int | None,
    as_json: bool,
) -> None:
    """Fit a bundle to a site's stain and light, from unlabelled red cells of ordinary slides.

    CELLS is a folder that 'read' wrote, or crops: a folder or zip; at least 100 cells. Named cells fit
    nothing: they tell whether the answers can be relied on.
    """
    from edge_runtime.device.labels import named_cells
    from edge_runtime.device.recalibration import recalibrate_bundle, site_cells
    from edge_runtime.device.trust import tell_named

    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    manifest = classifier.bundle.manifest
    found, skipped = site_cells(cells, manifest.input.size, manifest.gates)
    tell_skipped(skipped)
    named = None
    if labels is not None:
        named, skipped = named_cells(labels, manifest.input.size, manifest.classes)
        tell_skipped(skipped)
    made = recalibrate_bundle(classifier, found, site, out, named)
    title = open_bundle(out).title
    if as_json:
        measured = {name: value for name, value in asdict(made).items() if name != "detector"}
        answer(to_json({"bundle": title, **measured}, indent=2))
        return
    before, after = made.rejected_before, made.rejected_after
    answer(f"{made.cells} cells: {before:.1%} were rejected before, {after:.1%} are now")
    if made.named:
        answer(tell_named(made.named))
    answer(f"bundle {title} in {click.format_filename(out)}")


@main.command()
@bundle_argument
@provider_option
@threads_option
@json_option
def verify(bundle: Path | None, provider: Provider, threads: int | None, as_json: bool) -> None:
    """Replay a bundle's reference vectors on this device; exit code 1 if it decides otherwise.

    BUNDLE is its folder; the default bundle, which came with cellgate, if left out.
    """
    from edge_runtime.bundle.parity import all_passed
    from edge_runtime.bundle.verification import replay

    classifier = Classifier.open(bundle or default_bundle(), provider=provider, threads=threads)
    checks = replay(classifier)
    passed = all_passed(checks)
    if as_json:
        told = {
            "bundle": classifier.bundle.title,
            "provider": classifier.provider,
            "passed": passed,
            "checks": [{**asdict(check), "passed": check.passed} for check in checks],
        }
        answer(to_json(told, indent=2))
        sys.exit(0 if passed else 1)
    for check in checks:
        answer(str(check))
    verdict = (
        "decides here as its PyTorch reference did" if passed else "does NOT decide as its reference did"
    )
    answer(f"{classifier.bundle.title} {verdict}, on {classifier.provider}")
    sys.exit(0 if passed else 1)


@main.command()
@bundle_argument
@json_option
def inspect(bundle: Path | None, as_json: bool) -> None:
    """Check a bundle's hashes and show what it says about itself.

    BUNDLE is its folder; the default bundle, which came with cellgate, if left out.
    """
    opened = open_bundle(bundle or default_bundle())
    if as_json:
        answer(to_json({"digest": opened.digest, **asdict(opened.manifest)}, indent=2))
        return
    answer(f"{click.format_filename(opened.path)}: {opened.title}, every hash is right")
    answer(f"sha256 {opened.digest}\n")
    answer(opened.contents[MODEL_CARD].decode("utf-8", errors="replace"))


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this device; exit code 1 if something is wrong."""
    from edge_runtime.device.doctor import examine

    findings = examine()
    if as_json:
        answer(to_json([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            answer(f"{'ok  ' if finding.ok else 'WARN'} {finding.name:<22} {finding.found}")
            if not finding.ok:
                answer(f"     {'':<22} {finding.advice}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


if __name__ == "__main__":
    main(prog_name="cellgate")
