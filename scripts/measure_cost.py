"""What part of a field's time its gates take, and the search for its place among fifty.

    python -m scripts.measure_cost --frames ../shared/data/fields.zip

On simulated frames and, where the archive of whole fields is given, on some of every set. All parts are timed
in turn on every frame, four times over; the first round warms up, medians of the others are printed. Times of
one run can be compared with each other, not with those of another.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.console import Commands
from edge_runtime.fields.gates import measure
from edge_runtime.fields.looks import look_at
from edge_runtime.fields.places import Places
from edge_runtime.fields.view import view
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.judging import read_field
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from scripts.measure_frames import SETS

Frame = NDArray[np.uint8]

ROUNDS, FRAMES, KEPT = 4, 4, 50


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--frames", type=click.Path(path_type=Path), help="The archive of whole fields.")
def main(frames: Path | None) -> None:
    """Measure the cost of gates and places."""
    classifier = Classifier.open(default_bundle())
    print(
        "| frames | gates, ms | place, ms | field, ms | gates | gates and place |\n|---|---|---|---|---|---|"
    )
    for name, pictures in sets(frames):
        gates, place, rest = costs(pictures, classifier)
        whole = rest + place
        print(
            f"| {name} | {1e3 * gates:.0f} | {1e3 * place:.0f} | {1e3 * whole:.0f} | {gates / whole:.1%} | "
            f"{(gates + place) / whole:.1%} |",
            flush=True,
        )


def sets(frames: Path | None) -> Iterator[tuple[str, list[Frame]]]:
    """Names and frames to measure on."""
    small = {"width": 640, "height": 480, "cells": 22}
    yield "simulated 640x480", [simulate_field(seed, 0, **small).frame for seed in range(FRAMES)]
    yield "simulated 1280x960", [simulate_field(seed, 0).frame for seed in range(FRAMES)]
    if frames is not None:
        files = list_images(frames)
        for name, prefix in SETS.items():
            chosen = [file for file in files if file.name.startswith(prefix)][:FRAMES]
            yield name, [decode_image(file.read(), file.name) for file in chosen]


def costs(pictures: list[Frame], classifier: Classifier) -> tuple[float, float, float]:
    """Seconds for a frame's gates, for finding its place, and for judging it, in which the gates are."""
    places = Places()
    for number in range(KEPT):
        places.keep(look_at(np.roll(pictures[number % len(pictures)], 37 * number, axis=1)), number)
    rows = []
    for _ in range(ROUNDS):
        for picture in pictures:
            found = segmentation(picture)
            rows.append(
                (
                    seconds(lambda picture=picture, found=found: measure(view(picture, found))),
                    seconds(lambda picture=picture: places.find(look_at(picture))),
                    seconds(lambda picture=picture: read_field(picture, classifier)),
                )
            )
    gates, place, whole = np.median(rows[len(pictures) :], axis=0).tolist()
    return gates, place, whole


def seconds(act: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
