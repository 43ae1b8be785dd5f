"""Whether each cell of a slide is judged once, measured on slides that are read from end to end.

    python -m scripts.measure_slides --slides 25 --bundle tests/edge_runtime/tiny-bundle

Each slide is a walk over a large simulated film: 12 places whose overlaps with the one before go from 0 to
95 %, in x, in y and in both. Each is a frame of its own, as in `measure_places`. The slide is read from a
folder, a zip and a video in which the stage lingers, and every cell of the record is mapped to the film.
Prints a table in Markdown.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.console import Commands
from edge_runtime.fields.places import SAME_FIELD
from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.reading import read_slide
from scripts.measure_places import HEIGHT, WIDTH, Picture, photographed, specks
from training.intervals import of_share

SHARES = (0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95)
LOOKS = 3  # of a video at each place
SOURCES = ("folder", "zip", "video")

_FILM = 4 * WIDTH, 3 * HEIGHT
_CELLS = 22 * 12
_NEARLY = 0.03  # a share that is so near to SAME_FIELD may be measured on either side of it
_SAME_CELL = 0.5  # of a diameter
_FRAMES_PER_SECOND = 2

Place = tuple[int, int]


@dataclass(frozen=True)
class Tally:
    """What became of slides; every attribute is a number of them all.

    Attributes:
        places: that were photographed.
        counted: fields that count.
        stopped: frames that a gate stopped.
        new: places that no counted field shows by as much as makes them the same field.
        taken: of the new ones, those that were left out as shown before.
        judged: cells that were judged.
        twice: of these, cells that an earlier field judged, too.
        before: whole cells that were not judged as they were counted before.
        lost: of these, cells that no field judged: where they were counted first, they lay under dirt, which
            was found only after that.
    """

    places: int = 0
    counted: int = 0
    stopped: int = 0
    new: int = 0
    taken: int = 0
    judged: int = 0
    twice: int = 0
    before: int = 0
    lost: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tally)))


def walk(rng: np.random.Generator) -> list[Place]:
    """The places' top left corners on the film; each overlaps the one before by one of SHARES."""
    right, low = _FILM[0] - WIDTH, _FILM[1] - HEIGHT
    while True:
        places = [(int(rng.integers(right + 1)), int(rng.integers(low + 1)))]
        for share in rng.permutation(SHARES):
            x, y = places[-1]
            steps = [(x + further, y + lower) for further, lower in _steps(float(share))]
            inside = [(u, v) for u, v in steps if 0 <= u <= right and 0 <= v <= low]
            if not inside:
                break
            places.append(inside[int(rng.integers(len(inside)))])
        if len(places) > len(SHARES):
            return places


def _steps(share: float) -> Iterator[Place]:
    root = np.sqrt(share)
    for sign in (-1, 1):
        yield sign * round(WIDTH * (1 - share)), 0
        yield 0, sign * round(HEIGHT * (1 - share))
        yield sign * round(WIDTH * (1 - root)), round(HEIGHT * (1 - root))
        yield sign * round(WIDTH * (1 - root)), -round(HEIGHT * (1 - root))


def sources(
    folder: Path, film: Picture, places: Sequence[Place], rng: np.random.Generator
) -> dict[str, Path]:
    """Photograph a slide: a folder, a zip of the same frames, and a video of others."""
    dirt = specks(rng)
    made = {"folder": folder / "frames", "zip": folder / "frames.zip", "video": folder / "frames.mp4"}
    made["folder"].mkdir()
    code = cv2.VideoWriter.fourcc(*"mp4v")
    video = cv2.VideoWriter(str(made["video"]), code, _FRAMES_PER_SECOND, (WIDTH, HEIGHT))
    with zipfile.ZipFile(made["zip"], "w") as archive:
        for number, (x, y) in enumerate(places):
            view = film[y : y + HEIGHT, x : x + WIDTH]
            file = made["folder"] / f"{number:02}.png"
            cv2.imwrite(str(file), _bgr(photographed(view, dirt, rng)))
            archive.write(file, file.name)
            for _ in range(LOOKS):
                frame = _bgr(photographed(view, dirt, rng))
                for _ in range(_FRAMES_PER_SECOND):
                    video.write(frame)
    video.release()
    return made


def _bgr(frame: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), np.uint8)


def place_of(name: str, source: str) -> int:
    """The number of the place that a frame shows, by the frame's name."""
    number = int(re.findall(r"\d+", name)[-1])
    return (number - 1) // (LOOKS * _FRAMES_PER_SECOND) if source == "video" else number


