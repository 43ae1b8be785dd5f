"""Gradient rules of elementwise operators, with the broadcasting of their operands undone.

At a kink the gradient is that of the flat side: zero for ReLU at 0 and for Clip at both bounds.
PyTorch agrees, but for `clamp`, whose bounds it counts as inside (not so for `relu6`, `hardtanh`).
"""

from onnx import NodeProto

from export.differentiation.tape import Tape, refusal, settings

# HardSigmoid with this slope is 0 for x <= 0, and 1 from the smallest normal float32 on.
_STEEP = 1e38


def identity(_tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """The gradient as it is."""
    settings(node, {})
    return {0: gradient}


def neg(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Negation -x."""
    settings(node, {})
    return {0: tape.add("Neg", [gradient])}


def relu(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Slope 1 above 0, 0 elsewhere; the output tells as well as the input."""
    settings(node, {})
    return {0: tape.add("Mul", [gradient, _step(tape, node.output[0])])}


def leaky_relu(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Slope 1 above 0, alpha elsewhere."""
    alpha = settings(node, {"alpha": 0.01})["alpha"]
    above = tape.add("Mul", [_step(tape, node.input[0]), tape.constant(1.0 - alpha)])
    return {0: tape.add("Mul", [gradient, tape.add("Add", [above, tape.constant(alpha)])])}


def sigmoid(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Slope y (1 - y)."""
    settings(node, {})
    y = node.output[0]
    slope = tape.add("Mul", [y, tape.add("Sub", [tape.constant(1.0), y])])
    return {0: tape.add("Mul", [gradient, slope])}


def hard_sigmoid(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Slope alpha where the output lies strictly between 0 and 1."""
    alpha = settings(node, {"alpha": 0.2, "beta": 0.5})["alpha"]
    inside = _inside(tape, node.output[0], tape.constant(0.0), tape.constant(1.0))
    return {0: tape.add("Mul", [gradient, tape.add("Mul", [inside, tape.constant(alpha)])])}


def hard_swish(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Slope of x * HardSigmoid(x): the gate, and x / 6 where the gate is neither shut nor open."""
    settings(node, {})
    x = node.input[0]
    gate = tape.add("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
    inside = _inside(tape, x, tape.constant(-3.0), tape.constant(3.0))
    ramp = tape.add("Mul", [tape.add("Mul", [x, tape.constant(1 / 6)]), inside])
    return {0: tape.add("Mul", [gradient, tape.add("Add", [gate, ramp])])}


def clip(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Slope 1 strictly between the bounds, of which either may be absent."""
    settings(node, {})
    low, high = (*node.input[1:], "", "")[:2]
    if low or high:
        gradient = tape.add("Mul", [gradient, _inside(tape, node.output[0], low, high)])
    return {0: gradient}


def add(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Sum a + b."""
    settings(node, {})
    return {i: _fold(tape, node, i, gradient) for i in tape.wanted(node)}


def sub(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Difference a - b."""
    settings(node, {})
    parts = {i: _fold(tape, node, i, gradient) for i in tape.wanted(node)}
    return {i: tape.add("Neg", [part]) if i == 1 else part for i, part in parts.items()}


def mul(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Product a * b."""
    settings(node, {})
    parts = {i: tape.add("Mul", [gradient, node.input[1 - i]]) for i in tape.wanted(node)}
    return {i: _fold(tape, node, i, part) for i, part in parts.items()}


def div(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Quotient a / b, whose slope in b is -(a / b) / b."""
    settings(node, {})
    part = tape.add("Div", [gradient, node.input[1]])
    parts = {}
    for i in tape.wanted(node):
        if i == 1:
            part = tape.add("Neg", [tape.add("Mul", [part, node.output[0]])])
        parts[i] = _fold(tape, node, i, part)
    return parts


def _step(tape: Tape, tensor: str) -> str:
    """Append 1.0 where a tensor is positive, 0.0 elsewhere; shared between sweeps.

    Greater and Where, which onnxruntime cannot keep in its blocked layout, made the gradients of
    ResNet-18 12 % slower and those of a small ResNet 25 % (CPU, one thread).
    """
    name = f"positive.{tensor}"
    tape.append("HardSigmoid", [tensor], [name], alpha=_STEEP, beta=0.0)
    return name


def _inside(tape: Tape, tensor: str, low: str, high: str) -> str:
    """Append 1.0 strictly between two bounds, 0.0 elsewhere; either bound's name may be empty."""
    masks = []
    if low:
        masks.append(_step(tape, tape.add("Sub", [tensor, low])))
    if high:
        masks.append(_step(tape, tape.add("Sub", [high, tensor])))
    return masks[0] if len(masks) == 1 else tape.add("Mul", masks)


def _fold(tape: Tape, node: NodeProto, index: int, gradient: str) -> str:
    """Append the sum that undoes the broadcasting of one operand."""
    wide, narrow = tape.shape(node.output[0]), tape.shape(node.input[index])
    padded = (1,) * (len(wide) - len(narrow)) + narrow
    if any(n is None and w is not None for n, w in zip(padded, wide, strict=True)):
        raise refusal(node, f"shapes {narrow} and {wide}", "a batch that stays symbolic")
    axes = [i for i, (n, w) in enumerate(zip(padded, wide, strict=True)) if n == 1 and w != 1]
    if axes:
        gradient = tape.add("ReduceSum", [gradient, tape.constant(axes)], keepdims=1)
    return gradient if len(wide) == len(narrow) else tape.reshaped(gradient, narrow)
