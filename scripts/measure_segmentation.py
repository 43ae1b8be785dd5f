"""How well cells are found and cut on annotated frames, and what that costs in time and memory.

    python -m scripts.measure_segmentation --frames ../shared/data/fields.zip --overlays overlays
    python -m scripts.measure_segmentation --frames ../shared/data/fields.zip --bundle BUNDLE
    python -m scripts.measure_segmentation --crowded

A box is found by an object whose box overlaps it by 0.5 or more (intersection over union), one object for
each box, the best pairs first. Precision leaves out what matches no box and is cut by the frame's edge (many
sets have no box there), is smaller than 0.55 of the frame's typical diameter, or lies on a box of another
kind (white cells, platelets). Of `nih_thin` only some cells are located, so none is told. A point is alone
where it lies in an object that holds no other one.

A piece is what touches: all objects connected with each other. Of those with several annotated cells it is
told in how many an object that is judged holds two or more annotated centres. `as one, of objects` counts
only what was left together in one object. With a bundle both leave out the objects that it rejects.

Simulated frames are of slides on which nothing was chosen. `--crowded` is measured alone, in a process of its
own: the memory is the most that the process ever had, the frame and all libraries included.
"""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.boxes import MATCH_IOU, box_iou
from edge_runtime.cells.cutting import cut_found, known_typical
from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.segmentation import Cell, Segmentation, segmentation
from edge_runtime.console import Commands
from scripts.annotated_frames import Frame, Point, Truth, centre, sets

CROWDED = (4000, 6000, 2000, 60)  # height, width, number of cells, their radius in pixels
SMALLEST = 0.55  # of the typical diameter: platelets and crumbs, which are rejected for their size
WIDEST = 1600  # pixels of an overlay
COLOURS = {"judged": (0, 170, 0), "edge": (0, 0, 255), "clump": (255, 140, 0), "truth": (0, 0, 0)}


@dataclass
class Tally:
    """What was counted on the frames of a set; seconds are of segmentation alone."""

    frames: int = 0
    boxes: int = 0
    found: int = 0
    found_judged: int = 0
    objects: int = 0
    points: int = 0
    alone: int = 0
    pieces: int = 0
    pieces_as_one: int = 0
    together: int = 0
    together_judged: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--frames", type=click.Path(path_type=Path), help="The archive of whole fields.")
@click.option("--overlays", type=click.Path(path_type=Path), help="Draw what was found into this folder.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="What it rejects does not pass as one cell.",
)
@click.option("--most", type=int, help="Frames of each set; all if left out.")
@click.option("--crowded", is_flag=True, help="Only the memory and time of one large crowded frame.")
def main(
    frames: Path | None, overlays: Path | None, bundle: Path | None, most: int | None, crowded: bool
) -> None:
    """Measure segmentation."""
    if crowded:
        print_crowded()
        return
    classifier = Classifier.open(bundle) if bundle else None
    print(
        "| frames | number | F1 | precision | found | found and judged | alone | pieces of several as one "
        "| as one, of objects | s per frame |\n|" + "---|" * 10
    )
    for name, truths in sets(frames).items():
        tally = Tally()
        for number, truth in enumerate(truths()):
            if most is not None and number >= most:
                break
            begun = time.perf_counter()
            found = segmentation(truth.frame)
            seconds = time.perf_counter() - begun
            passing = accepted(truth.frame, found, classifier) if classifier else None
            tally += tallied(truth, found, seconds, passing)
            if overlays is not None:
                draw(overlays / name / f"{PurePosixPath(truth.name).stem}.jpg", truth, found)
        print_row(name, tally)


def accepted(frame: Frame, found: Segmentation, classifier: Classifier) -> set[int]:
    """The numbers of the objects that a classifier accepts."""
    size = classifier.bundle.manifest.input.size
    cut, _ = cut_found(frame, found.cells, size, typical=known_typical(found))
    sizes = np.array([cell.relative_size for cell in cut], np.float64)
    passed = ~classifier.decide_resized([cell.resized for cell in cut], sizes).rejected if cut else []
    boxes = {cell.box for cell, ok in zip(cut, passed, strict=True) if ok}
    return {number for number, cell in enumerate(found.cells) if cell.box in boxes}


def tallied(
    truth: Truth, segmented: Segmentation, seconds: float = 0.0, passing: set[int] | None = None
) -> Tally:
    """Count what was found on a frame, which took so long; only these objects pass, if they are named."""
    cells = segmented.cells
    least = SMALLEST**2 * segmented.typical
    pairs = matched(truth.boxes, [cell.box for cell in cells])
    paired = set(pairs.values())
    labels = labelled(truth.frame.shape[:2], cells)
    holds = held(labels, truth.points, len(cells))
    _, pieces = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=8)
    of_piece = held(pieces, truth.points, int(pieces.max()))
    together = {number for number, count in enumerate(holds) if count > 1}
    judged = {number for number, cell in enumerate(cells) if not (cell.at_edge or cell.clump)}
    passing = judged if passing is None else judged & passing
    as_one = {int(pieces[labels == number + 1][0]) for number in together & passing}
    return Tally(
        frames=1,
        boxes=len(truth.boxes),
        found=len(pairs),
        found_judged=len(paired & judged),
        objects=sum(
            number in paired
            or not (cell.at_edge or np.count_nonzero(cell.mask) < least or _is_other(cell, truth.others))
            for number, cell in enumerate(cells)
        )
        if truth.complete and truth.boxes
        else 0,
        points=len(truth.points),
        alone=int((holds == 1).sum()),
        pieces=int((of_piece > 1).sum()),
        pieces_as_one=len(as_one),
        together=len(together),
        together_judged=len(together & passing),
        seconds=seconds,
    )


