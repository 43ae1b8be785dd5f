"""The multi-output graph: forward pass, Mahalanobis distances, input gradients, perturbed second passes.

Everything the paper's equations 2 to 4 need is in one file; the layer weights and the threshold are not,
they stay data in the manifest.
"""

from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.bundle.classifier import ASKED, GRADIENT
from export.differentiation.backward import append_gradient, clone_subgraph
from export.forward import export_forward, feature_name
from export.identity import Identity, write_identity
from training.gaussians import SILENCE, LayerGaussian
from training.networks import Network
from training.reference import SMOOTHING, FeatureModel

Perturbation = Literal["per-layer", "none"]

PRODUCER = "cellgate"
SMOOTHED = "logits.smoothed"


def build_graph(model: FeatureModel, *, identity: Identity, perturbation: Perturbation) -> onnx.ModelProto:
    """Build the graph that a bundle holds.

    Inputs: `image` float32 [N, 3, size, size] RGB in [0, 1]; `asked` float32 [N, K + L], of each cell the
    weights of its logits and of its layers' distances to the nearest class, or [0, K + L]; with the
    perturbation also `epsilon`, a float32 scalar in units of the image. Outputs: `logits` [N, K],
    `logits.smoothed` [N, K] of the image that `reference.smooth` gives, `features.<layer>` [N, C_l],
    `distances` [N, L, K] of the image as it is, `confidences` [N, L] (eq. 4), `gradient.asked`
    [N, 3, size, size] of what `asked` adds up, with no cell where it has none, and, with the perturbation,
    `gradient.<layer>` of the distance to the nearest class.

    Args:
        model: the trained network, on the CPU, and the statistics of its features.
        identity: what the graph says of itself; its input has the side of the image in pixels.
        perturbation: "per-layer" perturbs the image once per layer (eq. 3), "none" leaves it as it is.
    """
    network, gaussians, size = model.network, model.gaussians, identity.input.size
    made = export_forward(network, size)
    graph = made.graph
    _smoothed_logits(graph)
    for layer in network.layers:
        _add_constants(graph, layer, gaussians[layer])
        relative = gaussians[layer].relative
        _distances(graph, layer, feature_name(layer), f"distances.{layer}", prefix="plain", relative=relative)
    _stack(graph, [f"distances.{layer}" for layer in network.layers], "distances")
    maps = _asked_gradient(graph, model, size)
    scored = [f"distances.{layer}" for layer in network.layers]
    if perturbation == "per-layer":
        scored = [_perturb(graph, layer, relative=gaussians[layer].relative) for layer in network.layers]
    for layer, distances in zip(network.layers, scored, strict=True):
        _node(
            graph,
            "ReduceMin",
            [distances, _const(graph, "axis.1", np.array([1]))],
            f"least.{layer}",
            keepdims=1,
        )
    _node(graph, "Concat", [f"least.{layer}" for layer in network.layers], "least", axis=1)
    _node(graph, "Neg", ["least"], "confidences")
    graph.node.extend(maps)  # last: nothing else is differentiated or copied with them
    _declare(graph, model, size, perturbation)
    write_identity(made, identity)
    made.producer_name, made.producer_version = PRODUCER, ""
    onnx.checker.check_model(made, full_check=True)
    return made


def output_names(network: Network, perturbation: Perturbation) -> tuple[str, ...]:
    """Names of the graph's outputs, in order."""
    gradients = [f"gradient.{layer}" for layer in network.layers] if perturbation == "per-layer" else []
    features = [feature_name(layer) for layer in network.layers]
    return ("logits", SMOOTHED, *features, "distances", "confidences", GRADIENT, *gradients)


def _smoothed_logits(graph: onnx.GraphProto) -> None:
    """Append `reference.smooth` and the pass over what it gives."""
    first_axis, nothing = (
        _const(graph, "axis.1", np.array([1])),
        _const(graph, "zero", np.array(0, np.float32)),
    )
    _node(graph, "ReduceMax", ["image", first_axis], "smooth.brightest", keepdims=1)
    _node(graph, "Greater", ["smooth.brightest", nothing], "smooth.seen")
    _node(graph, "Cast", ["smooth.seen"], "smooth.cell", to=TensorProto.FLOAT)
    kernel = np.outer(SMOOTHING, SMOOTHING).astype(np.float32)[None, None]
    colours = _const(graph, "smooth.kernels", np.repeat(kernel, 3, axis=0))
    _node(graph, "Conv", ["image", colours], "smooth.total", group=3, pads=[1, 1, 1, 1])
    _node(
        graph,
        "Conv",
        ["smooth.cell", _const(graph, "smooth.kernel", kernel)],
        "smooth.share",
        pads=[1, 1, 1, 1],
    )
    least = _const(graph, "smooth.least", kernel.min())
    _node(graph, "Max", ["smooth.share", least], "smooth.divisor")
    _node(graph, "Div", ["smooth.total", "smooth.divisor"], "smooth.mean")
    _node(graph, "Mul", ["smooth.mean", "smooth.cell"], "smooth.image")
    again = clone_subgraph(graph, inputs={"image": "smooth.image"}, outputs=["logits"], prefix="smoothed")
    _node(graph, "Identity", [again["logits"]], SMOOTHED)


