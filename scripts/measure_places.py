"""How surely the place of a frame is known again, measured on frames whose overlap is known.

    python -m scripts.measure_places --slides 6
    python -m scripts.measure_places --photographs fields/nih_thin/frames

Windows are cut out of large pictures, simulated ones or photographs, with overlaps of 0 to 95 % in x, in y
and in both. Each is a frame of its own: other light, white balance and focus, noise, JPEG, the same dirt.
Prints a table in Markdown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.console import Commands
from edge_runtime.errors import SourceError
from edge_runtime.fields.looks import look_at
from edge_runtime.fields.places import Overlap, Places
from edge_runtime.simulator import simulate_field
from edge_runtime.simulator.corruptions import compressed, illumination, sensor_noise, tinted
from edge_runtime.sources.frames import frames
from edge_runtime.sources.items import Frame

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480  # of a frame, pixels; a simulated cell is 80 wide
INPUT_SIZE = InputSpec().size
SHARES = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.95)
_CELLS = 22  # on a frame
_RIGHT = 20  # pixels, a quarter of a simulated cell: a shift that is so far off hits another cell
_SPECKS = 4
_CONFIDENCE = 1.96


@dataclass(frozen=True)
class Row:
    """Pairs of frames that overlap by one share.

    Attributes:
        share: of a frame's area.
        pairs: how many.
        found: of these, an overlap with the right shift.
        wrong: an overlap with another shift.
        error: the largest error of a right shift, pixels.
        twice: cells that were cut out of both frames of the pairs that were not found.
    """

    share: float
    pairs: int
    found: int
    wrong: int
    error: float
    twice: int


def photographed(view: Picture, dirt: NDArray[np.float32], rng: np.random.Generator) -> Picture:
    """A frame of a place as a camera sees it this time.

    Args:
        view: uint8 [H, W, 3] RGB, the place.
        dirt: float32 [H, W], the share of light that passes it; it stays where it is.
        rng: draws focus, light, white balance and noise.
    """
    light = view.astype(np.float32) / np.float32(255)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.5)), np.float32)
    lamp = illumination(*view.shape[:2], (rng.normal(0, 0.03), rng.normal(0, 0.03)), 0.15)
    light = tinted(
        light * (lamp * dirt)[..., None], np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.05, 3)).tolist()
    )
    normal = rng.standard_normal(light.shape, dtype=np.float32)
    light = sensor_noise(light, normal, shot=0.012, read=0.004)
    return np.rint(np.clip(compressed(light, int(rng.integers(60, 96))), 0, 1) * 255).astype(np.uint8)


def specks(rng: np.random.Generator) -> NDArray[np.float32]:
    """Dirt on the camera: float32 [HEIGHT, WIDTH], the share of light that passes."""
    passing = np.ones((HEIGHT, WIDTH), np.float32)
    for _ in range(_SPECKS):
        middle = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        cv2.circle(passing, middle, int(rng.integers(6, 25)), float(rng.uniform(0.5, 0.9)), cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(passing, (0, 0), 2), np.float32)


def moves(share: float) -> Iterator[tuple[int, int]]:
    """The shifts to the right, downwards and to the lower left that leave a share of a frame."""
    root = np.sqrt(share)
    yield round(WIDTH * (1 - share)), 0
    yield 0, round(HEIGHT * (1 - share))
    yield -round(WIDTH * (1 - root)), round(HEIGHT * (1 - root))


def measure(large: Sequence[Picture], share: float, rng: np.random.Generator) -> Row:
    """Overlaps of one share on every large picture, each in the three directions."""
    errors: list[float] = []
    pairs = wrong = twice = 0
    for picture in large:
        dirt = specks(rng)
        for x, y in moves(share):
            height, width = picture.shape[:2]
            left = int(rng.integers(max(0, -x), width - WIDTH - max(0, x) + 1))
            top = int(rng.integers(0, height - HEIGHT - y + 1))
            kept, new = (
                photographed(picture[top + lower :, left + further :][:HEIGHT, :WIDTH], dirt, rng)
                for further, lower in ((0, 0), (x, y))
            )
            found = [float(np.hypot(overlap.x - x, overlap.y - y)) for overlap in overlaps(kept, new)]
            pairs += 1
            right = [error for error in found if error <= _RIGHT]
            errors += right
            twice += 0 if right else cells_in_both(kept, new, x, y)
            wrong += sum(error > _RIGHT for error in found)
    return Row(share, pairs, len(errors), wrong, max(errors, default=float("nan")), twice)


def cells_in_both(kept: Picture, new: Picture, x: int, y: int) -> int:
    """Cells cut out of either frame, if the point p of the new one lies at p + (x, y) of the other."""
    (there, _), (here, _) = cut_cells(kept, INPUT_SIZE), cut_cells(new, INPUT_SIZE)
    moved = [(left + x, top + y, width, height) for left, top, width, height in (cell.box for cell in here)]
    return sum(best_match(box, there) is not None for box in moved)


def overlaps(kept: Picture, new: Picture) -> list[Overlap]:
    """What a frame has in common with one other."""
    places = Places()
    places.keep(look_at(kept), 1)
    return places.find(look_at(new))


def false_overlaps(large: Sequence[Picture], rng: np.random.Generator) -> tuple[int, int]:
    """How many frames that overlap no other are taken for earlier ones, wholly or in part, and of how many.

    All large pictures are one slide, with the same dirt, so that each frame is compared with all before.
    """
    places, dirt, wrong, count = Places(), specks(rng), 0, 0
    for picture in large:
        for top in range(0, picture.shape[0] - HEIGHT + 1, HEIGHT):
            for left in range(0, picture.shape[1] - WIDTH + 1, WIDTH):
                look = look_at(photographed(picture[top:, left:][:HEIGHT, :WIDTH], dirt, rng))
                wrong += bool(places.find(look))
                places.keep(look, count)
                count += 1
    return wrong, count


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z2 = _CONFIDENCE**2
    middle, spread = hits + z2 / 2, _CONFIDENCE * np.sqrt(hits * (of - hits) / of + z2 / 4)
    return float((middle - spread) / (of + z2)), float((middle + spread) / (of + z2))


def table(rows: Sequence[Row], false: tuple[int, int]) -> str:
    """The measurement in Markdown."""
    lines = [
        "overlap, % | pairs | found | wrong shift | largest error, pixels | cells twice",
        " | ".join(["---"] * 6),
    ]
    lines += [
        f"{100 * r.share:.0f} | {r.pairs} | {r.found} | {r.wrong} | {r.error:.1f} | {r.twice}" for r in rows
    ]
    low, high = wilson(*false)
    said = f"{false[0]} of {false[1]} new fields taken for earlier ones, wholly or in part"
    shown = "\n".join(f"| {line} |" for line in lines)
    return f"{shown}\n\n{said} (95 % interval {100 * low:.1f} to {100 * high:.1f} %)."


def photographs(source: str) -> list[Picture]:
    """The lit middle of every photograph of a source; none smaller than two frames in both directions."""
    found = []
    for frame in frames(source):
        if isinstance(frame, Frame):
            height, width = frame.image.shape[:2]
            middle = frame.image[height // 4 : -height // 4, width // 3 : -width // 3]
            if middle.shape[0] >= 2 * HEIGHT and middle.shape[1] >= 2 * WIDTH:
                found.append(middle)
    if not found:
        raise SourceError(
            f"{source}: no photograph large enough; give some of {6 * WIDTH}x{4 * HEIGHT} pixels"
        )
    return found


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--slides", type=click.IntRange(1), default=6, show_default=True, help="Simulated slides.")
@click.option("--photographs", "source", help="Large photographs instead: a folder or a zip.")
def main(slides: int, source: str | None) -> None:
    """Measure how surely overlaps of frames are found."""
    if source is not None:
        large = photographs(source)
    else:
        cells = 12 * _CELLS
        large = [
            simulate_field(slide, width=4 * WIDTH, height=3 * HEIGHT, cells=cells).frame
            for slide in range(slides)
        ]
    rng = np.random.default_rng(0)
    rows = [measure(large, share, rng) for share in SHARES]
    click.echo(table(rows, false_overlaps(large, rng)))


if __name__ == "__main__":
    main()
