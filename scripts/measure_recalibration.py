"""What recalibration is worth at another microscope: fitted on half of its frames, tried on the other half.

    python -m scripts.measure_recalibration --frames ../shared/data/fields.zip

Every second frame of a set fits the bundle, or is refused, and the others are judged before and after. False
positives are a share of the accepted cells that are no parasites by the set's annotations. Prints a table in
Markdown.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import click
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.cells.boxes import box_iou
from edge_runtime.cells.cutting import cut_found, known_typical
from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.console import Commands
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.device.recalibration import recalibrate
from edge_runtime.errors import CellgateError
from edge_runtime.fields.gates import measure, stopped_by
from edge_runtime.fields.view import view
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import ImageFile

SETS = {"bbbc041": "fields/bbbc041/images/", "chula_rbc12": "fields/chula_rbc12/Dataset/"}
ANNOTATIONS = "fields/bbbc041/annotations.json"
HEALTHY = {"red blood cell", "leukocyte"}  # what bbbc041 calls no parasite; chula_rbc12 has none
OVERLAP = 0.3  # of boxes, from which on a found cell may be an annotated parasite


@dataclass(frozen=True)
class Seen:
    """The cells of some frames.

    Attributes:
        evidence: of N cells.
        parasitized: bool [N], by the annotations.
    """

    evidence: Evidence
    parasitized: NDArray[np.bool_]


@dataclass(frozen=True)
class Figures:
    """What becomes of cells: shares of 0 to 1, nan of nothing."""

    accepted: float
    false_positives: float
    called_right: str

    @classmethod
    def of(cls, decisions: Decisions, parasitized: NDArray[np.bool_], detector: Detector) -> "Figures":
        """Of decisions for cells of which it is known which are parasitized."""
        accepted, called = ~decisions.rejected, detector.infected(decisions.label)
        healthy = accepted & ~parasitized
        hits = int((accepted & parasitized & called).sum())
        return cls(
            accepted=float(accepted.mean()),
            false_positives=float(called[healthy].mean()) if healthy.any() else float("nan"),
            called_right=f"{hits} of {int((accepted & parasitized).sum())}",
        )


def look(frame: NDArray[np.uint8], classifier: Classifier, parasites: list[Box]) -> Seen | None:
    """Judge the cells of a frame; None where a gate stops it or nothing is cut."""
    manifest = classifier.bundle.manifest
    found = segmentation(frame)
    if stopped_by(measure(view(frame, found)), manifest.gates):
        return None
    cut, _ = cut_found(frame, found.cells, manifest.input.size, typical=known_typical(found))
    if not cut:
        return None
    sizes = np.array([cell.relative_size for cell in cut], np.float64)
    meant = [any(box_iou(cell.box, box) >= OVERLAP for box in parasites) for cell in cut]
    return Seen(classifier.evidence([cell.resized for cell in cut], sizes), np.array(meant, bool))


def together(seen: list[Seen]) -> Seen:
    """The cells of several frames as one."""
    parts = [vars(one.evidence) for one in seen]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Seen(Evidence(**joined), np.concatenate([one.parasitized for one in seen]))


def parasites_of(annotations: Mapping[str, Any], name: str) -> list[Box]:
    """The boxes of a frame's parasites (x, y, width, height); none where the set has none."""
    objects = annotations.get(Path(name).name, {"objects": []})["objects"]
    boxes = [one["bbox"] for one in objects if one["category"] not in HEALTHY]
    return [(left, top, right - left, bottom - top) for left, top, right, bottom in boxes]


def row(name: str, halves: tuple[Seen, Seen], detector: Detector, alpha: float) -> str:
    """One line of the table: fitted on the first half, or refused, and judged on the second."""
    fitting, judged = halves
    before = Figures.of(decide(detector, judged.evidence), judged.parasitized, detector)
    whole = together([fitting])
    try:
        fitted = recalibrate(detector, whole.evidence, alpha=alpha).detector
    except CellgateError as error:
        return f"| {name} | {len(judged.parasitized)} | {_shown(before)} | refused: {error} |"
    after = Figures.of(decide(fitted, judged.evidence), judged.parasitized, fitted)
    return f"| {name} | {len(judged.parasitized)} | {_shown(before)} | {_shown(after)} |"


def _shown(figures: Figures) -> str:
    return (
        f"{figures.accepted:.1%} accepted, {figures.false_positives:.2%} false positives, "
        f"{figures.called_right} parasites"
    )


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--frames", type=click.Path(path_type=Path), required=True, help="fields.zip.")
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if left out.")
@click.option("--only", type=click.Choice(tuple(SETS)), multiple=True, help="A set; all if left out.")
def main(frames: Path, bundle: Path | None, only: tuple[str, ...]) -> None:
    """Measure recalibration on frames of other microscopes."""
    classifier = Classifier.open(bundle or default_bundle())
    manifest = classifier.bundle.manifest
    files = [file for file in list_images(frames) if not file.left_out]
    with ZipFile(frames) as archive:
        annotations = json.loads(archive.read(ANNOTATIONS))
    click.echo("| set | cells judged | before | after |\n| --- | --- | --- | --- |")
    for name in only or SETS:
        chosen = [file for file in files if SETS[name] in file.name]
        halves = tuple(_cells(chosen[start::2], classifier, annotations) for start in (0, 1))
        click.echo(row(name, (halves[0], halves[1]), manifest.detector, manifest.calibrated.alpha))


def _cells(files: list[ImageFile], classifier: Classifier, annotations: Mapping[str, Any]) -> Seen:
    seen = [
        look(decode_image(file.read(), file.name), classifier, parasites_of(annotations, file.name))
        for file in files
    ]
    return together([one for one in seen if one is not None])


if __name__ == "__main__":
    main()
