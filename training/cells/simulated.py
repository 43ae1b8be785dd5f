"""Labelled cells from the simulator, cut out of its frames by the runtime's own segmentation."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime import simulator
from edge_runtime.cells import boxes, segmentation
from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.preprocessing import masked_crop
from edge_runtime.cells.segmentation import Cell, segment
from edge_runtime.errors import SourceError
from edge_runtime.simulator import (
    PARASITIZED_KINDS,
    RED_CELL_KINDS,
    SimulatedObject,
    simulate_field,
)
from training.cells.listing import CellFile, as_png

CLASSES = ("uninfected", "parasitized")


@dataclass(frozen=True)
class Simulation:
    """Which fields to simulate.

    Attributes:
        slides: number of slides; each stands for a patient, with a stain and a camera of its own.
        fields: fields per slide.
        seed: of the first slide.
        parasitized: fraction of the red cells that hold a parasite.
    """

    slides: int = 20
    fields: int = 3
    seed: int = 1000
    parasitized: float = 0.45

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return "simulated:" + ",".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))


def is_simulated(source: str) -> bool:
    """Whether a source asks for simulated cells."""
    return source == "simulated" or source.startswith("simulated:")


def parse(source: str) -> Simulation:
    """Read "simulated" or "simulated:slides=20,fields=3,seed=1000,parasitized=0.45" (any of them).

    Raises:
        SourceError: an unknown setting, or a value that is no number or out of its range.
    """
    values: dict[str, float] = {}
    for setting in filter(None, source.partition(":")[2].split(",")):
        name, _, value = setting.partition("=")
        number = r"0|1|[01]?\.\d+" if name == "parasitized" else r"\d+"
        if name not in {f.name for f in fields(Simulation)} or not re.fullmatch(number, value):
            raise SourceError(f"{source}: cannot read '{setting}'; expected settings as in {Simulation()}")
        values[name] = float(value) if name == "parasitized" else int(value)
    settings = Simulation(**values)  # type: ignore[arg-type]
    if settings.slides < 1 or settings.fields < 1 or settings.parasitized > 1:
        raise SourceError(f"{source}: out of range; slides and fields from 1, parasitized from 0 to 1")
    return settings


def stamp(settings: Simulation) -> str:
    """A text that changes with the settings and with the code that draws and cuts the cells."""
    modules = [*Path(simulator.__file__).parent.glob("*.py"), Path(segmentation.__file__)]
    code = [*modules, Path(boxes.__file__), Path(__file__)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(code)))
    return f"{settings} {digest.hexdigest()}"


def cells(settings: Simulation) -> Iterator[CellFile]:
    """Cut the free red cells of simulated fields, named and labelled as an archive's."""
    for slide in range(settings.seed, settings.seed + settings.slides):
        for index in range(settings.fields):
            field = simulate_field(slide, index, parasitized_fraction=settings.parasitized)
            for number, (found, true) in enumerate(matches(field.frame, field.objects)):
                if true.kind in RED_CELL_KINDS and true.free:
                    label = "parasitized" if true.kind in PARASITIZED_KINDS else "uninfected"
                    name = f"{label.capitalize()}/S{slide}_field_{index}_cell_{number}.png"
                    data = as_png(masked_crop(field.frame, found.box, found.mask))
                    yield CellFile(name, label, f"S{slide}", "", lambda data=data: data)  # type: ignore[misc]


def anomalies(settings: Simulation) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Cut what is not a red cell (white cells, platelets, debris): (kind, masked RGB crop) each."""
    for slide in range(settings.seed, settings.seed + settings.slides):
        for index in range(settings.fields):
            field = simulate_field(slide, index, parasitized_fraction=settings.parasitized)
            for found, true in matches(field.frame, field.objects):
                if true.kind not in RED_CELL_KINDS:
                    yield true.kind, masked_crop(field.frame, found.box, found.mask)


def matches(
    frame: NDArray[np.uint8], objects: tuple[SimulatedObject, ...]
) -> Iterator[tuple[Cell, SimulatedObject]]:
    """Pair what the runtime's segmentation finds with the true objects, each at most once."""
    unmatched = list(objects)
    for found in segment(frame):
        best = best_match(found.box, unmatched)
        if best is not None:
            unmatched.remove(best)
            yield found, best
