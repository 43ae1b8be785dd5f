"""What recipes of training are worth, side by side: a table of runs that were tested or cross-fitted.

    python -m training crossfit --measure-only --run runs/archive --cells …
    python -m training crossfit --measure-only --run runs/agreed --cells … --reread CSV
    python -m scripts.compare_recipes --reread CSV runs/archive runs/agreed runs/default

A run with a network for use has its figures noted; networks that only measure are asked again here. Shares
are by agreed labels, for a run that learned without a second reading by those of --reread, with 95 %
intervals over patients. The first columns are of every cell: what the network's class says. The last ones are
of what is left when the tests have rejected cells.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from edge_runtime.console import Commands
from training.crossfit import fold_folder, measure_recipe
from training.run import RUN_FILE, RunConfig, load_run
from training.testing import CellFigures, noted

COLUMNS = (
    "run",
    "trained with",
    "healthy patients' cells called parasitized",
    "sensitivity",
    "specificity",
    "of accepted healthy patients' cells, called",
    "worst patient",
    "sensitivity of accepted",
    "accuracy of accepted",
    "rejected or suspect",
)


@click.group(cls=Commands, invoke_without_command=True)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--reread", type=click.Path(path_type=Path), help="CSV of a second reading, to judge by.")
def main(runs: tuple[Path, ...], reread: Path | None) -> None:
    """Compare recipes."""
    click.echo(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for run in runs:
        config, figures = measured(run, reread)
        click.echo(f"| {run} | {recipe(config)} | {' | '.join(shares(figures))} |")


def measured(run: Path, reread: Path | None) -> tuple[RunConfig, CellFigures]:
    """What a run was trained with, and its figures: those that it noted, if they are by the same labels."""
    alone = not (run / RUN_FILE).exists() and (fold_folder(run, 1) / RUN_FILE).exists()
    config = load_run(fold_folder(run, 1) if alone else run).config
    by_its_own = config.reread is not None or reread is None
    return config, noted(run) if by_its_own and not alone else measure_recipe(run, reread)


def recipe(config: RunConfig) -> str:
    """What a run was trained with, where recipes differ."""
    told = [config.network, f"{config.epochs} epochs"]
    told += ["second reading"] if config.reread else []
    told += [f"overlays {config.overlays:g}"] if config.overlays else []
    told += [f"healthy weigh {config.healthy_weight:g}"] if config.healthy_weight != 1 else []
    return ", ".join(told)


def shares(figures: CellFigures) -> Iterator[str]:
    """The cells of a row, without the first two."""
    agreed, healthy, called = figures.agreed, figures.healthy, figures.called_of_healthy
    low, high = healthy.intervals["specificity"]
    yield _told(1 - healthy.specificity, (1 - high, 1 - low))
    yield _told(agreed.sensitivity, agreed.intervals["sensitivity"])
    yield _told(agreed.specificity, agreed.intervals["specificity"])
    yield f"{called.called} of {called.accepted}: {_told(called.share, called.interval)}"
    yield f"{100 * worst(figures):.1f}"
    for name in ("sensitivity_of_accepted", "accuracy_of_accepted", "rejected"):
        yield _told(getattr(agreed, name), agreed.intervals[name])


def worst(figures: CellFigures) -> float:
    """The highest share of a healthy patient's accepted cells that is called parasitized; nan without any."""
    counts = [of.counts for of in figures.patients if of.counts.healthy and of.counts.uninfected_accepted]
    return max((of.uninfected_called / of.uninfected_accepted for of in counts), default=float("nan"))


def _told(share: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{100 * share:.2f} ({100 * low:.2f} to {100 * high:.2f})"


if __name__ == "__main__":
    main()
