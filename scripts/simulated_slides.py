"""Judged cells of simulated preparations, each with a stain, a lamp and a camera of its own."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.boxes import best_match
from edge_runtime.record.readings import CellReading
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.simulator import PARASITIZED_KINDS, SimulatedObject, simulate_field
from edge_runtime.slide.reading import read_slide
from scripts.composed_slides import CALLED, NOT_CALLED, REJECTED, SUSPICIOUS, Patient, counted

FIRST_SEED = 700  # of preparations that nothing was chosen on
CLEAN, INFECTED, SHARE = 8, 4, 0.3  # fields of each, and the share of parasitized cells on the infected ones

Pools = dict[str, list[int]]  # "parasitized" and "uninfected": answers to the judged cells


def preparations(number: int, classifier: Classifier, keep: Path) -> list[Patient]:
    """Read so many preparations, or take what was kept of them: in `keep`, a file for each.

    Everything that is judged on fields without a parasite counts as a cell without one, dirt and platelets
    that pass for cells as well. Of the infected fields only the parasitized cells that were found count.
    """
    keep.mkdir(parents=True, exist_ok=True)
    return [_as_patient(_kept(seed, classifier, keep)) for seed in range(FIRST_SEED, FIRST_SEED + number)]


def _kept(seed: int, classifier: Classifier, keep: Path) -> Pools:
    file = keep / f"{classifier.bundle.digest[:12]}-{seed}.json"
    if not file.exists():
        pools = judged(seed, classifier)
        file.write_text(json.dumps(pools))
        click.echo(
            f"preparation {seed}: {' '.join(f'{len(of)} {name}' for name, of in pools.items())}", err=True
        )
    pools = json.loads(file.read_text())
    return {str(name): list(answers) for name, answers in pools.items()}


def judged(seed: int, classifier: Classifier, *, clean: int = CLEAN, infected: int = INFECTED) -> Pools:
    """Read one preparation from end to end: segmentation, gates, tests, record."""
    shares = [0.0] * clean + [SHARE] * infected
    pools: Pools = {"parasitized": [], "uninfected": []}
    with TemporaryDirectory(prefix="cellgate-") as folder:
        frames, out, truth = Path(folder) / "frames", Path(folder) / "read", {}
        frames.mkdir()
        for index, share in enumerate(shares):
            field = simulate_field(seed, index, parasitized_fraction=share)
            truth[f"{index:02}.png"] = field.objects if share else None
            cv2.imwrite(str(frames / f"{index:02}.png"), cv2.cvtColor(field.frame, cv2.COLOR_RGB2BGR))
        read_slide(frames, classifier, f"{seed}", out)
        with SlideRecord.open(out / RECORD) as record:
            for field in record.fields():
                objects = truth[Path(field.name).name]
                if objects is None:
                    pools["uninfected"] += answers(field.cells)
                else:
                    pools["parasitized"] += answers(_parasitized(objects, field.cells))
    return pools


def _parasitized(objects: Iterable[SimulatedObject], cells: tuple[CellReading, ...]) -> Iterator[CellReading]:
    for each in objects:
        found = best_match(each.box, cells) if each.kind in PARASITIZED_KINDS else None
        if found is not None:
            yield found


def answers(cells: Iterable[CellReading]) -> list[int]:
    """What was answered of those that were judged."""
    told = {"parasitized": CALLED, "uninfected": NOT_CALLED}
    return [
        SUSPICIOUS if cell.suspect else told.get(cell.status, REJECTED)
        for cell in cells
        if cell.status != "not-judged"
    ]


def _as_patient(pools: Pools) -> Patient:
    parasitized, uninfected = (np.array(pools[name], np.int64) for name in ("parasitized", "uninfected"))
    none = np.array([], np.int64)
    counts = counted(parasitized, none, healthy=False), counted(none, uninfected, healthy=True)
    return Patient(counts, parasitized, uninfected)
