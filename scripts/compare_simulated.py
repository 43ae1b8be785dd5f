"""The truth of a simulated slide beside what was read.

cellgate read simulated:fields=12,seed=5 --slide S --out slide
python -m scripts.compare_simulated slide
"""

import re
from collections import Counter
from pathlib import Path

import click

from edge_runtime.cells.boxes import best_match
from edge_runtime.console import Commands
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.simulator import PARASITIZED_KINDS, RED_CELL_KINDS, SimulatedObject, simulate_field

COLUMNS = ("true", "free", "found", "right", "wrong", "rejected", "not judged")


@click.group(cls=Commands, invoke_without_command=True)
@click.argument("slide", type=click.Path(path_type=Path))
def main(slide: Path) -> None:
    """Compare the reading of a simulated slide with its truth."""
    click.echo(truth_table(slide))


def truth_table(slide: Path) -> str:
    """One line per kind of object: how many there are, were found, and what was said of them.

    Args:
        slide: what `cellgate read` left of a simulated slide.

    Raises:
        SourceError: no record, or not of a simulated slide.
    """
    counts: dict[str, Counter[str]] = {}
    with SlideRecord.open(slide / RECORD) as record:
        seed = _seed(record.header().source)
        for field in record.fields():
            truth = simulate_field(seed, field.number - 1).objects
            for true, cell in _pairs(truth, field):
                counts.setdefault(true.kind, Counter()).update(_outcome(true, cell))
    head = "".join(f"{name:>12}" for name in ("", *COLUMNS))
    rows = [
        f"{kind:>12}" + "".join(f"{counts[kind][name]:>12}" for name in COLUMNS)
        for kind in sorted(counts, key=_order)
    ]
    return "\n".join([head, *rows, "", *_summary(counts)])


def _seed(source: str) -> int:
    """The seed of the slide, from the source its record names."""
    found = re.match(r"simulated:(?:.*,)?seed=(\d+)", source)
    if found is None:
        raise SourceError(f"{source}: not a simulated slide with its seed; read simulated:fields=12,seed=5")
    return int(found[1])


def _order(kind: str) -> tuple[bool, str]:
    return kind not in RED_CELL_KINDS, kind


def _pairs(
    truth: tuple[SimulatedObject, ...], field: FieldReading
) -> list[tuple[SimulatedObject, CellReading | None]]:
    """Each true object with the reading that overlaps it best, if any does by half."""
    return [(true, best_match(true.box, field.cells)) for true in truth]


def _outcome(true: SimulatedObject, cell: CellReading | None) -> list[str]:
    told = ["true"]
    if true.free:
        told += ["free"] + (["free found"] if cell else [])
    if cell is None:
        return told
    told.append("found")
    if cell.status in ("rejected", "not-judged"):
        return [*told, cell.status.replace("-", " ")]
    expected = "parasitized" if true.kind in PARASITIZED_KINDS else "uninfected"
    return [*told, "right" if true.kind in RED_CELL_KINDS and cell.status == expected else "wrong"]


def _summary(counts: dict[str, Counter[str]]) -> list[str]:
    red = sum((c for kind, c in counts.items() if kind in RED_CELL_KINDS), Counter())
    other = sum((c for kind, c in counts.items() if kind not in RED_CELL_KINDS), Counter())
    accepted = red["right"] + red["wrong"]
    return [
        f"red cells that stand free, found          {_share(red['free found'], red['free'])}",
        f"accepted red cells with the right class   {_share(red['right'], accepted)}",
        f"red cells rejected, of those judged       {_share(red['rejected'], accepted + red['rejected'])}",
        (
            "white cells, platelets, debris rejected   "
            f"{_share(other['rejected'], other['rejected'] + other['wrong'])}"
        ),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:6.1%}  ({part} of {whole})" if whole else "  none"


if __name__ == "__main__":
    main()
