"""Gradient rules of convolution and pooling against torch.autograd."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from autograd_oracle import assert_same_gradient, check, differentiated, forward, node, weights


def torch_pads(pads: Sequence[int]) -> list[int]:
    """ONNX's pads (begins, then ends, first axis first) as F.pad's (last axis first, in pairs)."""
    half = len(pads) // 2
    return [pad for i in reversed(range(half)) for pad in (pads[i], pads[half + i])]


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "pads", "dilations", "group"),
    [
        ((9, 9), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1),
        ((9, 7), (3, 5), (1, 1), (0, 2, 1, 0), (1, 1), 1),  # asymmetric
        ((11, 11), (3, 3), (1, 1), (2, 2, 2, 2), (2, 2), 2),
        ((8, 8), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 6),  # depthwise
        ((5, 5), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        ((5, 5), (1, 1), (1, 1), (1, 1, 1, 1), (1, 1), 3),  # padded beyond the kernel's reach
        ((125, 125), (7, 7), (2, 2), (3, 3, 3, 3), (1, 1), 1),
        ((125, 124), (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1),
        ((124, 123), (1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
        ((16, 15), (2, 2), (3, 4), (0, 1, 1, 0), (1, 1), 3),
        ((17, 18), (3, 3), (2, 3), (2, 1, 2, 1), (2, 3), 2),
        ((9, 10), (3, 3), (1, 2), (1, 1, 1, 1), (1, 1), 6),
        ((21,), (4,), (3,), (1, 1), (1,), 2),
        ((6, 7, 5), (3, 2, 3), (1, 1, 1), (1, 0, 1, 1, 1, 1), (1, 1, 1), 2),
        ((6, 7, 5), (3, 2, 3), (2, 1, 2), (1, 0, 1, 1, 1, 1), (1, 1, 1), 2),
    ],
)
def test_conv(
    *,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    group: int,
) -> None:
    weight = weights(6 if group == 6 else 12, 6 // group, *kernel)
    bias = weights(len(weight), seed=1)
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(size)]
    check(
        node("Conv", ["x", "w", "b"], **attributes),
        lambda x: convolve(
            F.pad(x, torch_pads(pads)),
            torch.tensor(weight),
            torch.tensor(bias),
            stride=strides,
            dilation=dilations,
            groups=group,
        ),
        (6, *size),
        {"w": weight, "b": bias},
    )


def test_conv_without_attributes() -> None:
    weight = weights(4, 3, 3, 2)
    check(
        node("Conv", ["x", "w"]),
        lambda x: F.conv2d(x, torch.tensor(weight)),
        (3, 6, 6),
        {"w": weight},
    )


def test_conv_at_stride_one_uses_the_weight_that_is_already_there() -> None:
    weight = weights(16, 16, 3, 3)
    model = forward([node("Conv", ["x", "w"], pads=[1] * 4)], (16, 8, 8), {"w": weight})
    differentiated(model)
    kinds = [n.op_type for n in model.graph.node]
    assert kinds.count("Conv") == 2
    assert "ConvTranspose" not in kinds
    assert sum(np.prod(t.dims, dtype=int) for t in model.graph.initializer) < weight.size + 50


@pytest.mark.parametrize(
    ("size", "attributes"),
    [
        ((8, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ((125, 125), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
        ((9, 9), {"kernel_shape": [3, 3]}),  # every window overlaps
        ((11, 12), {"kernel_shape": [3, 2], "strides": [2, 1], "dilations": [2, 3]}),
        ((8, 10), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ((17,), {"kernel_shape": [3], "strides": [2], "pads": [1, 1]}),
    ],
)
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool(size: tuple[int, ...], attributes: dict[str, Any], ties: bool) -> None:
    function = {1: F.max_pool1d, 2: F.max_pool2d}[len(size)]
    pool = partial(
        function,
        kernel_size=attributes["kernel_shape"],
        stride=attributes.get("strides", 1),
        padding=attributes.get("pads", [0])[0],
        dilation=attributes.get("dilations", 1),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )

    def images(batch: int) -> np.ndarray:
        image = weights(batch, 3, *size, seed=batch)
        # Rounded and cut at zero: most windows hold their maximum several times.
        return np.maximum(image.round(), 0) if ties else image

    assert_same_gradient(forward([node("MaxPool", ["x"], **attributes)], (3, *size), {}), pool, images)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(
    ("size", "kernel", "strides", "pad"),
    [
        ((8, 8), (2, 2), (2, 2), (0, 0)),
        ((125, 31), (3, 3), (2, 2), (1, 1)),
        ((9, 10), (3, 4), (1, 3), (1, 2)),
        ((13,), (5,), (2,), (2,)),
    ],
)
def test_average_pool(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pad: tuple[int, ...],
    include: int,
) -> None:
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d}[len(size)]
    check(
        node(
            "AveragePool",
            ["x"],
            kernel_shape=kernel,
            strides=strides,
            pads=pad * 2,
            count_include_pad=include,
        ),
        lambda x: pool(x, kernel, strides, pad, count_include_pad=bool(include)),
        (3, *size),
    )
