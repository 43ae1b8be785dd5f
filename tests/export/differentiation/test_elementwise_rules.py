"""Gradient rules of elementwise operators against torch.autograd: kinks, bounds, broadcasting."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from autograd_oracle import (
    assert_same_gradient,
    check,
    differentiated,
    forward,
    integers,
    node,
    weights,
)
from onnx import helper
from torch import Tensor


@pytest.mark.parametrize(
    ("kind", "attributes", "inputs", "function"),
    [
        ("Relu", {}, [], F.relu),
        ("LeakyRelu", {"alpha": 0.25}, [], lambda x: F.leaky_relu(x, 0.25)),
        ("HardSigmoid", {"alpha": 1 / 6}, [], F.hardsigmoid),
        ("HardSwish", {}, [], F.hardswish),
        ("Clip", {}, ["zero", "six"], F.relu6),
    ],
)
def test_kinks_are_those_of_torch(
    kind: str, attributes: dict[str, Any], inputs: list[str], function: Callable[[Tensor], Tensor]
) -> None:
    tiny = float(np.finfo(np.float32).tiny)
    points = np.array([-7, -3, -1, -tiny, -0.0, 0, tiny, 1e-20, 1, 3, 6, 7, 1e30], np.float32)
    bounds = {"zero": 0, "six": 6}
    constants = {name: np.array(bounds[name], np.float32) for name in inputs}
    session = differentiated(forward([node(kind, ["x", *inputs], **attributes)], points.shape, constants))
    x = torch.tensor(points[None], requires_grad=True)
    (expected,) = torch.autograd.grad(function(x).sum(), x)
    (got,) = session.run(["gradient"], {"x": points[None], "seed": np.ones((1, 13), np.float32)})
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("low", "high"), [(-0.5, None), (None, 0.25), (-0.5, 0.25), (None, None)])
def test_clip(low: float | None, high: float | None) -> None:
    names = ["x", "" if low is None else "low", "" if high is None else "high"]
    constants = {
        name: np.array(value, np.float32)
        for name, value in (("low", low), ("high", high))
        if value is not None
    }
    while not names[-1]:
        names.pop()
    function = (lambda x: x + 0) if low is high else partial(torch.clamp, min=low, max=high)
    check(node("Clip", names), function, (4, 5), constants)


ARITHMETIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
}


@pytest.mark.parametrize("kind", ARITHMETIC)
@pytest.mark.parametrize("shape", [(), (1,), (6,), (5, 6), (4, 1, 1), (1, 4, 1, 1), (1, 4, 5, 6)])
@pytest.mark.parametrize("first", [False, True])
def test_arithmetic_with_a_constant(kind: str, shape: tuple[int, ...], first: bool) -> None:
    constant = weights(*shape) + np.float32(4)  # far from zero, for Div
    other, function = torch.tensor(constant), ARITHMETIC[kind]
    model = forward([node(kind, ["c", "x"] if first else ["x", "c"])], (4, 5, 6), {"c": constant})
    assert_same_gradient(
        model,
        lambda x: function(other, x) if first else function(x, other),
        lambda batch: 4 + np.abs(weights(batch, 4, 5, 6, seed=batch)),
    )


@pytest.mark.parametrize("kind", ARITHMETIC)
@pytest.mark.parametrize("shape", [(1, 5, 6), (4, 1, 1), (1, 1, 1)])
def test_arithmetic_broadcasts_the_image_to_a_constant(kind: str, shape: tuple[int, ...]) -> None:
    constant = weights(4, 5, 6) + np.float32(4)
    model = forward([node(kind, ["x", "c"])], shape, {"c": constant})
    assert_same_gradient(
        model,
        lambda x: ARITHMETIC[kind](x, torch.tensor(constant)),
        lambda batch: 4 + np.abs(weights(batch, *shape, seed=batch)),
    )


@pytest.mark.parametrize("kind", ARITHMETIC)
@pytest.mark.parametrize("keep", [0, 1])
def test_arithmetic_of_two_parts_of_the_image(kind: str, keep: int) -> None:
    """An operand that lacks an axis of the other, and a batch that is not the first axis."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 2, 0]),
        helper.make_node("ReduceMean", ["t", "axis"], ["m"], keepdims=keep),
        node(kind, ["t", "m"]),
    ]
    model = forward(nodes, (3, 4), {"axis": integers(0)})
    assert_same_gradient(
        model,
        lambda x: ARITHMETIC[kind](x.permute(1, 2, 0), x.permute(1, 2, 0).mean(0, keepdim=bool(keep))),
        lambda batch: 4 + np.abs(weights(batch, 3, 4, seed=batch)),
    )


@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_arithmetic_of_a_tensor_with_itself(kind: str) -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["s"]), node(kind, ["s", "s"])]
    check(nodes, lambda x: ARITHMETIC[kind](torch.sigmoid(x), torch.sigmoid(x)), (3, 4))
