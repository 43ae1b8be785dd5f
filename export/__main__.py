"""`python -m export`: bundle, verify."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from edge_runtime.bundle.classifier import Provider
from edge_runtime.console import Commands
from export.comparison import verify_bundle
from export.graph import Perturbation
from export.sealing import seal_bundle
from training.cells.source import CellSource, cell_source_options
from training.handover import hand_over

run_option = click.option("--run", type=click.Path(path_type=Path), required=True, help="The run folder.")


@click.group(cls=Commands)
def main() -> None:
    """Turn a trained run into a bundle for the device, and prove that it decides the same."""


@main.command()
@run_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle folder to make.")
@click.option(
    "--perturbation",
    type=click.Choice(get_args(Perturbation)),
    help="Whether the graph perturbs its input (eq. 3); if left out, as calibration chose epsilon.",
)
@click.option("--name", default="cellgate", show_default=True, help="Name of the bundle.")
@click.option("--version", default="1", show_default=True, help="Version of the bundle.")
@cell_source_options
def bundle(
    run: Path,
    out: Path,
    perturbation: Perturbation | None,
    name: str,
    version: str,
    source: CellSource,
) -> None:
    """Export the graph, compare it with PyTorch on its reference inputs, and seal it."""
    made = seal_bundle(hand_over(run, source), out, perturbation=perturbation, name=name, version=version)
    size = sum(map(len, made.contents.values())) / 1e6
    click.echo(f"{made.path}: {made.title}, perturbation {made.manifest.perturbation}, {size:.1f} MB")


@main.command()
@run_option
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="The bundle folder.")
@click.option("--cells", required=True, multiple=True, help="As of 'python -m training fit'.")
@click.option("--limit", type=click.IntRange(1), help="Compare so many cells, spread over the archive.")
@click.option("--provider", type=click.Choice(get_args(Provider)), default="cpu", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def verify(
    run: Path, bundle: Path, cells: tuple[str, ...], limit: int | None, provider: Provider, as_json: bool
) -> None:
    """Compare a bundle with its run's PyTorch reference; exit code 1 if it differs."""
    found = verify_bundle(run, bundle, cells, limit=limit, provider=provider)
    if as_json:
        click.echo(json.dumps({**asdict(found), "passed": found.passed}, indent=2))
    else:
        for check in found.checks:
            click.echo(str(check))
        verdict = "decides as its run does" if found.passed else "DOES NOT decide as its run does"
        click.echo(
            f"{bundle} {verdict}: {found.cells} cells on {found.provider}, "
            f"{found.borderline} borderline decisions differ"
        )
    sys.exit(0 if found.passed else 1)


if __name__ == "__main__":
    main(prog_name="python -m export")
