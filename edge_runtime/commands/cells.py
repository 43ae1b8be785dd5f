"""`cellgate score`: decisions for single cells."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from edge_runtime.bundle.classifier import Classifier, Provider
from edge_runtime.bundle.files import default_bundle
from edge_runtime.bundle.scoring import CellScore, score_images
from edge_runtime.commands.options import bundle_option, json_option, provider_option, threads_option
from edge_runtime.console import answer, tell, tell_skipped, to_json
from edge_runtime.errors import SourceError


@click.command()
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
