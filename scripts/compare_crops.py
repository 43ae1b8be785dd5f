"""One cell, two crops: the decision on the crop that the device cut beside that on the NIH crop of the cell.

The functions behind `compare_fields --crops`.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.preprocessing import Box, resize_crop
from edge_runtime.decision.table import SMALL
from edge_runtime.errors import SourceError
from edge_runtime.record.readings import CellReading
from edge_runtime.sources.decoding import decode_image
from training.cells.archive import patient_of
from training.cells.folders import list_folders
from training.run import load_run

CROP_COLUMNS = (
    "located",
    "found",
    "not judged",
    "same class",
    "accepted, our crop",
    "accepted, NIH crop",
    "expert's class, our crop",
    "expert's class, NIH crop",
)
Readings = Mapping[str, tuple[CellReading, ...]]


@dataclass(frozen=True)
class Located:
    """A crop of the archive, and where it was cut out of a frame.

    Attributes:
        frame: file name of the frame.
        crop: file name of the crop, which begins with the patient's prefix.
        label: the expert's class, as the bundle calls it.
        box: in pixels of the frame.
    """

    frame: str
    crop: str
    label: str
    box: Box


@dataclass(frozen=True)
class Decision:
    """What was said of a crop: the class, also where it was rejected."""

    label: str
    accepted: bool


def located_cells(annotations: Path) -> list[Located]:
    """Read where crops of the archive were cut out of frames.

    Raises:
        SourceError: the file is absent or no such list.
    """
    try:
        return [
            Located(
                frame, cell["crop"], str(cell["label"]).lower(), (cell["x"], cell["y"], cell["w"], cell["h"])
            )
            for frame, found in json.loads(annotations.read_text())["frames"].items()
            for cell in found["cells"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{annotations}: no annotations of frames ({error})") from error


def held_out_patients(run: Path) -> set[str]:
    """Patients whose cells only tested a run.

    Raises:
        SourceError: the run was not tested yet, or its split does not hold patients out.
    """
    info = load_run(run)
    if info.config.split != "patient":
        raise SourceError(f"{run}: split by {info.config.split}, so it holds no patient out; give another")
    if "test" not in info.metrics:
        raise SourceError(f"{run}: not tested yet; run 'python -m training test --run {run}'")
    return {row["patient"] for row in info.metrics["test"]["patients"]}


def sizes_on_frames(located: Iterable[Located], read: Readings) -> dict[str, float]:
    """By file name of a crop the relative size that its cell has on the frame; NaN where it was not judged.

    A crop of the archive knows no frame: without its size it would be asked less than ours.
    """
    found = {cell.crop: best_match(cell.box, read.get(cell.frame, ())) for cell in located}
    return {crop: cell.values.get(SMALL, math.nan) if cell else math.nan for crop, cell in found.items()}


def decide_crops(archive: Path, sizes: Mapping[str, float], classifier: Classifier) -> dict[str, Decision]:
    """Decide for some of the archive's own crops, by file name; a part of the archive may lack some.

    Args:
        archive: of the crops.
        sizes: the relative size of each crop's cell, NaN where it is not known, by file name.
        classifier: what decides.

    Raises:
        SourceError: the archive cannot be read, or lacks them all.
    """
    files = [file for file in list_folders(archive).files if PurePosixPath(file.name).name in sizes]
    if not files:
        raise SourceError(f"{archive}: holds none of the {len(sizes)} located crops; give the NIH archive")
    classes = classifier.bundle.manifest.classes
    side = classifier.bundle.manifest.input.size
    resized = [resize_crop(decode_image(file.read(), file.name), side, file.name) for file in files]
    known = np.array([sizes[PurePosixPath(file.name).name] for file in files], np.float64)
    decisions = classifier.decide_resized(resized, known)
    return {
        PurePosixPath(file.name).name: Decision(
            classes[decisions.label[index]], not decisions.rejected[index]
        )
        for index, file in enumerate(files)
    }


def compare_crops(
    located: Iterable[Located], read: Readings, theirs: Mapping[str, Decision]
) -> dict[str, Counter[str]]:
    """Count, per patient, what became of each located cell on our crop and on the archive's.

    Args:
        located: the cells.
        read: what the device read, by file name of the frame.
        theirs: what was said of the archive's crops, by file name.

    Returns:
        By patient, sorted: counts by the names in CROP_COLUMNS.
    """
    rows: dict[str, Counter[str]] = {}
    for cell in sorted(located, key=lambda cell: patient_of(cell.crop)):
        found = best_match(cell.box, read.get(cell.frame, ()))
        told = _told(cell, found, theirs[cell.crop])
        rows.setdefault(patient_of(cell.crop), Counter()).update(told)
    return rows


def _told(cell: Located, found: CellReading | None, nih: Decision) -> Iterator[str]:
    yield "located"
    if found is None:
        return
    yield "found"
    if nih.accepted:
        yield "accepted, NIH crop"
    if nih.label == cell.label:
        yield "expert's class, NIH crop"
    ours = _decision(found)
    if ours is None:
        yield "not judged"
        return
    if ours.accepted:
        yield "accepted, our crop"
    if ours.label == cell.label:
        yield "expert's class, our crop"
    if ours.label == nih.label:
        yield "same class"


def _decision(found: CellReading) -> Decision | None:
    """What the device said of a cell; None if it did not judge it."""
    return None if found.status == "not-judged" else Decision(found.label, found.status != "rejected")


def markdown_table(rows: Mapping[str, Counter[str]]) -> str:
    """A row per patient and one of all, with shares of the cells found."""
    every = sum(rows.values(), Counter[str]())
    lines = [f"| patient | {' | '.join(CROP_COLUMNS)} |", "|---|" + "---|" * len(CROP_COLUMNS)]
    lines += [f"| {p} | {' | '.join(str(of[name]) for name in CROP_COLUMNS)} |" for p, of in rows.items()]
    shares = [f"{every[name]} ({_share(every, name)})" for name in CROP_COLUMNS[2:]]
    lines.append(f"| all | {every['located']} | {every['found']} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _share(counts: Counter[str], name: str) -> str:
    return f"{counts[name] / counts['found']:.1%}" if counts["found"] else "none found"


def differences(located: Iterable[Located], read: Readings, theirs: Mapping[str, Decision]) -> Iterator[str]:
    """One line for every located cell on which the two crops do not get the same answer."""
    for cell in located:
        found, nih = best_match(cell.box, read.get(cell.frame, ())), theirs[cell.crop]
        ours = _decision(found) if found else None
        if ours != nih:
            absent = f"not judged ({found.reason})" if found else "not found"
            yield f"{cell.crop}: ours {_answer(ours) if ours else absent}, NIH {_answer(nih)}"


def _answer(decision: Decision) -> str:
    return decision.label if decision.accepted else f"rejected ({decision.label})"
