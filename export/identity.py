"""What a graph says of itself: metadata and doc strings, for whoever meets the file without its bundle.

Any program that reads ONNX shows them. The device decides by the manifest, and reads none of this.
"""

import json
from dataclasses import asdict, dataclass

import onnx

from edge_runtime.bundle.manifest import INTENDED_USE, Manifest
from edge_runtime.cells.preprocessing import InputSpec

_GRAPH = (
    "Classifies red cells of stained thin blood films, and scores how much each is like the cells it was "
    "trained on. The scores become a decision by the layer weights and limits in the bundle's manifest."
)
# What stands under what a name begins with; {shape} is the tensor's.
_MEANINGS = {
    "image": (
        "float32 {shape}, RGB in [0, 1]: N red cells, cut out and scaled as the metadata entry "
        "'preprocessing' says, exactly 0 outside the cell."
    ),
    "epsilon": "float32 scalar in units of the image: how far eq. 3 moves each value of the image; 0 is not.",
    "asked": (
        "float32 {shape}, without unit: of each cell the weights of its logits and of its layers' distances "
        "to the nearest class, in the order of 'classes' and 'layers'; it only matters to 'gradient.asked'."
    ),
    "logits": "float32 {shape}, without unit: one per class, in the order of the metadata entry 'classes'.",
    "features": "float32 {shape}, 0 or more, without unit: the mean of each channel of the layer.",
    "distances": (
        "float32 {shape}, 0 or more, without unit: squared Mahalanobis distance of the image as it is, per "
        "layer and class, in the order of the metadata entries 'layers' and 'classes'."
    ),
    "confidences": (
        "float32 {shape}, 0 or less, without unit: confidence score of each layer (eq. 4), high for cells "
        "like those of training; with an input 'epsilon' that of the image that eq. 3 makes."
    ),
    "gradient": (
        "float32 {shape}, per unit of the image: gradient of the layer's distance to the nearest class, "
        "whose sign eq. 3 follows; 'gradient.asked' of the sum that the input 'asked' weighs."
    ),
}


@dataclass(frozen=True)
class Identity:
    """What a graph cannot know by itself.

    Attributes:
        name: of the bundle.
        version: of the bundle.
        classes: names of the logits, in order.
        input: what the graph is fed.
    """

    name: str
    version: str
    classes: tuple[str, ...]
    input: InputSpec


def identity_of(manifest: Manifest) -> Identity:
    """The identity of a sealed bundle's graph."""
    return Identity(manifest.name, manifest.version, manifest.classes, manifest.input)


def write_identity(model: onnx.ModelProto, identity: Identity) -> None:
    """Set a graph's metadata, and the doc strings of the graph, its inputs and its outputs.

    Args:
        model: a bundle's graph, with its inputs and outputs declared; changed in place.
        identity: what to write beside what the graph itself shows.
    """
    tensors = [*model.graph.input, *model.graph.output]
    names = [tensor.name for tensor in tensors]
    layers = [name.removeprefix("features.") for name in names if name.startswith("features.")]
    onnx.helper.set_model_props(
        model,
        {
            "bundle": identity.name,
            "version": identity.version,
            "classes": json.dumps(identity.classes),
            "preprocessing": json.dumps(asdict(identity.input)),
            "layers": json.dumps(layers),
            "perturbation": "per-layer" if "epsilon" in names else "none",
            "intended_use": INTENDED_USE,
        },
    )
    model.graph.doc_string = _GRAPH
    for tensor in tensors:
        kind, _, of = tensor.name.partition(".")
        meaning = _MEANINGS[kind] + (f" Of the same cells, {of}." if kind == "logits" and of else "")
        sizes = [str(dim.dim_param or dim.dim_value) for dim in tensor.type.tensor_type.shape.dim]
        tensor.doc_string = meaning.format(shape=f"[{', '.join(sizes)}]")
