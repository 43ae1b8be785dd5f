"""Cells on simulated frames are found where they are; frames without cells give none."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.segmentation import Cell, segment, segmentation
from edge_runtime.simulator import RED_CELL_KINDS, SimulatedField, simulate_field


def iou(one: Box, other: Box) -> float:
    a, b = np.zeros((2, 1000, 1400), bool)
    for canvas, (x, y, width, height) in ((a, one), (b, other)):
        canvas[y : y + height, x : x + width] = True
    return float((a & b).sum() / (a | b).sum())


def overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def found_of_free(field: SimulatedField) -> tuple[int, int]:
    """How many red cells stand free, and how many of them were found."""
    boxes = [cell.box for cell in segment(field.frame)]
    free = [o.box for o in field.objects if o.free and o.kind in RED_CELL_KINDS]
    hits = sum(any(overlap(true, box) and iou(true, box) >= 0.5 for box in boxes) for true in free)
    return len(free), hits


LOOKS = {
    "as it comes": {},
    "dim and warm": {"gain": 0.6, "colour_cast": (1.0, 0.93, 0.8)},
    "out of focus": {"defocus": 2.5},
}


@pytest.mark.parametrize("look", LOOKS)
def test_free_red_cells_are_found(look: str) -> None:
    free, hits = np.sum(
        [
            found_of_free(simulate_field(seed, 0, width=800, height=600, cells=35, **LOOKS[look]))
            for seed in range(20, 24)
        ],
        axis=0,
    )
    assert free > 60
    assert hits >= 0.95 * free


@pytest.mark.parametrize(
    ("seed", "index", "cells", "width"),
    [(3, 0, 6, 640), (5, 2, 22, 640), (22, 1, 6, 640), (25, 1, 22, 640), (36, 0, 12, 480)],
)
def test_white_cells_do_not_hide_the_red_ones(seed: int, index: int, cells: int, width: int) -> None:
    """On these small fields the white cells' nuclei alone have the say in Otsu's cut."""
    field = simulate_field(seed, index, width=width, height=width * 3 // 4, cells=cells)
    assert any(o.kind == "white_cell" for o in field.objects)
    free, hits = found_of_free(field)
    assert free >= 3
    assert hits == free


def test_a_whole_frame_of_the_camera() -> None:
    free, hits = found_of_free(simulate_field(8, 0))
    assert free > 50
    assert hits >= 0.95 * free


@pytest.mark.parametrize("scale", [0.3, 1.7])
def test_the_magnification_need_not_be_known(scale: float) -> None:
    field = simulate_field(9, 0, width=800, height=600, cells=35)
    frame = np.asarray(cv2.resize(field.frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    boxes = [cell.box for cell in segment(frame)]
    free = [o.box for o in field.objects if o.free and o.kind in RED_CELL_KINDS]
    scaled = [tuple(round(scale * side) for side in box) for box in free]
    hits = sum(any(overlap(true, box) and iou(true, box) >= 0.5 for box in boxes) for true in scaled)
    assert hits >= 0.95 * len(free)


def test_what_is_found_stands_on_something(fields: tuple[SimulatedField, ...]) -> None:
    for field in (*fields, *(simulate_field(seed, 0, cells=0) for seed in range(4))):
        for cell in segment(field.frame):
            assert any(overlap(cell.box, o.box) for o in field.objects), cell.box


def sound(cell: Cell, frame: np.ndarray) -> None:
    x, y, width, height = cell.box
    assert cell.mask.dtype == bool
    assert cell.mask.shape == (height, width)
    assert 0 <= x < x + width <= frame.shape[1]
    assert 0 <= y < y + height <= frame.shape[0]
    # The box is tight around the mask.
    assert cell.mask[0].any()
    assert cell.mask[-1].any()
    assert cell.mask[:, 0].any()
    assert cell.mask[:, -1].any()


def test_boxes_are_tight_inside_the_frame_and_ordered(fields: tuple[SimulatedField, ...]) -> None:
    cells = segment(fields[0].frame)
    for cell in cells:
        sound(cell, fields[0].frame)
    assert [cell.box[1] for cell in cells] == sorted(cell.box[1] for cell in cells)


def test_no_pixel_belongs_to_two_cells(fields: tuple[SimulatedField, ...]) -> None:
    for field in fields:
        taken = np.zeros(field.frame.shape[:2], int)
        for cell in segment(field.frame):
            x, y, width, height = cell.box
            taken[y : y + height, x : x + width] += cell.mask
        assert taken.max() == 1


def test_the_frame_is_left_alone_and_always_gives_the_same(fields: tuple[SimulatedField, ...]) -> None:
    before = fields[0].frame.copy()
    first, second = segment(fields[0].frame), segment(fields[0].frame)
    np.testing.assert_array_equal(fields[0].frame, before)
    assert [c.box for c in first] == [c.box for c in second]


def film(height: int = 480, width: int = 640) -> np.ndarray:
    """Bare film under uneven light, as float [height, width, 3]."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = 225 * (1 - 0.08 * (x * x + y * y) + 0.03 * x)
    return np.asarray(light[..., None] * (1.0, 0.97, 0.9))


