"""Does this device decide as the PyTorch reference did? Replays the bundle's reference vectors.

They are cells, with every output of the graph, and one frame of the simulator, with the cells that were found
in it and what the reference said of them: segmentation, preprocessing and decision on this device.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import REFERENCE, Bundle
from edge_runtime.bundle.parity import (
    DISTANCE_LIMIT,
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
from edge_runtime.bundle.why import in_turn
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.preprocessing import to_input
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.evidence import OUTPUTS, Evidence
from edge_runtime.errors import BundleError

IMAGES, IMAGES_APPEARANCE, SIGNS = "images", "appearance", "signs."
FRAME, FRAME_BOXES, FRAME_APPEARANCE = "frame", "frame.boxes", "frame.appearance"
FRAME_OUTPUTS = {name: f"frame.{name}" for name in OUTPUTS}


# Of the simulator; small, as every device carries it. This seed has parasites of all stages, platelets and a
# white cell.
_FRAME_SEED, _FRAME_SIZE, _FRAME_CELLS, _FRAME_PARASITIZED = 17, (480, 400), 14, 0.3


@dataclass(frozen=True)
class ReferenceFrame:
    """The simulated frame of the reference vectors, and the M cells to judge in it.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        boxes: int64 [M, 4], (x, y, width, height) in pixels each.
        crops: uint8 [M, size, size, 3] RGB, as the network sees them.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.int64]
    crops: NDArray[np.uint8]


def reference_frame(size: int) -> ReferenceFrame:
    """Simulate the frame and cut its cells, as every device must.

    Args:
        size: side of the network's input in pixels.
    """
    from edge_runtime.simulator import simulate_field  # noqa: PLC0415 - only sealing needs it

    width, height = _FRAME_SIZE
    field = simulate_field(
        _FRAME_SEED,
        width=width,
        height=height,
        cells=_FRAME_CELLS,
        parasitized_fraction=_FRAME_PARASITIZED,
    )
    cut, _ = cut_cells(field.frame, size)
    boxes = np.array([cell.box for cell in cut], np.int64)
    return ReferenceFrame(field.frame, boxes, np.stack([cell.resized for cell in cut]))


def pack_reference(
    crops: NDArray[np.uint8],
    outputs: Mapping[str, NDArray[np.generic]],
    frame: ReferenceFrame,
    frame_outputs: Mapping[str, NDArray[np.generic]],
) -> bytes:
    """The bytes of reference.npz.

    Args:
        crops: uint8 [N, size, size, 3] RGB.
        outputs: what the reference says of them, by the names of all of the graph's outputs.
        frame: of the simulator.
        frame_outputs: what the reference says of its cells, by the names of `OUTPUTS` at least.
    """
    vectors: dict[str, NDArray[np.generic]] = {
        IMAGES: crops,
        IMAGES_APPEARANCE: describe(crops),
        FRAME: frame.image,
        FRAME_BOXES: frame.boxes,
        FRAME_APPEARANCE: describe(frame.crops),
        **{stored: frame_outputs[name] for name, stored in FRAME_OUTPUTS.items()},
    }
    for name, value in outputs.items():
        vectors[stored_name(name)] = np.sign(value).astype(np.int8) if name.startswith("gradient.") else value
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **vectors)
    return buffer.getvalue()


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
    asked = in_turn(len(images), len(manifest.classes), manifest.detector)
    outputs = classifier.run(to_input(images), manifest.outputs, asked=asked)
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
        return Check(name, relative_error_each(ours, theirs), DISTANCE_LIMIT)
    if name == "confidences":
        return Check(name, relative_error_each(ours, theirs), SCORE_LIMIT)
    return Check(name, relative_error(ours, theirs), EXACT_LIMIT)
