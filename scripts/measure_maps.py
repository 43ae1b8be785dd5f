"""Does a why-map point at what is in the cell? Measured on simulated cells, whose parasites are known.

    python -m scripts.measure_maps --fields 100 --picture maps.png

One field of each simulated slide. A true object is a parasite, or a platelet or speck (precipitated stain)
that lies with at least a third of itself on a red cell that was cut out. Only cells that the network called
or doubted have a map; of these the share on the object is measured, DILATED pixels around it included.
Prints a table in Markdown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.bundle.why import drawn, why_maps
from edge_runtime.cells.cutting import CutCell, cut_found, known_typical
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.cells.segmentation import Cell, segmentation
from edge_runtime.console import Commands
from edge_runtime.simulator import PARASITIZED_KINDS, RED_CELL_KINDS, SimulatedObject, simulate_field
from edge_runtime.statistics.intervals import clopper_pearson
from edge_runtime.storage import write_whole

FIRST = 20_000  # seed of the first slide; those that chose the settings began at 9000
DILATED = 2  # pixels of the crop, of which a cell has about 115 across
ENOUGH = 0.7  # of a map's mass
ON_CELLS, PARASITIZED = 0.9, 0.3
_LEAST = 1 / 3  # of an object
_KINDS = ("ring", "trophozoite", "schizont", "platelet", "speck", "several")
_AROUND = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * DILATED + 1,) * 2)
_EXAMPLES = 2  # of each kind in the picture

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Found:
    """A cell with a true object.

    Attributes:
        kind: one of _KINDS; of objects of several kinds the map may point at any.
        crop: uint8 [size, size, 3] RGB.
        object: bool [size, size], where the object is, dilated.
        relative_size: as the cell was cut.
    """

    kind: str
    crop: NDArray[np.uint8]
    object: Mask
    relative_size: float


@dataclass(frozen=True)
class Mapped:
    """A cell with its map, and the mass of it on the object; 0 where there is no map."""

    found: Found
    why: NDArray[np.float32]
    mass: float


def cells(seed: int, size: int) -> Iterator[Found]:
    """The cells with a true object on one simulated field.

    Args:
        seed: of the slide.
        size: side of the network's input in pixels.
    """
    field = simulate_field(seed, parasitized_fraction=PARASITIZED, on_cells=ON_CELLS)
    found = segmentation(field.frame)
    for cell in found.cells:
        cut, _ = cut_found(field.frame, [cell], size, typical=known_typical(found))
        seen = [(true, part) for true in field.objects if (part := _part(true, cell)).any()]
        stained = [(true, part) for true, part in seen if true.kind != "uninfected"]
        red = any(true.kind in RED_CELL_KINDS for true, _ in seen)
        if cut and red and stained and all(true.kind != "white_cell" for true, _ in stained):
            yield _found(cut[0], cell, stained, size)


def _part(true: SimulatedObject, cell: Cell) -> Mask:
    """The object's mask in the cell's box; empty where less than a third of it lies on the cell."""
    x, y, width, height = cell.box
    left, top = true.box[0] - x, true.box[1] - y
    part = np.zeros((height, width), bool)
    rows, columns = true.mask.shape
    inside = true.mask[
        max(0, -top) : max(0, min(rows, height - top)), max(0, -left) : max(0, min(columns, width - left))
    ]
    part[max(0, top) :, max(0, left) :][: inside.shape[0], : inside.shape[1]] = inside
    part &= cell.mask
    return part if part.sum() >= _LEAST * true.mask.sum() else np.zeros_like(part)


def _found(cut: CutCell, cell: Cell, stained: Sequence[tuple[SimulatedObject, Mask]], size: int) -> Found:
    kinds = {"speck" if true.kind == "debris" else true.kind for true, _ in stained}
    # Painted and cut as the cell is, so that it lies where the crop has it.
    painted = np.where(cell.mask, 128, 0).astype(np.uint8)
    painted[np.any([part for _, part in stained], axis=0)] = 255
    crop = resize_crop(np.repeat(painted[..., None], 3, axis=2), size)[..., 0]
    around = cv2.dilate((crop > 191).astype(np.uint8), _AROUND) > 0
    return Found(next(iter(kinds)) if len(kinds) == 1 else "several", cut.resized, around, cut.relative_size)


def measure(classifier: Classifier, found: Sequence[Found]) -> list[Mapped]:
    """Draw the map of every cell that has one.

    Args:
        classifier: of the bundle.
        found: at least one cell.
    """
    crops = np.stack([one.crop for one in found])
    decisions = classifier.decide_resized(crops, np.array([one.relative_size for one in found]))
    maps = why_maps(classifier, crops, decisions)
    return [Mapped(one, why, float(why[one.object].sum())) for one, why in zip(found, maps, strict=True)]


def table(mapped: Sequence[Mapped]) -> str:
    """Per kind: cells, those without a map, and of the others how many have ENOUGH of it on the object.

    The last columns are the mean share of the map, and of the cell, that the object has: a map that is the
    same all over the cell would have the latter.
    """
    head = (
        "| on the cell | cells | no map | mapped | 70 % on the object | % (95 %) | mean % | area % |",
        "|---|---|---|---|---|---|---|---|",
    )
    groups = {kind: [one for one in mapped if one.found.kind == kind] for kind in _KINDS}
    groups["parasites"] = [one for kind in PARASITIZED_KINDS for one in groups[kind]]
    groups["platelets and specks"] = groups["platelet"] + groups["speck"]
    groups["all"] = list(mapped)
    return "\n".join([*head, *(_row(name, group) for name, group in groups.items() if group)])


def _row(name: str, group: Sequence[Mapped]) -> str:
    told = [one for one in group if one.why.any()]
    head = f"| {name} | {len(group)} | {len(group) - len(told)} | {len(told)} |"
    if not told:
        return f"{head} | | | |"
    right = sum(one.mass >= ENOUGH for one in told)
    bounds = clopper_pearson(right, len(told))
    mean = np.mean([one.mass for one in told])
    area = np.mean([one.found.object.sum() / (one.found.crop.max(axis=2) > 0).sum() for one in told])
    share, low, high = (100 * of for of in (right / len(told), bounds.low, bounds.high))
    return f"{head} {right} | {share:.1f} ({low:.1f} to {high:.1f}) | {100 * mean:.0f} | {100 * area:.0f} |"


def picture(mapped: Sequence[Mapped]) -> NDArray[np.uint8]:
    """Examples, a row per kind, each as it is and with its map's ring: uint8 [H, W, 3] RGB."""
    rows = []
    for kind in _KINDS[:-1]:
        of = [one for one in mapped if one.found.kind == kind and one.why.any()][:_EXAMPLES]
        if of:
            tiles = [tile for one in of for tile in (one.found.crop, drawn(one.found.crop, one.why))]
            blank = np.zeros_like(of[0].found.crop)
            rows.append(np.hstack([*tiles, *[blank] * (2 * _EXAMPLES - len(tiles))]))
    return np.asarray(np.vstack(rows), np.uint8)


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--fields", type=click.IntRange(1), default=100, show_default=True, help="A slide each.")
@click.option("--seed", type=click.IntRange(0), default=FIRST, show_default=True, help="Of the first slide.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle folder; the default one if left out.")
@click.option("--picture", "shown", type=click.Path(path_type=Path), help="PNG of examples to write.")
def main(fields: int, seed: int, bundle: Path | None, shown: Path | None) -> None:
    """Measure how much of the why-maps lies on the parasites, platelets and specks of simulated cells."""
    classifier = Classifier.open(bundle or default_bundle())
    size = classifier.bundle.manifest.input.size
    mapped = []
    for number in range(seed, seed + fields):
        found = list(cells(number, size))
        mapped += measure(classifier, found) if found else []
    click.echo(f"{classifier.bundle.title}, slides {seed} to {seed + fields - 1}\n\n{table(mapped)}")
    if shown is not None:
        made = cv2.cvtColor(picture(mapped), cv2.COLOR_RGB2BGR)
        write_whole(shown, cv2.imencode(".png", made, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes())


if __name__ == "__main__":
    main()