def _add_constants(graph: onnx.GraphProto, layer: str, gaussian: LayerGaussian) -> None:
    """Whitening matrix, origin and class centres, factored in float64 and cast last.

    d^2_c = |W (f - m) - W (mu_c - m)|^2 with m the mean of the class means: taking the nearby m off first
    keeps float32 from cancelling, as the expanded quadratic form would.
    """
    origin = gaussian.means.mean(axis=0)
    _const(graph, f"origin.{layer}", origin.astype(np.float32))
    _const(graph, f"whitening.{layer}", gaussian.whitening.T.astype(np.float32))
    _const(
        graph,
        f"centres.{layer}",
        ((gaussian.means - origin) @ gaussian.whitening.T).astype(np.float32),
    )


def _distances(
    graph: onnx.GraphProto, layer: str, features: str, output: str, *, prefix: str, relative: bool
) -> None:
    """Squared Mahalanobis distances [N, K] of features [N, C], or of their relative activations.

    Leaves `<prefix>.relative.<layer>` and `<prefix>.white.<layer>`, both [N, C].
    """
    if relative:
        features = _relative(graph, layer, features, prefix)
    white = f"{prefix}.white.{layer}"
    first_axis = _const(graph, "axis.1", np.array([1]))
    _node(graph, "Sub", [features, f"origin.{layer}"], f"{prefix}.moved.{layer}")
    _node(graph, "MatMul", [f"{prefix}.moved.{layer}", f"whitening.{layer}"], white)
    _node(graph, "Unsqueeze", [white, first_axis], f"{prefix}.row.{layer}")
    _node(graph, "Sub", [f"{prefix}.row.{layer}", f"centres.{layer}"], f"{prefix}.offset.{layer}")
    last_axis = _const(graph, "axis.2", np.array([2]))
    _node(graph, "ReduceSumSquare", [f"{prefix}.offset.{layer}", last_axis], output, keepdims=0)


def _relative(graph: onnx.GraphProto, layer: str, features: str, prefix: str) -> str:
    """Features over their mean, as `gaussians.relative_activations`; returns the name."""
    axis = _const(graph, "axis.1", np.array([1]))
    mean = _node(graph, "ReduceMean", [features, axis], f"{prefix}.mean.{layer}", keepdims=1)
    silence = _const(graph, "silence", np.array([[SILENCE]], np.float32))
    heard = _node(graph, "Add", [mean, silence], f"{prefix}.heard.{layer}")
    relative = _node(graph, "Div", [features, heard], f"{prefix}.relative.{layer}")
    (channels,) = next(known.dims for known in graph.initializer if known.name == f"origin.{layer}")
    for name, width in ((mean, 1), (heard, 1), (relative, channels)):  # the way back needs their shapes
        graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]))
    return relative


def _seed(graph: onnx.GraphProto, layer: str) -> str:
    """Append the gradient [N, C] of the distance to the nearest class by the features; returns its name."""
    # d/df |W (f - mu)|^2 = 2 W^T W (f - mu), for the nearest class (eq. 2).
    _node(graph, "ArgMin", [f"distances.{layer}"], f"nearest.{layer}", axis=1, keepdims=0)
    _node(graph, "Gather", [f"centres.{layer}", f"nearest.{layer}"], f"centre.{layer}", axis=0)
    _node(graph, "Sub", [f"plain.white.{layer}", f"centre.{layer}"], f"residual.{layer}")
    _node(graph, "Transpose", [f"whitening.{layer}"], f"unwhitening.{layer}", perm=[1, 0])
    _node(graph, "MatMul", [f"residual.{layer}", f"unwhitening.{layer}"], f"half.{layer}")
    two = _const(graph, "two", np.array(2, np.float32))
    return _node(graph, "Mul", [f"half.{layer}", two], f"seed.{layer}")


def _measured(layer: str, *, relative: bool) -> str:
    """Name of what a layer's distances are measured on."""
    return f"plain.relative.{layer}" if relative else feature_name(layer)


