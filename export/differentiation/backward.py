"""Reverse-mode differentiation over an ONNX graph, and copies of parts of one.

Works on the forward graph as the exporter wrote it, with batch norm folded and few operators, and
so does not depend on how PyTorch differentiates, or exports what it has differentiated.
"""

from collections.abc import Mapping, Sequence

import onnx

from export.differentiation.rules import RULES
from export.differentiation.tape import Shape, Tape, refusal

# What they make is integers that depend on sizes alone: no gradient flows through them.
_GRADIENT_FREE = ("Shape", "Size")


def append_gradient(graph: onnx.GraphProto, *, seeds: Mapping[str, str], wrt: str, prefix: str) -> str:
    """Append the nodes that carry gradients from forward tensors back to one tensor.

    What sweeps over one graph have in common (turned weights, ReLU masks, pooling indices) is
    appended by the first and used again by the others.

    Args:
        graph: opset 18 to 21, float32, in topological order, with the shapes of its tensors (see
            onnx.shape_inference), only the batch symbolic; nodes and initializers are appended.
        seeds: the name of each forward tensor that has a gradient of its own, to the name of the
            tensor that holds it, in the same shape.
        wrt: name of the tensor to differentiate with respect to, usually the image.
        prefix: start of the names of what is appended.

    Returns:
        Name of the gradient with respect to `wrt`, in its shape: the sum over all seeds.

    Raises:
        UnsupportedOperatorError: an operator, attribute or use without a rule on the way back.
        ValueError: a seed that does not depend on `wrt`.
    """
    forward = list(graph.node)
    tape = _tape(graph, wrt, prefix)
    if lost := sorted(set(seeds) - tape.active):
        raise ValueError(f"{', '.join(lost)}: does not depend on {wrt}; seed a tensor that does")
    gradients = dict(seeds)
    for node in reversed(forward):
        reached = not (tape.active.isdisjoint(node.output) or gradients.keys().isdisjoint(node.output))
        if not reached or wrt in node.output:
            continue
        for index, part in _differentiate(tape, node, gradients).items():
            name = node.input[index]
            gradients[name] = tape.add("Add", [gradients[name], part]) if name in gradients else part
    return gradients[wrt]


def clone_subgraph(
    graph: onnx.GraphProto, *, inputs: Mapping[str, str], outputs: Sequence[str], prefix: str
) -> dict[str, str]:
    """Append a copy of the nodes that outputs need, with tensors replaced; initializers are shared.

    Args:
        graph: in topological order; nodes are appended.
        inputs: the name of each tensor to replace, to the name of its replacement.
        outputs: names of the tensors to compute once more.
        prefix: start of the new names.

    Returns:
        Each output's name, to the name of its copy, or to itself if it needs nothing replaced.

    Raises:
        UnsupportedOperatorError: a node with a graph of its own (If, Loop) is among those to copy.
    """
    needed = set(outputs)
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(set(node.input) - set(inputs))
    copies = dict(inputs)
    for node in list(graph.node):
        if needed.isdisjoint(node.output):
            continue
        if _has_subgraph(node):
            raise refusal(node, "a graph inside the node", "plain nodes")
        if copies.keys().isdisjoint(node.input):
            continue
        copies.update({name: f"{prefix}.{name}" for name in node.output if name})
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.name = f"{prefix}.{node.name or node.output[0]}"
        copy.input[:] = [copies.get(name, name) for name in node.input]
        copy.output[:] = [copies.get(name, name) for name in node.output]
    return {name: copies.get(name, name) for name in outputs}


def _differentiate(tape: Tape, node: onnx.NodeProto, gradients: Mapping[str, str]) -> dict[int, str]:
    """Append a node's backward pass; returns gradients by the index of the node's input."""
    rule = RULES.get(node.op_type)
    if rule is None or node.domain not in ("", "ai.onnx"):
        found = f"an operator of {node.domain or 'ai.onnx'} without a gradient rule"
        raise refusal(node, found, "what rules.RULES lists")
    if not gradients.keys().isdisjoint(node.output[1:]):
        raise refusal(node, "a gradient for an output other than the first", "one for the first")
    parts = rule(tape, node, gradients[node.output[0]])
    for index in tape.wanted(node):
        if index not in parts:
            found = f"input {index} ({node.input[index]}) to be differentiated"
            raise refusal(node, found, f"a constant as input {index}")
    return {index: part for index, part in parts.items() if node.input[index] in tape.active}


def _tape(graph: onnx.GraphProto, wrt: str, prefix: str) -> Tape:
    """Gather what is known of the forward graph."""
    infos = [*graph.value_info, *graph.input, *graph.output]
    constants = {t.name: t for t in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                constants[node.output[0]] = attribute.t
    shapes = {info.name: shape for info in infos if (shape := _shape(info)) is not None}
    shapes |= {name: tuple(tensor.dims) for name, tensor in constants.items()}
    taken = {name for node in graph.node for name in node.output} | constants.keys() | shapes.keys()
    return Tape(graph, prefix, _dependents(graph, wrt), shapes, constants, taken)


def _shape(info: onnx.ValueInfoProto) -> Shape | None:
    kind = info.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)


def _dependents(graph: onnx.GraphProto, wrt: str) -> frozenset[str]:
    """Names of the tensors through which a gradient reaches `wrt`, itself included."""
    found = {wrt}
    for node in graph.node:
        # A graph inside a node sees more than the node's inputs: taken to depend, then refused.
        depends = not found.isdisjoint(node.input) or _has_subgraph(node)
        if depends and node.op_type not in _GRADIENT_FREE:
            found.update(name for name in node.output if name)
    return frozenset(found)


def _has_subgraph(node: onnx.NodeProto) -> bool:
    return any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
