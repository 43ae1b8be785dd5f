"""What the gates of a frame are worth: frames as they are, and corrupted more and more.

    python -m scripts.measure_frames --frames ../shared/data/fields.zip --plot frames.png

Of every set in the archive of whole fields, first how many frames pass as they are. Then the frames of which
cells are located and labelled are spoilt, lengths in diameters of their cells. Of each strength are printed
the frames that pass, what becomes of the located cells where nobody stops the frame, and the parasitaemia
that a slide of the passing frames reports, over that of all frames untouched. Tables in Markdown.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import default_bundle
from edge_runtime.cells.boxes import box_iou
from edge_runtime.cells.cutting import CutCell, cut_found, known_typical
from edge_runtime.cells.preprocessing import Box
from edge_runtime.cells.segmentation import segmentation
from edge_runtime.console import Commands
from edge_runtime.fields.gates import measure, stopped_by
from edge_runtime.fields.view import view
from edge_runtime.report.verdict import MOST_REJECTED
from edge_runtime.simulator.corruptions import (
    defocus,
    faded,
    illumination,
    moved,
    sensor_noise,
    stray_light,
    tinted,
    uneven,
)
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import ImageFile
from edge_runtime.sources.zips import open_zip
from scripts.compare_crops import Located, located_cells
from training.intervals import of_share

Light = NDArray[np.float32]

SETS = {
    "nih_thin": "fields/nih_thin/frames/",
    "bbbc041": "fields/bbbc041/images/",
    "bccd": "fields/bccd/JPEGImages/",
    "chula_rbc12": "fields/chula_rbc12/Dataset/",
}
LOCATED, ANNOTATIONS = "nih_thin", "fields/nih_thin/annotations.json"
OVERLAP = 0.3  # of boxes, from which on a found cell is the located one: blur makes cells grow
SPOILT = 0.05  # of the located cells: a frame on which more are lost should be stopped
NOISE = 0.008  # of full light: a sensor's, which a lens out of focus does not blur


@dataclass(frozen=True)
class Spoiling:
    """One way to spoil a frame.

    Attributes:
        act: light [H, W, 3], strength and diameter of a cell in pixels to light.
        strengths: from little to much.
        lost: what counts as lost, "parasitized" cells or the "class" of any cell.
    """

    act: Callable[[Light, float, float], Light]
    strengths: tuple[float, ...]
    lost: str = "class"


def _noisy_defocus(light: Light, radius: float, diameter: float) -> Light:
    normal = np.random.default_rng(0).standard_normal(light.shape, np.float32)
    soft = np.maximum(defocus(light, radius * diameter), np.float32(0))  # a large kernel goes below black
    return sensor_noise(soft, normal, shot=NOISE, read=0)


def _gaussian(light: Light, sigma: float, diameter: float) -> Light:
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma * diameter), np.float32)


def _vignetted(light: Light, loss: float, _: float) -> Light:
    return light * np.maximum(illumination(*light.shape[:2], (0, 0), loss), np.float32(0.02))[..., None]


SPOILINGS: Mapping[str, Spoiling] = {
    "defocus (radius)": Spoiling(
        lambda light, radius, d: defocus(light, radius * d),
        (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.16),
        "parasitized",
    ),
    "defocus and noise (radius)": Spoiling(_noisy_defocus, (0.04, 0.06, 0.08, 0.12), "parasitized"),
    "Gaussian blur (sigma)": Spoiling(_gaussian, (0.01, 0.02, 0.03, 0.04, 0.05, 0.075), "parasitized"),
    "motion (reach)": Spoiling(
        lambda light, reach, d: moved(light, reach * d, 0.6), (0.02, 0.05, 0.1), "parasitized"
    ),
    "less light (share left)": Spoiling(
        lambda light, share, _: tinted(light, (share,) * 3), (0.8, 0.6, 0.4, 0.3, 0.2, 0.1)
    ),
    "more light (times)": Spoiling(
        lambda light, times, _: tinted(light, (times,) * 3), (1.1, 1.2, 1.3, 1.5, 1.75, 2.0, 3.0)
    ),
    "warm cast": Spoiling(
        lambda light, less, _: tinted(light, (1, 1 - less / 3, 1 - less)), (0.2, 0.4, 0.6, 0.8)
    ),
    "cool cast": Spoiling(
        lambda light, less, _: tinted(light, (1 - less, 1 - less / 3, 1)), (0.2, 0.4, 0.6, 0.8)
    ),
    "green cast": Spoiling(
        lambda light, less, _: tinted(light, (1 - less, 1, 1 - less)), (0.1, 0.2, 0.3, 0.45, 0.6)
    ),
    "magenta cast": Spoiling(
        lambda light, less, _: tinted(light, (1, 1 - less, 1)), (0.1, 0.2, 0.3, 0.45, 0.6)
    ),
    "lost saturation": Spoiling(lambda light, share, _: faded(light, share), (0.2, 0.4, 0.5, 0.6, 0.8, 1.0)),
    "stray light": Spoiling(
        lambda light, share, _: stray_light(light, share, light.mean(axis=(0, 1))), (0.2, 0.35, 0.5, 0.7)
    ),
    "uneven light": Spoiling(lambda light, fall, _: uneven(light, fall, 0.5), (0.2, 0.4, 0.6, 0.75, 0.9)),
    "vignetting": Spoiling(_vignetted, (0.3, 0.6, 0.9, 1.2)),
}


@dataclass(frozen=True)
class Shot:
    """One frame, as it is or spoilt.

    Attributes:
        frame: its name.
        stopped: the gate's reason, or "".
        located: cells that are labelled.
        parasitized: of these parasitized.
        called: of the parasitized called so, accepted or not.
        right: of the located called what they are.
        judged: all cells that were classified.
        accepted: of these with an answer.
        positive: of these parasitized.
    """

    frame: str
    stopped: str
    located: int
    parasitized: int
    called: int
    right: int
    judged: int
    accepted: int
    positive: int


Curve = list[tuple[float, list[Shot]]]  # by strength


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--frames", type=click.Path(path_type=Path), required=True, help="The archive of whole fields.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the curves of blur into this PNG.")
@click.option("--only", multiple=True, type=click.Choice(list(SPOILINGS)), help="Leave the others out.")
def main(frames: Path, plot: Path | None, only: Sequence[str]) -> None:
    """Measure the gates."""
    classifier = Classifier.open(default_bundle())
    files = list_images(frames)
    print_untouched(files, classifier.bundle.manifest.gates)
    located = located_by_frame(frames)
    pictures = [
        (PurePosixPath(file.name).name, decode_image(file.read(), file.name))
        for file in files
        if file.name.startswith(SETS[LOCATED])
    ]
    sharp = [shot(picture, name, located[name], classifier) for name, picture in pictures]
    diameters = {name: view(picture, segmentation(picture)).diameter for name, picture in pictures}
    print(
        "\n| spoilt by | strength | pass | parasitized called so | right class | parasitaemia, of untouched |"
    )
    print("|---|---|---|---|---|---|")
    print_row("nothing", 0, sharp, sharp)
    curves: dict[str, Curve] = {}
    for name in only or SPOILINGS:
        curves[name] = []
        for strength in SPOILINGS[name].strengths:
            shots = [
                shot(spoilt(picture, SPOILINGS[name], strength, diameters[of]), of, located[of], classifier)
                for of, picture in pictures
            ]
            curves[name].append((strength, shots))
            print_row(name, strength, sharp, shots)
    print_stopped(curves, sharp)
    if plot is not None:
        draw(plot, curves, sharp)


def print_untouched(files: Sequence[ImageFile], limits: Mapping[str, float]) -> None:
    """How many frames of each set pass as they are, and what stops the others."""
    print("| frames | number | pass | 95 % interval | stopped |\n|---|---|---|---|---|")
    for name, prefix in SETS.items():
        stops = Counter(
            stop_of(decode_image(file.read(), file.name), limits)
            for file in files
            if file.name.startswith(prefix)
        )
        total, passed = stops.total(), stops.pop("", 0)
        told = ", ".join(f"{number} {reason}" for reason, number in stops.most_common()) or "none"
        low, high = of_share(passed, total)
        print(f"| {name} | {total} | {passed / total:.1%} | {low:.1%} to {high:.1%} | {told} |", flush=True)


def stop_of(frame: NDArray[np.uint8], limits: Mapping[str, float]) -> str:
    """The gravest reason why a frame does not count, or ""."""
    stops = stopped_by(measure(view(frame, segmentation(frame))), limits)
    return stops[0].reason if stops else ""


def located_by_frame(frames: Path) -> dict[str, list[Located]]:
    """The labelled cells of the frames in the archive."""
    with open_zip(frames) as archive, TemporaryDirectory() as folder:
        found = located_cells(Path(archive.extract(ANNOTATIONS, folder)))
    by_frame: dict[str, list[Located]] = defaultdict(list)
    for cell in found:
        by_frame[cell.frame].append(cell)
    return by_frame


def spoilt(
    frame: NDArray[np.uint8], spoiling: Spoiling, strength: float, diameter: float
) -> NDArray[np.uint8]:
    """A frame spoilt; lengths are in diameters of its own typical cell, which has so many pixels."""
    light = spoiling.act(frame.astype(np.float32) / 255, strength, diameter)
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)


def shot(frame: NDArray[np.uint8], name: str, located: Sequence[Located], classifier: Classifier) -> Shot:
    """Judge a frame, and its cells also where the frame does not count."""
    manifest = classifier.bundle.manifest
    found = segmentation(frame)
    stops = stopped_by(measure(view(frame, found)), manifest.gates)
    cut, _ = cut_found(frame, found.cells, manifest.input.size, typical=known_typical(found))
    sizes = np.array([cell.relative_size for cell in cut], np.float64)
    decisions = classifier.decide_resized([cell.resized for cell in cut], sizes)
    labels = [manifest.classes[label] for label in decisions.label]
    says = [(cell, labels[best]) for cell in located if (best := nearest(cell.box, cut)) is not None]
    accepted = [label for label, rejected in zip(labels, decisions.rejected, strict=True) if not rejected]
    return Shot(
        frame=name,
        stopped=stops[0].reason if stops else "",
        located=len(located),
        parasitized=sum(cell.label == "parasitized" for cell in located),
        called=sum(cell.label == label == "parasitized" for cell, label in says),
        right=sum(cell.label == label for cell, label in says),
        judged=len(labels),
        accepted=len(accepted),
        positive=accepted.count("parasitized"),
    )


def nearest(box: Box, cut: Sequence[CutCell]) -> int | None:
    """Which of the cells is meant by a box; None if none is."""
    overlaps = [box_iou(box, cell.box) for cell in cut]
    best = int(np.argmax(overlaps)) if overlaps else 0
    return best if overlaps and overlaps[best] >= OVERLAP else None


def print_row(name: str, strength: float, sharp: Sequence[Shot], shots: Sequence[Shot]) -> None:
    """One strength of one spoiling."""
    passed, parasitized, located = (
        sum(not of.stopped for of in shots),
        sum(of.parasitized for of in shots),
        sum(of.located for of in shots),
    )
    reported = parasitaemia(of for of in shots if not of.stopped)
    told = "nothing reported" if reported is None else f"{reported / (parasitaemia(sharp) or np.nan):.2f}"
    print(
        f"| {name} | {strength:g} | {passed} of {len(shots)} | "
        f"{sum(of.called for of in shots)} of {parasitized} | {sum(of.right for of in shots)} of {located} | "
        f"{told} |",
        flush=True,
    )


def parasitaemia(shots: Iterable[Shot]) -> float | None:
    """Share of the accepted cells that are parasitized; None where a slide of these could not be read."""
    of = list(shots)
    judged, accepted = sum(each.judged for each in of), sum(each.accepted for each in of)
    if not judged or judged - accepted > MOST_REJECTED * judged:
        return None
    return sum(each.positive for each in of) / accepted


def print_stopped(curves: Mapping[str, Curve], sharp: Sequence[Shot]) -> None:
    """Of the frames at strengths at which too much is lost, how many are stopped."""
    print("\n| spoilt by | frames at strengths that lose more than 5 points | stopped |\n|---|---|---|")
    for name, curve in curves.items():
        harmful = [
            each for _, shots in curve if lost(sharp, shots, SPOILINGS[name]) > SPOILT for each in shots
        ]
        print(f"| {name} | {len(harmful)} | {sum(bool(each.stopped) for each in harmful)} |")


def lost(sharp: Sequence[Shot], shots: Sequence[Shot], spoiling: Spoiling) -> float:
    """Share of the located cells of all frames together that a spoiling loses."""
    if spoiling.lost == "parasitized":
        before, after = (sum(of.called for of in these) for these in (sharp, shots))
        return (before - after) / max(1, sum(of.parasitized for of in sharp))
    before, after = (sum(of.right for of in these) for these in (sharp, shots))
    return (before - after) / max(1, sum(of.located for of in sharp))


def draw(plot: Path, curves: Mapping[str, Curve], sharp: Sequence[Shot]) -> None:
    """The curves of the blurs: cells lost where nobody stops the frame, and frames that pass."""
    blurs = [name for name in curves if SPOILINGS[name].lost == "parasitized"]
    figure = Figure(figsize=(9, 3.2 * max(1, -(-len(blurs) // 2))), layout="constrained")
    for place, name in enumerate(blurs, start=1):
        axes = figure.add_subplot(-(-len(blurs) // 2), 2, place)
        strengths = [0.0, *(strength for strength, _ in curves[name])]
        rows = [list(sharp), *(shots for _, shots in curves[name])]
        parasitized = max(1, sum(of.parasitized for of in sharp))
        axes.plot(
            strengths,
            [sum(of.called for of in shots) / parasitized for shots in rows],
            "o-",
            label="parasitized cells called so",
        )
        axes.plot(
            strengths,
            [sum(not of.stopped for of in shots) / len(shots) for shots in rows],
            "s--",
            label="frames that pass the gates",
        )
        axes.set(xlabel=f"{name}, in diameters of a cell", ylim=(-0.03, 1.03))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(plot, dpi=110)


if __name__ == "__main__":
    main()
