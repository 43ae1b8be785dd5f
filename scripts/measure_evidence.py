"""Does the evidence depend on the camera? Frames with fewer pixels, more noise, less noise and JPEG.

    python -m scripts.measure_evidence --frames ../shared/data/fields.zip

Of every variant of the frames with located cells, in per cent: the red cells (objects of about the median
diameter) that are rejected, and rejected as faint; of the objects far below or above that diameter, how many
are accepted; of the located cells found, how many are accepted, and how many of these have their class. A
table in Markdown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.cutting import cut_found, known_typical
from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.console import Commands
from edge_runtime.simulator.corruptions import compressed
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from scripts.compare_crops import Located, located_cells

Frame = NDArray[np.uint8]

FRAMES, ANNOTATIONS = "fields/nih_thin/frames/", "fields/nih_thin/annotations.json"
RED = (0.65, 1.5)  # of the median diameter: what counts as a red cell
ODD = (0.55, 1.6)  # beyond which an object is none


@dataclass(frozen=True)
class Variant:
    """One other camera.

    Attributes:
        act: what it makes of a frame.
        scale: its pixels to those of the frame, of a length.
    """

    act: Callable[[Frame], Frame]
    scale: float = 1.0


def smaller(frame: Frame, scale: float) -> Frame:
    """Fewer pixels."""
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def noisier(frame: Frame, deviation: float) -> Frame:
    """Sensor noise of so many grey levels."""
    noise = np.random.default_rng(0).standard_normal(frame.shape, np.float32) * np.float32(deviation)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


def jpeg(frame: Frame, quality: int) -> Frame:
    """What JPEG leaves."""
    return np.rint(compressed(frame.astype(np.float32) / 255, quality) * 255).astype(np.uint8)


VARIANTS: Mapping[str, Variant] = {
    "as it is": Variant(lambda frame: frame),
    "half size": Variant(lambda frame: smaller(frame, 0.5), 0.5),
    "quarter size": Variant(lambda frame: smaller(frame, 0.25), 0.25),
    "noise 2": Variant(lambda frame: noisier(frame, 2)),
    "noise 4": Variant(lambda frame: noisier(frame, 4)),
    "noise 8": Variant(lambda frame: noisier(frame, 8)),
    "median of 5x5": Variant(lambda frame: np.asarray(cv2.medianBlur(frame, 5), np.uint8)),
    "Gaussian 1.5": Variant(lambda frame: np.asarray(cv2.GaussianBlur(frame, (0, 0), 1.5), np.uint8)),
    "JPEG 90": Variant(lambda frame: jpeg(frame, 90)),
    "JPEG 75": Variant(lambda frame: jpeg(frame, 75)),
    "JPEG 60": Variant(lambda frame: jpeg(frame, 60)),
}


@dataclass
class Count:
    """What became of the objects of all frames of a variant."""

    red: int = 0
    rejected: int = 0
    faint: int = 0
    odd: int = 0
    odd_accepted: int = 0
    located: int = 0
    accepted: int = 0
    right: int = 0

    def line(self, name: str) -> str:
        """A line of the table."""
        shares = (
            f"{_percent(self.rejected, self.red)} of {self.red}",
            _percent(self.faint, self.red),
            f"{self.odd_accepted} of {self.odd}",
            f"{_percent(self.accepted, self.located)} of {self.located}",
            _percent(self.right, self.accepted),
        )
        return f"| {name} | {' | '.join(shares)} |"


HEAD = (
    "| variant | red cells rejected | as faint | odd sizes accepted | located accepted | class right |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def count(frame: Frame, variant: Variant, located: list[Located], classifier: Classifier, to: Count) -> None:
    """Judge the objects of a frame as another camera sees it, and count what becomes of them."""
    manifest = classifier.bundle.manifest
    seen = variant.act(frame)
    found = segmentation(seen)
    cut, _ = cut_found(seen, found.cells, manifest.input.size, typical=known_typical(found))
    if not cut:
        return
    decided = classifier.decide_resized(
        [cell.resized for cell in cut], np.array([cell.relative_size for cell in cut], np.float64)
    )
    diameters = np.sqrt([float(cell.crop.any(axis=2).sum()) for cell in cut])
    sizes, rejected = diameters / np.median(diameters), decided.rejected
    red, odd = (sizes > RED[0]) & (sizes < RED[1]), (sizes < ODD[0]) | (sizes > ODD[1])
    to.red += int(red.sum())
    to.rejected += int(rejected[red].sum())
    to.faint += int((decided.failed_by("colour") | decided.failed_by("texture"))[red].sum())
    to.odd += int(odd.sum())
    to.odd_accepted += int((odd & ~rejected).sum())
    numbers = {id(cell): number for number, cell in enumerate(cut)}
    for one in located:
        best = best_match(_scaled(one.box, variant.scale), cut)
        if best is not None:
            number = numbers[id(best)]
            to.located += 1
            to.accepted += not rejected[number]
            to.right += not rejected[number] and manifest.classes[decided.label[number]] == one.label


def _scaled(box: Box, scale: float) -> Box:
    left, top, width, height = (round(length * scale) for length in box)
    return left, top, width, height


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "none"


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--frames", type=click.Path(path_type=Path), required=True, help="fields.zip.")
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if left out.")
@click.option("--only", type=click.Choice(tuple(VARIANTS)), multiple=True, help="A variant; all if left out.")
def main(frames: Path, bundle: Path | None, only: tuple[str, ...]) -> None:
    """Judge frames as other cameras would see them."""
    classifier = Classifier.open(bundle or default_bundle())
    files = [file for file in list_images(frames) if FRAMES in file.name and not file.left_out]
    with ZipFile(frames) as archive, TemporaryDirectory() as folder:
        located = located_cells(Path(archive.extract(ANNOTATIONS, folder)))
    images = {Path(file.name).name: decode_image(file.read(), file.name) for file in files}
    click.echo(HEAD)
    for name in only or VARIANTS:
        counted = Count()
        for frame, image in images.items():
            here = [one for one in located if one.frame == frame]
            count(image, VARIANTS[name], here, classifier, counted)
        click.echo(counted.line(name))


if __name__ == "__main__":
    main()