def disc(frame: np.ndarray, x: int, y: int, radius: int, absorbed: float) -> None:
    rows, columns = np.ogrid[: frame.shape[0], : frame.shape[1]]
    frame[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] *= np.exp(-absorbed)


def as_frame(light: np.ndarray, noise: float = 2.0) -> np.ndarray:
    grain = np.random.default_rng(1).normal(0, noise, light.shape)
    return np.asarray(np.clip(light + grain, 0, 255), np.uint8)


def test_a_row_of_discs_is_found_where_it_was_drawn() -> None:
    light = film()
    centres = [(60 + 100 * n, 100 + 50 * n) for n in range(6)]
    for x, y in centres:
        disc(light, x, y, 30, 0.5)
    cells = segment(as_frame(light))
    assert len(cells) == 6
    for cell, (x, y) in zip(cells, centres, strict=True):
        np.testing.assert_allclose(cell.box, (x - 30, y - 30, 61, 61), atol=2)
        assert cell.mask.sum() == pytest.approx(np.pi * 30**2, rel=0.06)
        assert not cell.at_edge
        assert not cell.clump


def test_what_the_edge_cuts_is_told() -> None:
    light = film()
    for x, y in ((10, 200), (320, 470), (320, 240), (630, 100), (150, 4)):
        disc(light, x, y, 30, 0.5)
    cells = segment(as_frame(light))
    assert len(cells) == 5
    (whole,) = (cell.box for cell in cells if not cell.at_edge)
    np.testing.assert_allclose(whole, (290, 210, 61, 61), atol=2)


def test_touching_cells_are_parted_at_the_neck() -> None:
    light = film()
    for x, y in ((150, 240), (205, 240), (450, 240), (500, 100)):
        disc(light, x, y, 30, 0.5)
    boxes = [cell.box for cell in segment(as_frame(light))]
    assert len(boxes) == 4
    for true in ((120, 210, 60, 61), (175, 210, 60, 61)):
        assert max(iou(true, box) for box in boxes) > 0.8


def test_the_pallor_of_a_cell_is_part_of_it() -> None:
    light = film()
    for x in (100, 250, 400, 550):
        disc(light, x, 240, 30, 0.5)
        disc(light, x, 240, 12, -0.45)
    for cell in segment(as_frame(light)):
        assert cell.mask[cell.mask.shape[0] // 2, cell.mask.shape[1] // 2]


def test_outside_the_eyepieces_circle_is_nothing() -> None:
    light = film()
    for x, y in ((320, 240), (260, 180), (400, 300), (320, 25)):
        disc(light, x, y, 25, 0.5)
    rows, columns = np.ogrid[:480, :640]
    light[(rows - 240) ** 2 + (columns - 320) ** 2 > 230**2] = 4
    cells = segment(as_frame(light))
    inside = [cell.box for cell in cells if not cell.at_edge]
    assert len(inside) == 3
    for cell in cells:
        x, y, width, height = cell.box
        assert np.hypot(x + width / 2 - 320, y + height / 2 - 240) < 235


EMPTY = {
    "film under uneven light": as_frame(film()),
    "noisy film": as_frame(film(), noise=8),
    "dim film": as_frame(0.3 * film(), noise=1.5),
    "black": np.zeros((480, 640, 3), np.uint8),
    "white": np.full((480, 640, 3), 255, np.uint8),
    "dark noise": as_frame(np.full((480, 640, 3), 3.0)),
    "noise": np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_frame_has_no_cells(name: str) -> None:
    assert segment(EMPTY[name]) == []


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.sampled_from(["black", "white", "noise", "film"]),
    st.integers(0, 99),
)
@example((12, 3), "film", 20)  # three values of the film: their noise was taken to be none
def test_no_tiny_frame_is_too_tiny(shape: tuple[int, int], what: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = {
        "black": np.zeros((*shape, 3), np.uint8),
        "white": np.full((*shape, 3), 255, np.uint8),
        "noise": rng.integers(0, 256, (*shape, 3), np.uint8),
        "film": np.clip(rng.normal(200, 3, (*shape, 3)), 0, 255).astype(np.uint8),
    }[what]
    cells = segment(frame)
    if what != "noise":
        assert cells == []
    for cell in cells:
        sound(cell, frame)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 2000), (10, 4000)])
