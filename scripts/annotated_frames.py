"""Frames with annotated red cells: of the archive of whole fields, and simulated ones of fresh slides."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import Box
from edge_runtime.simulator import RED_CELL_KINDS, simulate_field
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.zips import open_zip

Frame = NDArray[np.uint8]
Point = tuple[float, float]

SEEDS, CELLS = range(300, 312), (35, 60)  # of simulated slides; red cells on 800x600 pixels


@dataclass(frozen=True)
class Truth:
    """An annotated frame.

    Attributes:
        name: of the frame.
        frame: uint8 [H, W, 3] RGB.
        boxes: of its red cells; none where only points are known.
        points: a point in each red cell.
        others: boxes of other things than red cells.
        complete: whether all red cells are annotated, or nearly all.
    """

    name: str
    frame: Frame
    boxes: Sequence[Box]
    points: Sequence[Point]
    others: Sequence[Box] = ()
    complete: bool = True


def sets(frames: Path | None) -> Mapping[str, Callable[[], Iterator[Truth]]]:
    """What there is to measure on, by name."""
    simulated: dict[str, Callable[[], Iterator[Truth]]] = {
        f"simulated, {'free' if free else 'touching'}, {cells} cells": _simulated(cells, free=free)
        for cells in CELLS
        for free in (True, False)
    }
    if frames is None:
        return simulated
    archive = open_zip(frames)
    return {
        "bbbc041": lambda: bbbc041(archive),
        "bccd": lambda: bccd(archive),
        "chula_rbc12": lambda: chula_rbc12(archive),
        "nih_thin": lambda: nih_thin(archive),
        **simulated,
    }


def _simulated(cells: int, *, free: bool) -> Callable[[], Iterator[Truth]]:
    return lambda: simulated(cells, free=free)


def simulated(cells: int, *, free: bool) -> Iterator[Truth]:
    """Fields of slides used nowhere else: red cells that touch nothing, or the others that are whole."""
    for seed in SEEDS:
        field = simulate_field(seed, 0, width=800, height=600, cells=cells)
        height, width = field.frame.shape[:2]
        boxes = [
            each.box
            for each in field.objects
            if each.kind in RED_CELL_KINDS and each.free == free and _inside(each.box, width, height)
        ]
        every = [centre(each.box) for each in field.objects if each.kind in RED_CELL_KINDS]
        yield Truth(f"{cells}-{seed}", field.frame, boxes, every, complete=False)


def _inside(box: Box, width: int, height: int) -> bool:
    x, y, wide, high = box
    return x > 0 and y > 0 and x + wide < width and y + high < height


def bbbc041(archive: zipfile.ZipFile) -> Iterator[Truth]:
    """P. vivax, boxes x0, y0, x1, y1."""
    told = json.loads(archive.read("fields/bbbc041/annotations.json"))
    for name in sorted(told):
        boxes = [_corners(*each["bbox"]) for each in told[name]["objects"]]
        yield _boxed(archive, f"fields/bbbc041/images/{name}", boxes)


def bccd(archive: zipfile.ZipFile) -> Iterator[Truth]:
    """Boxes in the format of Pascal VOC; some red cells have none."""
    for name in _members(archive, "fields/bccd/Annotations/"):
        objects = list(ET.fromstring(archive.read(name)).iter("object"))  # noqa: S314 - the archive is known
        by_kind: dict[bool, list[Box]] = {True: [], False: []}
        for each in objects:
            corners = [int(each.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")]
            by_kind[each.findtext("name") == "RBC"].append(_corners(*corners))
        picture = f"fields/bccd/JPEGImages/{PurePosixPath(name).stem}.jpg"
        # A few boxes have no width.
        boxes = [box for box in by_kind[True] if box[2] > 0 and box[3] > 0]
        yield _boxed(archive, picture, boxes, by_kind[False])


def chula_rbc12(archive: zipfile.ZipFile) -> Iterator[Truth]:
    """A point per cell: x, y, class in each line."""
    pictures = {PurePosixPath(name).stem: name for name in _members(archive, "fields/chula_rbc12/Dataset/")}
    for name in _members(archive, "fields/chula_rbc12/Label/"):
        lines = [line.split() for line in archive.read(name).decode().splitlines() if line.strip()]
        points = [(float(x), float(y)) for x, y, *_ in lines]
        picture = pictures[PurePosixPath(name).stem]
        yield Truth(picture, decode_image(archive.read(picture), picture), (), points)


def nih_thin(archive: zipfile.ZipFile) -> Iterator[Truth]:
    """Phone photographs, of which only some cells are located."""
    told = json.loads(archive.read("fields/nih_thin/annotations.json"))["frames"]
    for name in sorted(told):
        boxes = [(each["x"], each["y"], each["w"], each["h"]) for each in told[name]["cells"]]
        yield _boxed(archive, f"fields/nih_thin/frames/{name}", boxes, complete=False)


def _members(archive: zipfile.ZipFile, folder: str) -> list[str]:
    return sorted(name for name in archive.namelist() if name.startswith(folder) and name != folder)


def _boxed(
    archive: zipfile.ZipFile,
    picture: str,
    boxes: Sequence[Box],
    others: Sequence[Box] = (),
    *,
    complete: bool = True,
) -> Truth:
    frame = decode_image(archive.read(picture), picture)
    return Truth(picture, frame, boxes, [centre(box) for box in boxes], others, complete)


def _corners(left: int, top: int, right: int, bottom: int) -> Box:
    return left, top, right - left, bottom - top


def centre(box: Box) -> Point:
    """The middle of a box."""
    x, y, width, height = box
    return x + width / 2, y + height / 2