def _asked_gradient(graph: onnx.GraphProto, model: FeatureModel, size: int) -> list[onnx.NodeProto]:
    """Nodes of the gradient of the weighted sum of logits and distances that the input `asked` names.

    onnxruntime computes the whole graph, whatever is fetched. So the gradient and a forward pass of its own
    stand in a branch that is only taken where something is asked: a decision does not pay for the maps.
    Constants are shared with the graph, and what is new among them is added to it.
    """
    layers, classes = model.network.layers, len(next(iter(model.gaussians.values())).means)
    inner = onnx.GraphProto()
    inner.CopyFrom(graph)
    parts = [f"of.{name}" for name in ("logits", *layers)]
    widths = _const(inner, "of.widths", np.array([classes, *(1 for _ in layers)]))
    inner.node.append(helper.make_node("Split", [ASKED, widths], parts, name="of", axis=1))
    seeds = {"logits": parts[0]}
    for layer in layers:
        measured = _measured(layer, relative=model.gaussians[layer].relative)
        seeds[measured] = _node(inner, "Mul", [_seed(inner, layer), f"of.{layer}"], f"of.seed.{layer}")
    found = append_gradient(inner, seeds=seeds, wrt="image", prefix="back")
    branch = _only_for(inner, found)
    known = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for tensor in inner.initializer if tensor.name not in known)
    nothing = numpy_helper.from_array(np.zeros((0, 3, size, size), np.float32))
    otherwise = helper.make_node("Constant", [], [f"{ASKED}.nothing"], name=f"{ASKED}.nothing", value=nothing)
    zero = _const(graph, "none", np.array(0))
    branches = {
        f"{name}_branch": helper.make_graph(
            nodes,
            f"{ASKED}.{name}",
            [],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, [None, 3, size, size])],
        )
        for name, nodes in (("then", branch), ("else", [otherwise]))
    }
    return [
        helper.make_node("Size", [ASKED], [f"{ASKED}.size"], name=f"{ASKED}.size"),
        helper.make_node("Greater", [f"{ASKED}.size", zero], [f"{ASKED}.any"], name=f"{ASKED}.any"),
        helper.make_node("If", [f"{ASKED}.any"], [GRADIENT], name=GRADIENT, **branches),
    ]


def _only_for(graph: onnx.GraphProto, output: str) -> list[onnx.NodeProto]:
    """Copies of the nodes that one output needs, under names of their own; the last one makes it."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    made = {name for node in kept for name in node.output if name}
    copies = []
    for node in reversed(kept):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{ASKED}.{node.name or node.output[0]}"
        copy.input[:] = [f"{ASKED}.{name}" if name in made else name for name in node.input]
        copy.output[:] = [f"{ASKED}.{name}" if name in made else name for name in node.output]
        copies.append(copy)
    return copies


def _perturb(graph: onnx.GraphProto, layer: str, *, relative: bool) -> str:
    """Append the gradient, the perturbed image (eq. 3) and the pass over it; returns its distances' name."""
    seeds = {_measured(layer, relative=relative): _seed(graph, layer)}
    gradient = append_gradient(graph, seeds=seeds, wrt="image", prefix=f"back.{layer}")
    _node(graph, "Identity", [gradient], f"gradient.{layer}")
    _node(graph, "Sign", [gradient], f"sign.{layer}")
    _node(graph, "Mul", [f"sign.{layer}", "epsilon"], f"step.{layer}")
    _node(graph, "Sub", ["image", f"step.{layer}"], f"shifted.{layer}")
    low, high = (
        _const(graph, "zero", np.array(0, np.float32)),
        _const(graph, "one", np.array(1, np.float32)),
    )
    _node(graph, "Clip", [f"shifted.{layer}", low, high], f"perturbed.{layer}")
    again = clone_subgraph(
        graph,
        inputs={"image": f"perturbed.{layer}"},
        outputs=[feature_name(layer)],
        prefix=f"again.{layer}",
    )
    output = f"perturbed_distances.{layer}"
    _distances(graph, layer, again[feature_name(layer)], output, prefix="perturbed", relative=relative)
    return output


def _stack(graph: onnx.GraphProto, per_layer: list[str], output: str) -> None:
    axis = _const(graph, "axis.1", np.array([1]))
    rows = [_node(graph, "Unsqueeze", [name, axis], f"row.{name}") for name in per_layer]
    _node(graph, "Concat", rows, output, axis=1)


def _declare(graph: onnx.GraphProto, model: FeatureModel, size: int, perturbation: Perturbation) -> None:
    """State the inputs and outputs with their shapes."""
    count, classes = len(model.network.layers), len(next(iter(model.gaussians.values())).means)
    shapes: dict[str, list[str | int]] = {
        "logits": ["N", classes],
        SMOOTHED: ["N", classes],
        "distances": ["N", count, classes],
        "confidences": ["N", count],
    }
    for layer in model.network.layers:
        shapes[feature_name(layer)] = ["N", model.gaussians[layer].means.shape[1]]
        shapes[f"gradient.{layer}"] = ["N", 3, size, size]
    shapes[GRADIENT] = ["M", 3, size, size]
    del graph.output[:]
    for name in output_names(model.network, perturbation):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, size, size]))
    graph.input.append(helper.make_tensor_value_info(ASKED, TensorProto.FLOAT, ["M", classes + count]))
    if perturbation == "per-layer":
        graph.input.append(helper.make_tensor_value_info("epsilon", TensorProto.FLOAT, []))
    del graph.value_info[:]


def _node(graph: onnx.GraphProto, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
    node = helper.make_node(kind, inputs, [output], name=output)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    graph.node.append(node)
    return output


def _const(graph: onnx.GraphProto, name: str, value: NDArray[np.generic]) -> str:
    """Name of an initializer, stored once."""
    if all(known.name != name for known in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(value, name))
    return name
