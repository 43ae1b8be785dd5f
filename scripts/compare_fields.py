"""Are real cells found, and read as the expert labelled them? Compares a slide record with located NIH crops.

    cellgate read frames --bundle bundle --slide nih --out slide
    python -m scripts.compare_fields --record slide/slide.sqlite --annotations annotations.json

The annotations name, per frame, where crops of the NIH archive were cut out of it (`frames` -> file name ->
`cells`: crop, label, x, y, w, h in pixels). Cells without a crop are unlabelled, not negative, so nothing is
said of them. Exit code 1 if fewer than 90 % are found (box overlap 0.5 or more), or if fewer than 90 % of
those accepted have the label of their crop.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath

import click

from edge_runtime.boxes import best_match
from edge_runtime.console import Commands
from edge_runtime.errors import SourceError
from edge_runtime.slide import CellReading, SlideRecord

WANTED = 0.9
COLUMNS = ("cells", "found", "accepted", "right", "rejected", "not-judged")


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--record", type=click.Path(path_type=Path), required=True, help="slide.sqlite of the reading.")
@click.option("--annotations", type=click.Path(path_type=Path), required=True, help="annotations.json.")
def main(record: Path, annotations: Path) -> None:
    """Compare a reading with the located crops."""
    try:
        located = json.loads(annotations.read_text())["frames"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{annotations}: no annotations of frames ({error})") from error
    total: Counter[str] = Counter()
    click.echo(f"{'frame':<28}" + "".join(f"{name:>12}" for name in COLUMNS))
    with SlideRecord.open(record) as opened:
        read = {PurePath(field.name).name: field.cells for field in opened.fields()}
    for frame, cells in located.items():
        counts = Counter(told for cell in cells["cells"] for told in _outcome(cell, read.get(frame, ())))
        click.echo(f"{frame:<28}" + "".join(f"{counts[name]:>12}" for name in COLUMNS))
        total += counts
    click.echo(f"{'all':<28}" + "".join(f"{total[name]:>12}" for name in COLUMNS))
    found, right = total["found"] / total["cells"], total["right"] / max(total["accepted"], 1)
    click.echo(f"found {found:.1%}; of the accepted {right:.1%} have the class of their crop")
    sys.exit(0 if found >= WANTED and right >= WANTED else 1)


def _outcome(located: dict[str, str | int], cells: tuple[CellReading, ...]) -> Iterator[str]:
    yield "cells"
    x, y, w, h = (int(located[side]) for side in "xywh")
    best = best_match((x, y, w, h), cells)
    if best is None:
        return
    yield "found"
    if best.status in ("rejected", "not-judged"):
        yield best.status
        return
    yield "accepted"
    if best.status == str(located["label"]).lower():
        yield "right"


if __name__ == "__main__":
    main()
