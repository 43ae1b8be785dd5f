"""Figures as a person reads them on a terminal."""

import math

import click

from training.testing import CellFigures


def tell_figures(result: CellFigures) -> None:
    """A line per patient, then every figure by the three kinds of labels."""
    click.echo(f"{'patient':<12}{'cells':>7}{'parasitized':>13}{'accuracy':>10}{'rejected':>10}{'called':>8}")
    for row in result.patients:
        of = row.counts
        parasitized = "healthy" if of.healthy else str(of.parasitized)
        called = of.parasitized_called + of.uninfected_called
        click.echo(
            f"{row.patient:<12}{row.cells:>7}{parasitized:>13}{row.accuracy:>10.1%}{row.rejected:>10.1%}{called:>8}"
        )
    columns = {"archive": result.archive, "agreed": result.agreed, "healthy": result.healthy}
    click.echo(f"\n{'figure (95 % over patients)':<30}{''.join(f'{name:>28}' for name in columns)}")
    counts = [f"{of.parasitized} + {of.uninfected}" for of in columns.values()]
    click.echo(f"{'parasitized + others':<30}{''.join(f'{count:>28}' for count in counts)}")
    for name in result.archive.intervals:
        told = [_told(getattr(of, name), of.intervals[name]) for of in columns.values()]
        click.echo(f"{name.replace('_', ' '):<30}{''.join(f'{value:>28}' for value in told)}")
    for name, rate in (
        ("accepted parasitized cells called so (agreed labels)", result.called_of_parasitized),
        ("accepted cells of healthy patients called parasitized", result.called_of_healthy),
    ):
        click.echo(
            f"{name}: {rate.called} of {rate.accepted} ({_told(rate.share, rate.interval)}), "
            f"correlation within patients {rate.correlation:.3f}"
        )


def _told(share: float, interval: tuple[float, float]) -> str:
    if math.isnan(share):
        return "-"
    return f"{share:.2%} ({interval[0]:.2%} to {interval[1]:.2%})"
