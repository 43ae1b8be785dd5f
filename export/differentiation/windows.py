"""Gradient rules of operators with a sliding window: convolution, maximum and average pooling.

Spatial sizes are static, which is what makes a rule right for sizes that a stride does not divide.
All rules work for any number of spatial axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from export.differentiation.tape import Tape, settings

_BACKWARDS = -1
_BEFORE_FIRST = int(np.iinfo(np.int64).min)  # end of a Slice that runs backwards to the first entry


@dataclass(frozen=True)
class _Window:
    """A sliding window, each attribute with one entry per spatial axis."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    begins: list[int]
    ends: list[int]

    @property
    def reach(self) -> list[int]:
        """Distance between a window's first and last entry."""
        return [(k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True)]


def conv(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Convolution: at stride 1 a convolution with the same weight, turned; else a transposed one.

    The weight is turned inside the graph, so that the file stores it once; onnxruntime folds that
    at load, and runs Conv faster than ConvTranspose.
    """
    x, weight = node.input[:2]
    window, options = _window(node, {"group": 1}, kernel=tape.sizes(weight, 2))
    shared = {"dilations": window.dilations, "group": options["group"]}
    pads = [reach - pad for reach, pad in zip(window.reach * 2, window.begins + window.ends, strict=True)]
    if max(window.strides) == 1 and min(pads) >= 0:
        turned = _turned(tape, weight, options["group"])
        return {0: tape.add("Conv", [gradient, turned], pads=pads, **shared)}
    sizes = tape.sizes(x, 2), tape.sizes(node.output[0], 2)
    return {0: _transposed_conv(tape, gradient, weight, window, sizes=sizes, group=options["group"])}


def max_pool(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Maximum pooling: each gradient goes to the entry that won, the first one on ties.

    ONNX counts indices over the whole flattened input [N * C * H * W], so the batch may be dynamic.
    """
    x, y = node.input[0], node.output[0]
    window, options = _window(node, {"ceil_mode": 0}, {"storage_order": 0})
    tape.append(
        "MaxPool",
        [x],
        [f"maxima.{y}", f"winners.{y}"],
        kernel_shape=window.kernel,
        strides=window.strides,
        dilations=window.dilations,
        pads=window.begins + window.ends,
        ceil_mode=options["ceil_mode"],
    )
    count = tape.reshaped(tape.add("Size", [x]), (1,))
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    zeros = tape.add("ConstantOfShape", [count], value=zero)
    winners, values = tape.reshaped(f"winners.{y}", (None,)), tape.reshaped(gradient, (None,))
    # Summed, because overlapping windows can have the same winner.
    summed = tape.add("ScatterElements", [zeros, winners, values], axis=0, reduction="add")
    return {0: tape.reshaped(summed, tape.shape(x))}


def average_pool(tape: Tape, node: NodeProto, gradient: str) -> dict[int, str]:
    """Average pooling: each gradient, over its window's count, goes to all of the window."""
    x = node.input[0]
    window, options = _window(node, {"count_include_pad": 0}, {"ceil_mode": 0})
    channels, *inner = tape.sizes(x, 1)
    outer = tape.sizes(node.output[0], 2)
    shares = _shares(window, inner, outer, with_padding=bool(options["count_include_pad"]))
    ones = tape.constant(np.ones((channels, 1, *window.kernel)))
    shared = tape.add("Mul", [gradient, tape.constant(shares)])
    return {0: _transposed_conv(tape, shared, ones, window, sizes=(tuple(inner), outer), group=channels)}


def _window(
    node: NodeProto,
    defaults: Mapping[str, int],
    fixed: Mapping[str, object] | None = None,
    kernel: tuple[int, ...] = (),
) -> tuple[_Window, dict[str, Any]]:
    """A node's window and its other attributes; `kernel` is its size where no attribute says it."""
    absent = {"kernel_shape": kernel, "strides": (), "dilations": (), "pads": ()}
    options = settings(node, {**absent, **defaults}, {"auto_pad": b"NOTSET", **(fixed or {})})
    sides = list(options["kernel_shape"])
    strides = list(options["strides"]) or [1] * len(sides)
    dilations = list(options["dilations"]) or [1] * len(sides)
    pads = list(options["pads"]) or [0] * 2 * len(sides)
    return _Window(sides, strides, dilations, pads[: len(sides)], pads[len(sides) :]), options


def _turned(tape: Tape, weight: str, group: int) -> str:
    """Append a convolution's weight, turned by 180 degrees, channels exchanged within each group.

    [O, I / G, *kernel] becomes [I, O / G, *kernel].
    """
    name = f"turned.{group}.{weight}"
    if name in tape.taken:
        return name
    outputs, inputs, *kernel = tape.sizes(weight, 0)
    rest = range(len(kernel))
    exchanged = weight
    if group == 1:
        exchanged = tape.add("Transpose", [weight], perm=[1, 0, *(2 + i for i in rest)])
    else:
        split = tape.reshaped(weight, (group, outputs // group, inputs, *kernel))
        swapped = tape.add("Transpose", [split], perm=[0, 2, 1, *(3 + i for i in rest)])
        exchanged = tape.reshaped(swapped, (group * inputs, outputs // group, *kernel))
    backwards = tape.constant([_BACKWARDS] * len(kernel))
    ends = tape.constant([_BEFORE_FIRST] * len(kernel))
    axes = tape.constant([2 + i for i in rest])
    tape.append("Slice", [exchanged, backwards, ends, axes, backwards], [name])
    return name


def _transposed_conv(
    tape: Tape,
    gradient: str,
    weight: str,
    window: _Window,
    *,
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    group: int,
) -> str:
    """Append a ConvTranspose from the second to the first of a window's input and output sizes."""
    axes = zip(*sizes, window.strides, window.reach, window.begins, window.ends, strict=True)
    # Entries at the end that no window covers, because the stride does not divide the size.
    left_over = [
        inner + begin + end - reach - 1 - (outer - 1) * stride
        for inner, outer, stride, reach, begin, end in axes
    ]
    return tape.add(
        "ConvTranspose",
        [gradient, weight],
        strides=window.strides,
        dilations=window.dilations,
        pads=window.begins + window.ends,
        output_padding=left_over,
        group=group,
    )


def _shares(
    window: _Window, inner: list[int], outer: tuple[int, ...], *, with_padding: bool
) -> NDArray[np.float64]:
    """What each entry of a window contributes to its mean: one over their count, [*outer]."""
    counts = []
    for axis, size in enumerate(inner):
        starts = np.arange(outer[axis]) * window.strides[axis] - window.begins[axis]
        entries = starts[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        inside = (entries >= 0) & (entries < size)
        counts.append((inside | with_padding).sum(axis=1))
    return np.asarray(1.0 / reduce(np.multiply.outer, counts))
