"""Does this device decide as the PyTorch reference did? Replays the bundle's reference vectors."""

import io
import zipfile

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import REFERENCE, Bundle
from edge_runtime.classifier import Classifier
from edge_runtime.decision import decide
from edge_runtime.errors import BundleError
from edge_runtime.parity import (
    EXACT_LIMIT,
    SCORE_LIMIT,
    SIGN_LIMIT,
    Check,
    decision_flips,
    relative_error,
    relative_error_each,
    sign_disagreement,
)
from edge_runtime.preprocessing import to_input

IMAGES, SIGNS = "images", "signs."


def load_reference(bundle: Bundle) -> dict[str, NDArray[np.generic]]:
    """Read the reference vectors.

    Returns:
        `images` uint8 [N, size, size, 3], the graph's outputs by name, and `signs.<layer>` int8
        [N, 3, size, size] of the input gradients where the graph has them.

    Raises:
        BundleError: the file does not hold what the manifest promises.
    """
    try:
        with np.load(io.BytesIO(bundle.contents[REFERENCE]), allow_pickle=False) as stored:
            vectors = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{bundle.path / REFERENCE}: cannot be read ({error}); export it again") from error
    expected = {IMAGES} | {stored_name(output) for output in bundle.manifest.outputs}
    if set(vectors) != expected:
        raise BundleError(f"{bundle.path / REFERENCE}: holds {sorted(vectors)}; expected {sorted(expected)}")
    return vectors


def stored_name(output: str) -> str:
    """Name in reference.npz of a graph's output: of gradients only the signs are kept."""
    return SIGNS + output.removeprefix("gradient.") if output.startswith("gradient.") else output


def replay(classifier: Classifier) -> list[Check]:
    """Run the reference inputs through the graph on this device and compare every output.

    Returns:
        One check per output, and the decisions that flipped.
    """
    manifest = classifier.bundle.manifest
    vectors = load_reference(classifier.bundle)
    ours = classifier.run(to_input(np.asarray(vectors[IMAGES], np.uint8)), manifest.outputs)
    checks = [_check(name, ours[name], vectors[stored_name(name)]) for name in manifest.outputs]
    theirs = {name: np.asarray(vectors[name], np.float32) for name in ("logits", "confidences")}
    beyond, _ = decision_flips(
        decide(manifest.detector, ours["logits"], ours["confidences"]),
        decide(manifest.detector, theirs["logits"], theirs["confidences"]),
        manifest.detector,
        SCORE_LIMIT,
    )
    return [*checks, Check("decisions that differ", beyond, 0)]


def _check(name: str, ours: NDArray[np.float32], stored: NDArray[np.generic]) -> Check:
    theirs = np.asarray(stored, np.float32)
    if name.startswith("gradient."):
        return Check(f"{name}, signs", sign_disagreement(ours, theirs), SIGN_LIMIT)
    if name == "distances":
        return Check(name, relative_error_each(ours, theirs), EXACT_LIMIT)
    if name == "confidences":
        return Check(name, relative_error_each(ours, theirs), SCORE_LIMIT)
    return Check(name, relative_error(ours, theirs), EXACT_LIMIT)
