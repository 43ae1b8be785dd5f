"""Is a bundle made of its run's numbers? Manifest, graph and every constant against those of the run.

Comparing outputs alone would not do: one weight in a million can be wrong without any output showing it.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_runtime.bundle.files import MODEL, Bundle
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.parity import Check
from export.graph import Perturbation, build_graph, output_names
from export.identity import identity_of
from training.trained import TrainedDetector

# The same numbers, but for the last bit where another machine multiplied matrices in another order.
CONSTANTS_LIMIT = 1e-6
# Share of a tensor's largest entry below which an entry is compared by its difference, not by its ratio.
NEGLIGIBLE = 1e-6

Array = NDArray[np.generic]


def comparable(trained: TrainedDetector, manifest: Manifest) -> bool:
    """Whether graph and reference take the same input and give outputs of the same names."""
    return (
        manifest.input == trained.info.input
        and manifest.outputs == output_names(trained.network, _perturbation(manifest))
        and manifest.detector.layers == trained.network.layers
    )


def check_manifest(trained: TrainedDetector, manifest: Manifest) -> Iterator[Check]:
    """What the device takes from the manifest, against the run."""
    same = comparable(trained, manifest) and manifest.classes == trained.info.classes
    yield Check("classes, input or outputs differ", float(not same), 0)
    detector = manifest.detector == trained.detector
    yield Check("threshold or layer weights differ", float(not detector), 0)


def check_graph(trained: TrainedDetector, bundle: Bundle) -> Iterator[Check]:
    """Build the graph again, with the exporter's versions of torch and onnxscript, and compare all of it."""
    built = build_graph(
        trained.model,
        identity=identity_of(bundle.manifest),
        perturbation=_perturbation(bundle.manifest),
    )
    sealed = onnx.load_from_string(bundle.contents[MODEL])
    ours, theirs = _constants(sealed), _constants(built)
    yield Check("graph differs from the run's", float(_steps(sealed) != _steps(built)), 0)
    yield Check("constants missing or added", len(ours.keys() ^ theirs.keys()), 0)
    worst = [constant_difference(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()]
    yield Check("largest difference of a constant", float(np.max(worst, initial=0.0)), CONSTANTS_LIMIT)


def constant_difference(ours: Array, theirs: Array) -> float:
    """Largest relative difference between entries of two tensors; infinite where they are not comparable.

    Entry by entry: measured against the tensor's largest entry, a small weight could be anything.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    if theirs.dtype.kind != "f":
        return 0.0 if np.array_equal(ours, theirs) else float("inf")
    expected = theirs.astype(np.float64)
    size = np.abs(expected)
    scale = size + NEGLIGIBLE * size.max(initial=0.0)
    difference = np.abs(ours.astype(np.float64) - expected)
    return float((difference / np.where(scale > 0, scale, 1.0)).max(initial=0.0))


def _constants(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _steps(model: onnx.ModelProto) -> bytes:
    """Everything in a model but its constants: nodes with their attributes, inputs, outputs, versions."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:]
    return bytes(bare.SerializeToString(deterministic=True))


def _perturbation(manifest: Manifest) -> Perturbation:
    return "none" if manifest.perturbation == "none" else "per-layer"
