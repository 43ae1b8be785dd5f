"""Whether a copy of a crop as JPEG, or of another size, is decided on as the crop itself is.

    python -m scripts.measure_copies --cells ../shared/data/nih-cells.zip

A decision is the class where the cell is accepted, and "rejected" where it is not. Prints a table in
Markdown; the intervals draw patients, since cells of one patient resemble each other.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.console import Commands
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from training.cells.archive import patient_of
from training.intervals import over_patients

Crop = NDArray[np.uint8]
Copy = Callable[[Crop], Crop]

QUALITIES = (75, 85, 90, 95)
FACTORS = (0.5, 0.75, 1.5, 2.0)
INTERPOLATIONS = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


def copies() -> Mapping[str, Copy]:
    """Every way of copying, by its name; enlarging by area averaging is left out, which repeats pixels."""
    made = {f"JPEG {quality}": _jpeg(quality) for quality in QUALITIES}
    for factor in FACTORS:
        for name, interpolation in INTERPOLATIONS.items():
            if factor < 1 or name != "area":
                made[f"{factor:g} times as large, {name}"] = _scaled(factor, interpolation)
    return made


def _jpeg(quality: int) -> Copy:
    def copy(crop: Crop) -> Crop:
        bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return decode_image(data.tobytes(), "copy")

    return copy


def _scaled(factor: float, interpolation: int) -> Copy:
    def copy(crop: Crop) -> Crop:
        resized = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=interpolation)
        return np.asarray(resized, np.uint8)

    return copy


def spread(cells: Path, count: int) -> tuple[list[Crop], NDArray[np.str_]]:
    """At most `count` crops, about as many of every patient, and whose each one is; the same each time."""
    files = list_images(cells)
    patients = np.array([patient_of(Path(file.name).name) for file in files])
    order = np.random.default_rng(0).permutation(len(files))
    seen: dict[str, int] = {}
    turns = np.zeros(len(files), int)  # how many crops of the same patient come before
    for number in order:
        turns[number] = seen[patients[number]] = seen.get(patients[number], -1) + 1
    chosen = order[np.argsort(turns[order], kind="stable")][:count]
    crops = [decode_image(files[number].read(), files[number].name) for number in chosen]
    return crops, patients[chosen]


def table(classifier: Classifier, crops: list[Crop], patients: NDArray[np.str_]) -> str:
    """How many copies of each kind are decided on as their crops are, in Markdown."""
    labels, decided = _decided(classifier, crops)
    lines = [
        "copy | same decision % (95 %) | same class % | accepted %",
        "--- | --- | --- | ---",
        f"none | | | {100 * (decided >= 0).mean():.1f}",
    ]
    for name, copy in copies().items():
        copied_labels, copied = _decided(classifier, [copy(crop) for crop in crops])
        same = copied == decided
        low, high = over_patients(same, patients)
        share = f"{100 * same.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"
        same_class, accepted = (copied_labels == labels).mean(), (copied >= 0).mean()
        lines.append(f"{name} | {share} | {100 * same_class:.1f} | {100 * accepted:.1f}")
    return "\n".join(f"| {line} |" for line in lines)


def _decided(classifier: Classifier, crops: list[Crop]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class of each crop, and its decision: the class, or -1 if it is rejected."""
    decisions = classifier.decide(crops)
    return decisions.label, np.where(decisions.rejected, -1, decisions.label)


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--cells", type=click.Path(path_type=Path), required=True, help="Masked crops.")
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if left out.")
@click.option("--limit", type=click.IntRange(2), default=1160, show_default=True, help="Crops at most.")
def main(cells: Path, bundle: Path | None, limit: int) -> None:
    """Compare the decisions on copies with those on the crops of a folder or zip."""
    classifier = Classifier.open(bundle or default_bundle())
    crops, patients = spread(cells, limit)
    told = f"{len(crops)} crops of {len(np.unique(patients))} patients, {classifier.bundle.title}"
    click.echo(f"{told}\n\n{table(classifier, crops, patients)}")


if __name__ == "__main__":
    main()