def tally(source: str, places: Sequence[Place], record: SlideRecord) -> Tally:
    """What became of a slide, by the truth about its places."""
    read = list(record.fields())
    by_place = {place_of(f.name, source): f for f in read if not f.reason}
    stopped = {place_of(f.name, source) for f in read if f.reason} - set(by_place)
    new = [
        number
        for number, place in enumerate(places)
        if all(_share(place, places[other]) < SAME_FIELD - _NEARLY for other in by_place if other < number)
    ]
    judged = [_Seen.of(f, places[number], judged=True) for number, f in sorted(by_place.items())]
    before = [_Seen.of(f, places[number], judged=False) for number, f in sorted(by_place.items())]
    return Tally(
        places=len(places),
        counted=len(by_place),
        stopped=len(stopped),
        new=len(new),
        taken=len(set(new) - set(by_place) - stopped),
        judged=sum(len(seen.sides) for seen in judged),
        twice=sum(int(seen.known(judged[:number]).sum()) for number, seen in enumerate(judged)),
        before=sum(len(seen.sides) for seen in before),
        lost=sum(int((~seen.known(judged[:number])).sum()) for number, seen in enumerate(before)),
    )


def _share(place: Place, other: Place) -> float:
    wide, high = (WIDTH - abs(place[0] - other[0]), HEIGHT - abs(place[1] - other[1]))
    return max(wide, 0) * max(high, 0) / (WIDTH * HEIGHT)


@dataclass(frozen=True)
class _Seen:
    """Cells of a field on the film: their middles, float64 [N, 2], and the longer sides of their boxes."""

    middles: NDArray[np.float64]
    sides: NDArray[np.float64]

    @classmethod
    def of(cls, field: FieldReading, place: Place, *, judged: bool) -> "_Seen":
        boxes = [
            cell.box
            for cell in field.cells
            if (cell.status != "not-judged" if judged else _whole_and_counted_before(cell))
        ]
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        return cls(corners[:, :2] + corners[:, 2:] / 2 + place, corners[:, 2:].max(axis=1, initial=0))

    def known(self, others: Sequence["_Seen"]) -> NDArray[np.bool_]:
        """Of each cell, whether one of the others lies within half a diameter of it."""
        known = np.zeros(len(self.sides), np.bool_)
        for other in others:
            far = np.linalg.norm(self.middles[:, None] - other.middles[None], axis=2)
            near = far < _SAME_CELL * np.maximum(self.sides[:, None], other.sides[None])
            known |= near.any(axis=1)
        return known


def _whole_and_counted_before(cell: CellReading) -> bool:
    x, y, width, height = cell.box
    whole = x > 0 and y > 0 and x + width < WIDTH and y + height < HEIGHT
    return whole and cell.reason == "counted-before"


def measure(seed: int, classifier: Classifier, kinds: Sequence[str] = SOURCES) -> dict[str, Tally]:
    """Photograph and read one slide from each kind of source."""
    rng = np.random.default_rng(seed)
    film = simulate_field(seed, width=_FILM[0], height=_FILM[1], cells=_CELLS).frame
    places = walk(rng)
    found = {}
    with TemporaryDirectory(prefix="cellgate-") as folder:
        made = sources(Path(folder), film, places, rng)
        for kind in kinds:
            out = Path(folder) / f"read-{kind}"
            read_slide(made[kind], classifier, f"{seed}", out)
            with SlideRecord.open(out / RECORD) as record:
                found[kind] = tally(kind, places, record)
    return found


def table(tallies: dict[str, Tally]) -> str:
    """The measurement in Markdown."""
    names = [f.name for f in fields(Tally)]
    lines = [" | ".join(["source", *names]), " | ".join(["---"] * (len(names) + 1))]
    lines += [
        " | ".join([source, *(str(getattr(found, name)) for name in names)])
        for source, found in tallies.items()
    ]
    said = []
    for source, found in tallies.items():
        field, cell = of_share(found.taken, found.new), of_share(found.lost, found.judged + found.lost)
        said.append(
            f"{source}: {found.taken} of {found.new} new fields left out as shown before (95 % interval "
            f"{100 * field[0]:.2f} to {100 * field[1]:.2f} %), {found.lost} of {found.judged + found.lost} "
            f"cells ({100 * cell[0]:.2f} to {100 * cell[1]:.2f} %); {found.twice} judged twice."
        )
    return "\n".join([*(f"| {line} |" for line in lines), "", *said])


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--slides", type=click.IntRange(1), default=25, show_default=True, help="Simulated slides.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), required=True, help="One that decides on simulated cells."
)
def main(slides: int, bundle: Path) -> None:
    """Measure whether each cell of a slide is judged once."""
    classifier = Classifier.open(bundle)
    total = dict.fromkeys(SOURCES, Tally())
    for seed in range(slides):
        found = measure(seed, classifier)
        total = {source: total[source] + found[source] for source in SOURCES}
    click.echo(table(total))


if __name__ == "__main__":
    main()