def matched(true: Sequence[Box], found: Sequence[Box]) -> dict[int, int]:
    """One found box for each true one, by number: the pairs that overlap best, first."""
    overlaps = sorted(
        (
            (overlap, one, other)
            for one, box in enumerate(true)
            for other, candidate in enumerate(found)
            if (overlap := box_iou(box, candidate)) >= MATCH_IOU
        ),
        reverse=True,
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, one, other in overlaps:
        if one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs


def labelled(shape: tuple[int, int], cells: Sequence[Cell]) -> NDArray[np.int32]:
    """The number of the object on each pixel, from 1 on; 0 beside them."""
    labels = np.zeros(shape, np.int32)
    for number, cell in enumerate(cells, start=1):
        x, y, width, height = cell.box
        labels[y : y + height, x : x + width][cell.mask] = number
    return labels


def held(labels: NDArray[np.int32], points: Sequence[Point], most: int) -> NDArray[np.int64]:
    """How many points lie on each label, from label 1 on."""
    height, width = labels.shape
    on = [labels[min(int(y), height - 1), min(int(x), width - 1)] for x, y in points]
    return np.bincount(np.array(on, np.int64), minlength=most + 1)[1:]


def _is_other(cell: Cell, others: Sequence[Box]) -> bool:
    x, y = centre(cell.box)
    return any(left < x < left + wide and top < y < top + high for left, top, wide, high in others)


def print_row(name: str, tally: Tally) -> None:
    """One set, as a row of Markdown."""
    told = [
        ratio(2 * tally.found, tally.objects + tally.boxes) if tally.objects else "",
        ratio(tally.found, tally.objects),
        ratio(tally.found, tally.boxes),
        ratio(tally.found_judged, tally.boxes),
        ratio(tally.alone, tally.points) if not tally.boxes else "",
        f"{tally.pieces_as_one} of {tally.pieces}",
        f"{tally.together_judged} of {tally.together}",
        f"{tally.seconds / max(1, tally.frames):.2f}",
    ]
    print(f"| {name} | {tally.frames} | " + " | ".join(told) + " |", flush=True)


def ratio(part: int, whole: int) -> str:
    """A share to three places; empty where nothing was counted."""
    return f"{part / whole:.3f}" if whole else ""


def draw(picture: Path, truth: Truth, found: Segmentation) -> None:
    """Outlines of what was found on a frame, and what is annotated."""
    shown = truth.frame.copy()
    for cell in found.cells:
        kind = "edge" if cell.at_edge else "clump" if cell.clump else "judged"
        contours, _ = cv2.findContours(
            np.pad(cell.mask.astype(np.uint8), 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        offset = cell.box[0] - 1, cell.box[1] - 1
        cv2.drawContours(shown, contours, -1, COLOURS[kind], max(1, shown.shape[1] // 640), offset=offset)
    for x, y in truth.points:
        cv2.circle(shown, (int(x), int(y)), max(2, shown.shape[1] // 400), COLOURS["truth"], cv2.FILLED)
    scale = min(1.0, WIDEST / shown.shape[1])
    small = cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(picture), cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 70])


def crowded_frame(height: int, width: int, cells: int, radius: int) -> Frame:
    """Discs on bare film that lie on each other, as pink as the light is dimmed: uint8 [height, width, 3]."""
    rng = np.random.default_rng(0)
    layers = np.zeros((height, width), np.uint8)
    for x, y in zip(rng.integers(0, width, cells), rng.integers(0, height, cells), strict=True):
        one = layers[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        rows, columns = np.ogrid[: one.shape[0], : one.shape[1]]
        one[(rows - min(y, radius)) ** 2 + (columns - min(x, radius)) ** 2 <= radius**2] += 1
    light = np.rint(220 * np.exp(-0.5 * np.arange(cells + 1))).astype(np.uint8)
    frame = np.empty((height, width, 3), np.uint8)
    for row in range(height):  # row by row, or the frame's noise would take more memory than what is measured
        grain = rng.normal(0, 2, width)
        frame[row] = np.clip(light[layers[row]] + grain, 0, 255).astype(np.uint8)[:, None]
    return frame


def print_crowded() -> None:
    """Memory and time of a large frame of cells that lie on each other."""
    height, width, cells, radius = CROWDED
    frame = crowded_frame(height, width, cells, radius)
    begun = time.perf_counter()
    found = segmentation(frame)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{width}x{height} pixels, {cells} cells that overlap: {len(found.cells)} objects, "
        f"{peak:.0f} MB at most, {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
