"""What readings of slides are worth: slides composed of judged cells, whose truth is known.

    python -m scripts.measure_readings --run runs/default --simulated kept --plot readings.png

A slide has so many cells, drawn with replacement, a known share of them parasitized.

With --run they are real: the parasitized ones are those of one patient, the others those of all healthy
patients together. With --own they are the same patient's, too (a healthy one's where the share is 0): some
65 of them, so that a single false positive makes 1.5 % of the slide, and none makes 0; both are extremes. The
networks that decide never saw the cells, and a slide is read with the rates of all other patients.

With --simulated both are of one simulated preparation, which the default bundle read from end to end (see
`simulated_slides`); what was judged is kept in that folder. Slides are read twice: with the rates that the
bundle states, which are of real patients, and with those of all other preparations.

Prints tables in Markdown, and WHO's grade of a reader.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.console import Commands
from edge_runtime.errors import SourceError
from edge_runtime.report.estimate import rates_of
from scripts.composed_slides import (
    CALLED,
    NOT_CALLED,
    REJECTED,
    SHARES,
    SUSPICIOUS,
    Patient,
    Rates,
    Reading,
    counted,
    readings,
    table,
)
from scripts.simulated_slides import preparations
from training.crossfit import held_out_answers
from training.testing import Answers

COLOURS = {"parasites-seen": "#D55E00", "none-seen": "#0072B2", "not-readable": "#BBBBBB"}
Made = Mapping[float, Sequence[Reading]]  # readings by the true share


def patients_of(
    answers: Answers,
    parasitized: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    names: Sequence[str],
    healthy: NDArray[np.bool_],
) -> list[Patient]:
    """Gather the answers by patient.

    Args:
        answers: to N cells.
        parasitized: bool [N], by labels on which all readings agree.
        usable: bool [N], cells with such a label.
        names: N patients.
        healthy: bool [N], cells of patients without a parasite.
    """
    what = np.where(answers.infected, CALLED, NOT_CALLED)
    what = np.where(answers.rejected, REJECTED, what)
    what = np.where(answers.suspect, SUSPICIOUS, what)
    found = []
    for name in sorted(set(names)):
        own = (np.array(names) == name) & usable
        ill, well = what[own & parasitized], what[own & ~parasitized]
        found.append(Patient((counted(ill, well, healthy=bool(healthy[own].any())),), ill, well))
    return found


def real_patients(run: Path) -> list[Patient]:
    """The patients of a cross-fitted run, answered by networks that never saw them."""
    answers, of, chosen = held_out_answers(run)
    healthy = of.healthy[chosen]
    names = [of.patients[number] for number in chosen]
    return patients_of(answers, of.infected[chosen], of.agreed[chosen] | healthy, names, healthy)


def told_rates(name: str, rates: Rates) -> str:
    """Two rates for people."""
    hit, wrong = (f"{100 * rate.share:.2f} % of {rate.cells} cells" for rate in rates)
    return f"{name}: sensitivity {hit}, false positives {wrong}"


def plot(made: Mapping[str, Made], file: Path) -> None:
    """Draw verdicts and intervals against the truth, a column for each kind of slide."""
    figure = Figure(figsize=(4 * len(made), 6), layout="constrained")
    rows = figure.subplots(2, len(made), squeeze=False, sharex="col", sharey="row")
    for (name, of_kind), verdicts, intervals in zip(made.items(), *rows, strict=True):
        _draw_verdicts(verdicts, of_kind)
        _draw_intervals(intervals, of_kind)
        verdicts.set_title(name, fontsize=9)
        intervals.set_xticks(range(len(of_kind)), [f"{100 * share:g}" for share in of_kind])
        intervals.set_xlabel("parasitized, %")
    rows[0, 0].set_ylabel("slides, %")
    rows[0, 0].legend(fontsize=8, loc="lower left")
    rows[1, 0].set_ylabel("95 % interval, % (black: the truth)")
    figure.savefig(file, dpi=80)


def _draw_verdicts(axes: Axes, made: Made) -> None:
    under = np.zeros(len(made))
    for word, colour in (
        ("parasites-seen", "#D55E00"),
        ("none-seen", "#0072B2"),
        ("not-readable", "#BBBBBB"),
    ):
        height = np.array(
            [100 * np.mean([one.word == word for one in of_share]) for of_share in made.values()]
        )
        axes.bar(range(len(made)), height, bottom=under, color=colour, label=word.replace("-", " "))
        under += height


def _draw_intervals(axes: Axes, made: Made) -> None:
    for place, (share, of_share) in enumerate(made.items()):
        across = np.linspace(place - 0.4, place + 0.4, len(of_share))
        low, high = (
            [100 * getattr(one.found.interval, side) for one in of_share] for side in ("low", "high")
        )
        colours = ["#0072B2" if one.covered else "#D55E00" for one in of_share]
        axes.vlines(across, low, high, colors=colours, linewidth=0.6)
        axes.hlines(100 * share, place - 0.45, place + 0.45, colors="black", linewidth=1.2)
    axes.set_yscale("symlog", linthresh=0.02)
    axes.set_ylim(0, 100)


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--run", type=click.Path(path_type=Path), help="As `training crossfit` made it: real cells.")
@click.option("--simulated", type=click.Path(path_type=Path), help="Folder for judged simulated cells.")
@click.option("--preparations", "number", type=click.IntRange(2), default=24, show_default=True)
@click.option("--cells", type=click.IntRange(1000), default=2000, show_default=True, help="Per slide.")
@click.option("--slides", type=click.IntRange(10), default=100, show_default=True, help="Per share.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--own", is_flag=True, help="Real cells without a parasite of the slide's own patient only.")
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="Draw verdicts and intervals, too.")
def main(
    run: Path | None,
    simulated: Path | None,
    number: int,
    cells: int,
    slides: int,
    seed: int,
    own: bool,
    picture: Path | None,
) -> None:
    """Read slides composed of real and of simulated cells."""
    made: dict[str, Made] = {}

    def add(name: str, patients: Sequence[Patient], *, own: bool, stated: Rates | None = None) -> None:
        made[name] = {
            share: list(readings(patients, share, slides, cells, seed=seed, own=own, stated=stated))
            for share in SHARES
        }
        click.echo(f"\n{name}\n\n{table(made[name])}")

    if run is None and simulated is None:
        raise SourceError("no cells to compose slides of; give --run, --simulated or both")
    if run is not None:
        add("real cells", real_patients(run), own=own)
    if simulated is not None:
        for name, patients, stated in _of_preparations(number, simulated):
            add(name, patients, own=True, stated=stated)
    if picture is not None:
        plot(made, picture)


def _of_preparations(number: int, keep: Path) -> Iterator[tuple[str, list[Patient], Rates | None]]:
    classifier = Classifier.open(default_bundle())
    patients = preparations(number, classifier, keep)
    stated = rates_of(classifier.bundle.manifest.performance.counts)
    click.echo(told_rates("stated by the bundle", stated))
    click.echo(told_rates("on the preparations", rates_of([of for one in patients for of in one.counts])))
    yield "simulated cells, rates stated by the bundle", patients, stated
    yield "simulated cells, rates of the other preparations", patients, None


if __name__ == "__main__":
    main()