def test_no_strip_of_a_frame_is_too_thin(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for cell in segment(frame):
        sound(cell, frame)


def found_of_touching(field: SimulatedField) -> tuple[int, int]:
    """How many whole red cells touch something, and how many of them have an object of their own."""
    height, width = field.frame.shape[:2]
    boxes = [cell.box for cell in segment(field.frame)]
    hits = total = 0
    for each in field.objects:
        x, y, wide, high = each.box
        if (
            each.kind in RED_CELL_KINDS
            and not each.free
            and x
            and y
            and x + wide < width
            and y + high < height
        ):
            total += 1
            best = max(boxes, key=lambda box: iou(each.box, box) if overlap(each.box, box) else 0)
            if iou(each.box, best) >= 0.5:
                hits += 1
                boxes.remove(best)
    return total, hits


def test_touching_red_cells_are_found() -> None:
    total, hits = np.sum(
        [
            found_of_touching(simulate_field(seed, 0, width=800, height=600, cells=60))
            for seed in range(40, 44)
        ],
        axis=0,
    )
    assert total > 90
    assert hits >= 0.88 * total


def test_the_typical_cell_is_known_where_cells_touch() -> None:
    for cells in (20, 60):
        field = simulate_field(45, 0, width=800, height=600, cells=cells)
        free = [o.box for o in simulate_field(45, 1, width=800, height=600, cells=20).objects if o.free]
        typical = np.median([np.pi / 4 * width * height for _, _, width, height in free])
        assert segmentation(field.frame).typical == pytest.approx(typical, rel=0.2), cells


def test_a_frame_without_cells_has_no_typical_cell() -> None:
    assert segmentation(EMPTY["noisy film"]).typical == 0


def test_a_solid_group_is_not_taken_for_a_cell() -> None:
    """Two cells lie on each other by so much that no neck is left: the outline is convex."""
    light = film()
    for x, y in ((80, 80), (220, 80), (360, 80), (500, 80), (80, 380), (500, 380)):
        disc(light, x, y, 30, 0.5)
    light[250:310, 250:390] *= np.exp(-0.5)
    disc(light, 250, 280, 30, 0.0)
    group = [cell for cell in segment(as_frame(light)) if overlap(cell.box, (250, 250, 140, 60))]
    assert group
    for cell in group:
        assert cell.clump or np.count_nonzero(cell.mask) < 1.4 * np.pi * 30**2
    assert sum(not cell.clump for cell in segment(as_frame(light))) >= 6


def test_cells_on_each_other_are_parted() -> None:
    light = film()
    for x, y in ((80, 80), (220, 80), (360, 80), (500, 80), (150, 280), (190, 280), (420, 280), (456, 300)):
        disc(light, x, y, 30, 0.5)
    cells = segment(as_frame(light))
    assert len(cells) == 8
    assert not any(cell.clump for cell in cells)


def test_pallor_that_opens_to_the_outside_is_part_of_the_cell() -> None:
    light = film()
    for x in (100, 250, 400, 550):
        for y in (100, 240, 380):
            disc(light, x, y, 30, 0.5)
        disc(light, x, 240, 14, -0.5)
        light[236:245, x : x + 32] = film()[236:245, x : x + 32]
    cells = segment(as_frame(light))
    assert len(cells) == 12
    for cell in cells:
        assert cell.mask[cell.mask.shape[0] // 2, cell.mask.shape[1] // 2]
        assert cell.mask.sum() == pytest.approx(np.pi * 30**2, rel=0.08)


def test_an_island_in_the_pallor_of_a_cell_is_no_cell() -> None:
    light = film()
    for x in (100, 250, 400, 550):
        disc(light, x, 240, 30, 0.5)
        disc(light, x, 240, 16, -0.5)
        disc(light, x, 240, 7, 0.5)
    cells = segment(as_frame(light))
    assert len(cells) == 4
    for cell in cells:
        assert cell.mask.sum() == pytest.approx(np.pi * 30**2, rel=0.06)


def test_a_gap_between_cells_is_no_cell() -> None:
    light = film()
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        disc(light, round(320 + 58 * np.cos(angle)), round(240 + 58 * np.sin(angle)), 30, 0.5)
    for x in (50, 120, 520, 590):
        for y in (60, 180, 300, 420):
            disc(light, x, y, 30, 0.5)
    cells = segment(as_frame(light))
    assert len(cells) == 22
    covered = sum(cell.mask.sum() for cell in cells)
    assert covered < 1.06 * 22 * np.pi * 30**2


def test_pale_cells_on_stained_plasma_are_found() -> None:
    """Clouds of plasma make the film noisier than the cells allow, but two groups are clear to see."""
    light = film()
    centres = [(x, y) for x in range(50, 640, 75) for y in range(50, 480, 75)]
    for x, y in centres:
        disc(light, x, y, 30, 0.16)
        disc(light, x, y, 12, -0.1)
    clouds = np.random.default_rng(2).normal(0, 1, (60, 80)).astype(np.float32)
    cloudy = cv2.resize(clouds, (640, 480), interpolation=cv2.INTER_CUBIC)
    light *= np.exp(-0.03 * cloudy)[..., None]
    whole = [cell for cell in segment(as_frame(light)) if not cell.at_edge]
    assert len(whole) >= 0.9 * len(centres)


CROWDED = """
from pathlib import Path
import numpy as np
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.simulator import simulate_field
tile = simulate_field(6, 0, width=800, height=1000, cells=80, parasitized_fraction=0).frame
found = segmentation(np.tile(tile, (3, 5, 1)))
told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(len(found.cells), told["VmHWM"].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's own peak")
def test_a_crowded_frame_of_twelve_megapixels_takes_little_memory() -> None:
    """The most that the process ever had, the frame and all libraries included."""
    done = subprocess.run([sys.executable, "-c", CROWDED], capture_output=True, text=True, check=True)
    cells, kilobytes = map(int, done.stdout.split())
    assert cells > 700
    assert kilobytes < 350 * 1024
