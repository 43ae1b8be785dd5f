"""A gradient rule per ONNX operator: the table, and the rules neither elementwise nor windowed.

A rule appends the nodes that turn the gradient of a node's first output into gradients of its
inputs, and returns their names by the index of the input. It may leave an input out: if that one
had to be differentiated, the sweep refuses the node. Attributes are those of opset 18 to 21.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import numpy as np
from onnx import NodeProto

from export.differentiation import elementwise, windows
from export.differentiation.tape import Shape, Tape, refusal, settings

Rule = Callable[[Tape, NodeProto, str], dict[int, str]]


def _gemm(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    options = settings(node, {"alpha": 1.0, "beta": 1.0, "transB": 0}, {"transA": 0})
    weight = node.input[1]
    back = tape.add("Gemm", [gradient, weight], alpha=options["alpha"], transB=1 - options["transB"])
    return {0: back}


def _mat_mul(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    settings(node, {})
    left, right = (tape.shape(name) for name in node.input)
    if len(left) < 2 or len(right) != 2:
        raise refusal(node, f"shapes {left} and {right}", "matrices times one matrix")
    return {0: tape.add("MatMul", [gradient, tape.add("Transpose", [node.input[1]], perm=[1, 0])])}


def _batch_normalization(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Where no convolution absorbed it: a factor per channel, since its statistics are fixed."""
    epsilon = settings(node, {"epsilon": 1e-5, "momentum": 0.9}, {"training_mode": 0})["epsilon"]
    scale, variance = tape.value(node.input[1]), tape.value(node.input[4])
    factor = (scale / np.sqrt(variance + epsilon)).reshape(-1, *[1] * len(tape.sizes(node.input[0], 2)))
    return {0: tape.add("Mul", [gradient, tape.constant(factor)])}


def _reduce_mean(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    return {0: _spread(tape, gradient, tape.shape(node.input[0]), _axes(tape, node), mean=True)}


def _reduce_sum(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    return {0: _spread(tape, gradient, tape.shape(node.input[0]), _axes(tape, node), mean=False)}


def _reduce_sum_square(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    part = _spread(tape, gradient, tape.shape(node.input[0]), _axes(tape, node), mean=False)
    double = tape.add("Mul", [node.input[0], tape.constant(2.0)])
    return {0: tape.add("Mul", [double, part])}


def _global_average_pool(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    settings(node, {})
    shape = tape.shape(node.input[0])
    return {0: _spread(tape, gradient, shape, range(2, len(shape)), mean=True)}


def _axes(tape: Tape, node: NodeProto) -> list[int]:
    """Axes of a reduction, counted from the front."""
    defaults = {"axes": None, "keepdims": 1, "noop_with_empty_axes": 0}
    options, shape = settings(node, defaults), tape.shape(node.input[0])
    axes = options["axes"]
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = tape.value(node.input[1])
    if axes is None or len(axes) == 0:
        if options["noop_with_empty_axes"]:
            raise refusal(node, "a reduction over no axis", "a reduction")
        axes = range(len(shape))
    found = [int(axis) % len(shape) for axis in axes]
    if any(shape[axis] is None for axis in found):
        raise refusal(node, "a reduction over the batch", "one within each example")
    return found


def _spread(tape: Tape, gradient: str, shape: Shape, axes: Collection[int], *, mean: bool) -> str:
    """Append what spreads a reduction's gradient, or its share in a mean, over the reduced axes."""
    if mean:
        share = 1.0 / np.prod([shape[axis] or 1 for axis in axes])
        gradient = tape.add("Mul", [gradient, tape.constant(share)])
    kept = tape.reshaped(gradient, tuple(1 if i in axes else size for i, size in enumerate(shape)))
    # A 1 in Expand's target leaves the batch as it is.
    return tape.add("Expand", [kept, tape.constant([size or 1 for size in shape])])


def _reshape(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    settings(node, {"allowzero": 0, "axis": 1})
    return {0: tape.reshaped(gradient, tape.shape(node.input[0]))}


def _transpose(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    back = list(reversed(range(len(tape.shape(node.input[0])))))
    perm = settings(node, {"perm": back})["perm"]
    return {0: tape.add("Transpose", [gradient], perm=[perm.index(i) for i in range(len(perm))])}


def _concat(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    axis = settings(node, {"axis": 0})["axis"] % len(tape.shape(node.output[0]))
    if tape.shape(node.output[0])[axis] is None:
        raise refusal(node, "a concatenation of batches", "one within each example")
    sizes = [tape.shape(name)[axis] or 0 for name in node.input]
    return {i: _slice(tape, gradient, {axis: (sum(sizes[:i]), sizes[i])}) for i in tape.wanted(node)}


def _pad(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    settings(node, {}, {"mode": b"constant"})
    shape = tape.shape(node.input[0])
    pads = [int(pad) for pad in tape.value(node.input[1])]
    axes = list(range(len(shape)))
    if len(node.input) > 3 and node.input[3]:
        axes = [int(axis) % len(shape) for axis in tape.value(node.input[3])]
    cut = {}
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        size = shape[axis]
        if min(begin, end) < 0 or (size is None and (begin or end)):
            raise refusal(
                node, f"padding {begin} and {end} of axis {axis}", "at least 0, and 0 for the batch"
            )
        if size is not None and (begin or end):
            cut[axis] = (begin, size)
    return {0: _slice(tape, gradient, cut) if cut else gradient}


def _slice(tape: Tape, gradient: str, cut: Mapping[int, tuple[int, int]]) -> str:
    """Append a Slice: per axis where it starts and how many entries it keeps."""
    starts = tape.constant([start for start, _ in cut.values()])
    ends = tape.constant([start + size for start, size in cut.values()])
    return tape.add("Slice", [gradient, starts, ends, tape.constant(list(cut))])


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "Add": elementwise.add,
        "AveragePool": windows.average_pool,
        "BatchNormalization": _batch_normalization,
        "Clip": elementwise.clip,
        "Concat": _concat,
        "Conv": windows.conv,
        "Div": elementwise.div,
        "Flatten": _reshape,
        "Gemm": _gemm,
        "GlobalAveragePool": _global_average_pool,
        "HardSigmoid": elementwise.hard_sigmoid,
        "HardSwish": elementwise.hard_swish,
        "Identity": elementwise.identity,
        "LeakyRelu": elementwise.leaky_relu,
        "MatMul": _mat_mul,
        "MaxPool": windows.max_pool,
        "Mul": elementwise.mul,
        "Neg": elementwise.neg,
        "Pad": _pad,
        "ReduceMean": _reduce_mean,
        "ReduceSum": _reduce_sum,
        "ReduceSumSquare": _reduce_sum_square,
        "Relu": elementwise.relu,
        "Reshape": _reshape,
        "Sigmoid": elementwise.sigmoid,
        "Squeeze": _reshape,
        "Sub": elementwise.sub,
        "Transpose": _transpose,
        "Unsqueeze": _reshape,
    }
)
