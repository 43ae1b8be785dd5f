"""The simulator: the same arguments give the same field, and what it calls the truth is true."""

import hashlib
import os
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.simulator import (
    PARASITIZED_KINDS,
    RED_CELL_KINDS,
    SimulatedField,
    simulate_field,
)
from edge_runtime.simulator import field as field_module

SMALL: dict[str, Any] = {"width": 400, "height": 300, "cells": 9}


def digest(field: SimulatedField) -> str:
    return hashlib.sha256(field.frame.tobytes() + repr(field.objects).encode()).hexdigest()


def test_the_same_arguments_give_the_same_field() -> None:
    first = digest(simulate_field(3, 2, **SMALL))
    simulate_field(4, 0, **SMALL)  # nothing of one field leaks into the next
    assert digest(simulate_field(3, 2, **SMALL)) == first


def test_another_process_simulates_the_same_field() -> None:
    script = (
        "import hashlib; from edge_runtime.simulator import simulate_field;"
        f"f = simulate_field(3, 2, **{SMALL});"
        "print(hashlib.sha256(f.frame.tobytes() + repr(f.objects).encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(simulate_field(3, 2, **SMALL))


@pytest.mark.parametrize("other", [(4, 2), (3, 1)])
def test_another_seed_or_index_gives_another_field(other: tuple[int, int]) -> None:
    assert digest(simulate_field(3, 2, **SMALL)) != digest(simulate_field(*other, **SMALL))


def test_fields_of_a_slide_share_its_stain_and_slides_differ() -> None:
    def colour(seed: int, index: int) -> np.ndarray:
        field = simulate_field(seed, index, width=640, height=480, cells=22, parasitized_fraction=0)
        cells = [o for o in field.objects if o.free and o.kind == "uninfected"]
        middles = [
            field.frame[y + h // 4 : y + 3 * h // 4, x + w // 4 : x + 3 * w // 4].mean((0, 1))
            for x, y, w, h in (o.box for o in cells)
        ]
        return np.mean(middles, axis=0) / np.percentile(field.frame, 80, axis=(0, 1))

    slides = np.array([[colour(seed, index) for index in range(2)] for seed in range(5)])
    within = slides.std(axis=1).mean()
    between = slides.mean(axis=1).std(axis=0).mean()
    assert between > 2 * within


def test_frame_and_objects_are_as_promised() -> None:
    field = simulate_field(1, 0, width=500, height=320, cells=12)
    assert field.frame.shape == (320, 500, 3)
    assert field.frame.dtype == np.uint8
    assert sum(o.kind in RED_CELL_KINDS for o in field.objects) == 12
    for x, y, width, height in (o.box for o in field.objects):
        assert 0 <= x < x + width <= 500
        assert 0 <= y < y + height <= 320


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_the_fraction_of_parasitized_cells_is_kept(fraction: float) -> None:
    kinds = [o.kind for o in simulate_field(2, 0, parasitized_fraction=fraction, **SMALL).objects]
    red = [kind for kind in kinds if kind in RED_CELL_KINDS]
    assert all((kind in PARASITIZED_KINDS) == bool(fraction) for kind in red)


def test_every_kind_appears_on_some_field() -> None:
    kinds = {
        o.kind
        for seed in range(8)
        for o in simulate_field(seed, 0, width=800, height=600, cells=8, parasitized_fraction=0.6).objects
    }
    assert kinds == {"uninfected", "ring", "trophozoite", "schizont", "white_cell", "platelet", "debris"}


def test_boxes_are_tight_around_what_is_seen() -> None:
    """Against the pixels: half the absorbance of a cell is its border."""
    checked = 0
    for seed in range(4):
        field = simulate_field(seed, 0, parasitized_fraction=0.0, **SMALL)
        green = -np.log(np.maximum(field.frame[..., 1].astype(float), 1))
        for item in field.objects:
            if item.kind != "uninfected" or not item.free:
                continue
            # What lies in the corners is another cell, and more than three pixels away from this one.
            x, y, width, height = item.box
            around = green[y - 3 : y + height + 3, x - 3 : x + width + 3]
            if around.shape != (height + 6, width + 6):
                continue
            film = np.median(np.concatenate([around[[0, -1]].ravel(), around[:, [0, -1]].ravel()]))
            rim = np.percentile(around - film, 90)
            dark = (cv2.blur(around - film, (3, 3)) > rim / 2).astype(np.uint8)
            _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
            rows, columns = np.nonzero(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())
            seen = (rows.min(), columns.min(), rows.max(), columns.max())
            assert np.abs(np.subtract(seen, (3, 3, height + 2, width + 2))).max() <= 2, (seed, seen, item.box)
            checked += 1
    assert checked >= 12


def test_free_is_what_has_three_pixels_of_nothing_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against masks painted one by one and moved about, pixel by pixel."""
    laid: list[Any] = []
    truth = field_module._truth

    def overheard(items: Any, width: int, height: int) -> Any:
        laid[:] = items
        return truth(items, width, height)

    monkeypatch.setattr(field_module, "_truth", overheard)
    seen = set()
    for seed in range(8):
        objects = simulate_field(seed, 0, width=320, height=240, cells=9).objects
        canvases = np.zeros((len(laid), 240 + 6, 320 + 6), bool)
        for canvas, item in zip(canvases, laid, strict=True):
            rows, columns = item.mask.shape
            canvas[3 + item.y : 3 + item.y + rows, 3 + item.x : 3 + item.x + columns] = item.mask
        for number, item in enumerate(objects):
            own = canvases[number]
            others = np.delete(canvases, number, axis=0).any(axis=0)
            near = any(
                (np.roll(own, (dy, dx), (0, 1)) & others).any() for dy in range(-3, 4) for dx in range(-3, 4)
            )
            inside = own[4:-4, 4:-4].sum() == own.sum()
            assert item.free == (inside and not near), (seed, item)
            rows, columns = np.nonzero(own[3:-3, 3:-3])
            assert item.box == (
                columns.min(),
                rows.min(),
                np.ptp(columns) + 1,
                np.ptp(rows) + 1,
            )
            seen.add((item.free, inside))
    assert seen == {(True, True), (False, True), (False, False)}


@pytest.mark.parametrize(("gap", "free"), [(1, False), (3, False), (4, True)])
@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1), (-1, 1)])
def test_three_pixels_are_the_limit(gap: int, free: bool, direction: tuple[int, int]) -> None:
    """Two squares of ten pixels, the second so far beyond the first in a direction."""
    square = np.ones((10, 10), bool)
    x, y = (50 + side * (9 + gap) for side in direction)
    laid = [field_module._Laid("platelet", square, 50, 50), field_module._Laid("debris", square, x, y)]
    assert [item.free for item in field_module._truth(laid, 200, 160)] == [free, free]


@pytest.mark.parametrize(("place", "free"), [((0, 40), False), ((1, 40), True), ((40, 0), False)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_what_reaches_the_frames_edge_is_not_free(place: tuple[int, int], free: bool, mirrored: bool) -> None:
    x, y = (190 - place[0], 150 - place[1]) if mirrored else place
    laid = [field_module._Laid("platelet", np.ones((10, 10), bool), x, y)]
    assert [item.free for item in field_module._truth(laid, 200, 160)] == [free]


def test_gain_defocus_and_cast_do_what_they_say() -> None:
    plain = simulate_field(6, 0, **SMALL).frame.astype(float)
    dim = simulate_field(6, 0, gain=0.5, **SMALL).frame.astype(float)
    blurred = simulate_field(6, 0, defocus=4.0, **SMALL).frame.astype(float)
    warm = simulate_field(6, 0, colour_cast=(1.0, 1.0, 0.7), **SMALL).frame.astype(float)
    assert dim.mean() == pytest.approx(plain.mean() / 2, rel=0.02)
    assert (np.diff(blurred, axis=1)[::4, ::4].clip(-30, 30) ** 2).mean() < (
        np.diff(plain, axis=1)[::4, ::4].clip(-30, 30) ** 2
    ).mean()
    np.testing.assert_allclose(warm.mean((0, 1)) / plain.mean((0, 1)), (1, 1, 0.7), rtol=0.02)


def test_a_field_without_red_cells_has_none() -> None:
    kinds = {o.kind for o in simulate_field(1, 0, cells=0).objects}
    assert kinds <= {"white_cell", "platelet", "debris"}


def test_a_crowded_field_holds_them_all() -> None:
    objects = simulate_field(1, 0, width=320, height=240, cells=60).objects
    assert sum(o.kind in RED_CELL_KINDS for o in objects) == 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"index": -1},
        {"width": 159},
        {"height": 100},
        {"cells": -1},
        {"parasitized_fraction": 1.1},
        {"parasitized_fraction": float("nan")},
        {"defocus": -0.1},
        {"defocus": float("inf")},
        {"gain": 0},
        {"colour_cast": (1.0, 1.0)},
        {"colour_cast": (1.0, 0.0, 1.0)},
    ],
)
def test_an_argument_out_of_range_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(SourceError, match=f"^{name}: "):
        simulate_field(**{"seed": 0, **wrong})


def test_the_mask_of_a_parasitized_cell_is_its_parasites() -> None:
    """The parasite absorbs more than the cell around it, and of any other object all of it is meant."""
    field = simulate_field(11, cells=40, parasitized_fraction=0.5)
    frame = field.frame.astype(float)
    for item in field.objects:
        x, y, width, height = item.box
        assert item.mask.shape == (height, width)
        if item.kind in PARASITIZED_KINDS and item.free:
            assert 0.03 < item.mask.mean() < 0.7
            seen = frame[y : y + height, x : x + width, 1]
            middle = np.hypot(*(np.mgrid[:height, :width] - np.array([[[height / 2]], [[width / 2]]])))
            around = (middle < 0.4 * min(width, height)) & ~item.mask
            assert seen[item.mask].mean() < seen[around].mean() - 5
        elif item.kind == "uninfected" and item.free:
            assert item.mask.mean() > 0.6


def test_platelets_and_specks_lie_on_cells_where_that_is_asked_for() -> None:
    def alone(on_cells: float) -> list[bool]:
        fields = [simulate_field(seed, cells=40, on_cells=on_cells) for seed in range(4)]
        small = ("platelet", "debris")
        return [item.free for field in fields for item in field.objects if item.kind in small]

    assert np.mean(alone(0.0)) > 0.9
    assert np.mean(alone(1.0)) < 0.4
    with pytest.raises(SourceError, match=r"on_cells: 1\.5"):
        simulate_field(0, on_cells=1.5)
