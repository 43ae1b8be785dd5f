"""Does this device decide as the PyTorch reference did? Replays the bundle's reference vectors.

They are cells, with every output of the graph, and one frame of the simulator, with the cells that were found
in it and what the reference said of them: segmentation, preprocessing and decision on this device.
"""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import REFERENCE, Bundle
from edge_runtime.bundle.parity import (
    EXACT_LIMIT,
    SCORE_LIMIT,
    SIGN_LIMIT,
    Check,
    decision_flips,
    relative_error,
    relative_error_each,
    sign_disagreement,
    value_checks,
)
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.preprocessing import to_input
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.evidence import OUTPUTS, Evidence
from edge_runtime.errors import BundleError

IMAGES, IMAGES_APPEARANCE, SIGNS = "images", "appearance", "signs."
FRAME, FRAME_BOXES, FRAME_APPEARANCE = "frame", "frame.boxes", "frame.appearance"
FRAME_OUTPUTS = {name: f"frame.{name}" for name in OUTPUTS}


def load_reference(bundle: Bundle) -> dict[str, NDArray[np.generic]]:
    """Read the reference vectors.

    Returns:
        `images` uint8 [N, size, size, 3], their `appearance`, the graph's outputs by name, `signs.<layer>`
        int8 [N, 3, size, size] of the input gradients where the graph has them. `frame` uint8 [H, W, 3] RGB,
        and of the M cells to judge in it `frame.boxes` int64 [M, 4], `frame.appearance` and, as
        `frame.<output>`, the outputs that decide.

    Raises:
        BundleError: the file does not hold what the manifest promises.
    """
    try:
        with np.load(io.BytesIO(bundle.contents[REFERENCE]), allow_pickle=False) as stored:
            vectors = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{bundle.path / REFERENCE}: cannot be read ({error}); export it again") from error
    expected = {IMAGES, IMAGES_APPEARANCE, FRAME, FRAME_BOXES, FRAME_APPEARANCE, *FRAME_OUTPUTS.values()}
    expected |= {stored_name(output) for output in bundle.manifest.outputs}
    if set(vectors) != expected:
        raise BundleError(f"{bundle.path / REFERENCE}: holds {sorted(vectors)}; expected {sorted(expected)}")
    return vectors


def stored_name(output: str) -> str:
    """Name in reference.npz of a graph's output: of gradients only the signs are kept."""
    return SIGNS + output.removeprefix("gradient.") if output.startswith("gradient.") else output


def replay(classifier: Classifier) -> list[Check]:
    """Run the reference inputs through this device and compare every output.

    Returns:
        One check per output and per test, the decisions that flipped, and the same of the frame.
    """
    manifest = classifier.bundle.manifest
    vectors = load_reference(classifier.bundle)
    images = np.asarray(vectors[IMAGES], np.uint8)
    outputs = classifier.run(to_input(images), manifest.outputs)
    checks = [_check(name, outputs[name], vectors[stored_name(name)]) for name in manifest.outputs]
    ours = Evidence.of(outputs, images)
    theirs = Evidence.of(vectors, images, np.asarray(vectors[IMAGES_APPEARANCE], np.float64))
    appearance = relative_error_each(ours.appearance, theirs.appearance)
    return [
        *checks,
        Check(IMAGES_APPEARANCE, appearance, EXACT_LIMIT),
        *_decision_checks(decide(manifest.detector, ours), decide(manifest.detector, theirs)),
        *_replay_frame(classifier, vectors),
    ]


def _replay_frame(classifier: Classifier, vectors: dict[str, NDArray[np.generic]]) -> list[Check]:
    """Find, cut and judge the cells of the reference frame."""
    manifest = classifier.bundle.manifest
    cut, _ = cut_cells(np.asarray(vectors[FRAME], np.uint8), manifest.input.size)
    numbers = {tuple(box): number for number, box in enumerate(vectors[FRAME_BOXES].tolist())}
    same = [cell for cell in cut if cell.box in numbers]
    stored = [numbers[cell.box] for cell in same]
    elsewhere = len(cut) + len(numbers) - 2 * len(same)
    crops = [cell.resized for cell in same]
    outputs = {name: vectors[stored_as][stored] for name, stored_as in FRAME_OUTPUTS.items()}
    theirs = Evidence.of(outputs, crops, np.asarray(vectors[FRAME_APPEARANCE], np.float64)[stored])
    ours = classifier.evidence(crops)
    return [
        Check("frame: cells found elsewhere", elsewhere, 0),
        Check("frame: confidences", relative_error_each(ours.confidences, theirs.confidences), SCORE_LIMIT),
        Check("frame: appearance", relative_error_each(ours.appearance, theirs.appearance), EXACT_LIMIT),
        *_decision_checks(decide(manifest.detector, ours), decide(manifest.detector, theirs), "frame: "),
    ]


def _decision_checks(ours: Decisions, theirs: Decisions, prefix: str = "") -> list[Check]:
    beyond, _ = decision_flips(ours, theirs, SCORE_LIMIT)
    return [*value_checks(ours, theirs, prefix), Check(f"{prefix}decisions that differ", beyond, 0)]


def _check(name: str, ours: NDArray[np.float32], stored: NDArray[np.generic]) -> Check:
    theirs = np.asarray(stored, np.float32)
    if name.startswith("gradient."):
        return Check(f"{name}, signs", sign_disagreement(ours, theirs), SIGN_LIMIT)
    if name == "distances":
        return Check(name, relative_error_each(ours, theirs), EXACT_LIMIT)
    if name == "confidences":
        return Check(name, relative_error_each(ours, theirs), SCORE_LIMIT)
    return Check(name, relative_error(ours, theirs), EXACT_LIMIT)
