"""Every gradient rule against torch.autograd once, and those that are neither elementwise nor windowed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from autograd_oracle import (
    Constants,
    assert_close,
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

from export.differentiation.rules import RULES

Function = Callable[[Tensor], Tensor]
C = weights(4, 5, 6) + np.float32(4)  # far from zero, for Div


@dataclass(frozen=True)
class Case:
    """An operator on x [N, 4, 5, 6], and the same in PyTorch."""

    function: Function
    inputs: Sequence[str] = ("x",)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Constants = field(default_factory=dict)


EVERY = {
    "Add": Case(lambda x: x + torch.tensor(C), ["x", "c"], constants={"c": C}),
    "AveragePool": Case(lambda x: F.avg_pool2d(x, 2, 1), attributes={"kernel_shape": [2, 2]}),
    "BatchNormalization": Case(
        lambda x: F.batch_norm(x, *[torch.ones(4)] * 2, weight=torch.full((4,), 3.0), bias=torch.ones(4)),
        ["x", "three", "one", "one", "one"],
        constants={"one": np.ones(4, np.float32), "three": np.full(4, 3, np.float32)},
    ),
    "Clip": Case(F.relu6, ["x", "low", "high"], constants={"low": np.float32(0), "high": np.float32(6)}),
    "Concat": Case(lambda x: torch.cat([x, x], 2), ["x", "x"], {"axis": 2}),
    "Conv": Case(
        lambda x: F.conv2d(x, torch.tensor(weights(2, 4, 3, 3))),
        ["x", "w"],
        constants={"w": weights(2, 4, 3, 3)},
    ),
    "Div": Case(lambda x: x / torch.tensor(C), ["x", "c"], constants={"c": C}),
    "Flatten": Case(lambda x: x.flatten(1)),
    "Gemm": Case(  # on matrices only: see below
        lambda x: x.flatten(1) @ torch.tensor(weights(120, 3)),
        ["flat", "w"],
        constants={"w": weights(120, 3)},
    ),
    "GlobalAveragePool": Case(lambda x: x.mean((2, 3), keepdim=True)),
    "HardSigmoid": Case(F.hardsigmoid, attributes={"alpha": 1 / 6}),
    "HardSwish": Case(F.hardswish),
    "Identity": Case(lambda x: x + 0),
    "LeakyRelu": Case(lambda x: F.leaky_relu(x, 0.2), attributes={"alpha": 0.2}),
    "MatMul": Case(lambda x: x @ torch.tensor(weights(6, 3)), ["x", "w"], constants={"w": weights(6, 3)}),
    "MaxPool": Case(lambda x: F.max_pool2d(x, 2, 1), attributes={"kernel_shape": [2, 2]}),
    "Mul": Case(lambda x: x * torch.tensor(C), ["x", "c"], constants={"c": C}),
    "Neg": Case(torch.neg),
    "Pad": Case(lambda x: F.pad(x, (1, 2)), ["x", "p"], constants={"p": integers(0, 0, 0, 1, 0, 0, 0, 2)}),
    "ReduceMean": Case(lambda x: x.mean(2, keepdim=True), ["x", "a"], constants={"a": integers(2)}),
    "ReduceSum": Case(lambda x: x.sum(2, keepdim=True), ["x", "a"], constants={"a": integers(2)}),
    "ReduceSumSquare": Case(
        lambda x: x.square().sum(2, keepdim=True), ["x", "a"], constants={"a": integers(2)}
    ),
    "Relu": Case(F.relu),
    "Reshape": Case(lambda x: x.reshape(-1, 20, 6), ["x", "s"], constants={"s": integers(-1, 20, 6)}),
    "Sigmoid": Case(torch.sigmoid),
    "Squeeze": Case(lambda x: x + 0, ["lone", "a"], constants={"a": integers(2)}),
    "Sub": Case(lambda x: torch.tensor(C) - x, ["c", "x"], constants={"c": C}),
    "Transpose": Case(lambda x: x.permute(0, 3, 1, 2), attributes={"perm": [0, 3, 1, 2]}),
    "Unsqueeze": Case(lambda x: x[:, None], ["x", "a"], constants={"a": integers(1)}),
}


@pytest.mark.parametrize("kind", RULES)
def test_every_rule_agrees_with_autograd(kind: str) -> None:
    case = EVERY[kind]
    before = {
        "flat": helper.make_node("Flatten", ["x"], ["flat"]),
        "lone": helper.make_node("Unsqueeze", ["x", "a"], ["lone"]),
    }
    nodes = [before[name] for name in case.inputs if name in before]
    model = forward([*nodes, node(kind, case.inputs, **case.attributes)], (4, 5, 6), case.constants)
    # Wide enough that the hard functions saturate on both sides.
    assert_same_gradient(model, case.function, lambda batch: 4 * weights(batch, 4, 5, 6, seed=batch))


@pytest.mark.parametrize(
    ("kind", "attributes", "function"),
    [
        ("Flatten", {"axis": 3}, lambda x: x.reshape(-1, x.shape[3])),
        ("Transpose", {"perm": [2, 0, 3, 1]}, lambda x: x.permute(2, 0, 3, 1)),
        ("Transpose", {}, lambda x: x.permute(3, 2, 1, 0)),
    ],
)
def test_the_batch_elsewhere_than_first(kind: str, attributes: dict[str, Any], function: Function) -> None:
    check(node(kind, ["x"], **attributes), function, (4, 5, 6))


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceSumSquare"])
@pytest.mark.parametrize("axes", [(2, 3), (-1, 1), (1, 2, 3), (3,)])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(kind: str, axes: tuple[int, ...], keep: int) -> None:
    def function(x: Tensor) -> Tensor:
        x = x**2 if kind == "ReduceSumSquare" else x
        return (x.mean if kind == "ReduceMean" else x.sum)(axes, keepdim=bool(keep))

    constants = {"axes": integers(*axes)}
    check(node(kind, ["x", "axes"], keepdims=keep), function, (4, 5, 6), constants)


@pytest.mark.parametrize("axes", [None, ()])
def test_a_reduction_without_axes_takes_all(axes: tuple[int, ...] | None) -> None:
    inputs = ["x"] if axes is None else ["x", "axes"]
    constants = {} if axes is None else {"axes": integers()}
    model = forward([node("ReduceSum", inputs)], (3,), constants)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1  # with a fixed batch it may
    assert differentiated(model).run(["gradient"], {"x": weights(1, 3), "seed": np.array([[5]], np.float32)})[
        0
    ].tolist() == [[5, 5, 5]]


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(transposed: int) -> None:
    weight, bias = weights(6, 4), weights(4)
    check(
        node("Gemm", ["x", "w", "b"], alpha=0.5, beta=2.0, transB=transposed),
        lambda x: 0.5 * x @ torch.tensor(weight) + 2 * torch.tensor(bias),
        (6,),
        {"w": weight.T.copy() if transposed else weight, "b": bias},
    )


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6)])
def test_mat_mul(shape: tuple[int, ...]) -> None:
    weight = weights(6, 4)
    check(node("MatMul", ["x", "w"]), lambda x: x @ torch.tensor(weight), shape, {"w": weight})


@pytest.mark.parametrize("shape", [(4,), (4, 5, 6)])
def test_batch_normalization(shape: tuple[int, ...]) -> None:
    scale, bias, mean = (weights(4, seed=seed) for seed in range(3))
    variance = np.abs(weights(4, seed=3)) + np.float32(0.1)
    check(
        node("BatchNormalization", ["x", "scale", "bias", "mean", "variance"], epsilon=1e-3),
        lambda x: F.batch_norm(
            x, *map(torch.tensor, (mean, variance, scale, bias)), training=False, eps=1e-3
        ),
        shape,
        {"scale": scale, "bias": bias, "mean": mean, "variance": variance},
    )


@pytest.mark.parametrize(
    ("kind", "argument", "function"),
    [
        ("Reshape", (-1, 60), lambda x: x.reshape(-1, 60)),
        ("Reshape", (0, 2, 3, -1), lambda x: x.reshape(x.shape[0], 2, 3, 10)),
        ("Squeeze", (2,), lambda x: x.squeeze(2)),
        ("Unsqueeze", (0, 3), lambda x: x[None, :, :, None]),
    ],
)
def test_changes_of_shape(kind: str, argument: tuple[int, ...], function: Callable[[Tensor], Tensor]) -> None:
    check(node(kind, ["x", "a"]), function, (6, 1, 10), {"a": integers(*argument)})


def test_reshape_to_a_shape_that_is_computed_from_the_image() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"]),
    ]
    check(nodes, lambda x: x.reshape(-1, 12), (3, 4), {"rest": integers(12)})


@pytest.mark.parametrize("axis", [1, -2])
def test_concat(axis: int) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        node("Concat", ["c", "x", "r", "x"], axis=axis),
    ]
    constant = weights(1, 3, 5)
    model = forward(nodes, (4, 5), {"c": constant})
    # A constant has no batch to grow along, so this one is for a batch of one.
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model = onnx.shape_inference.infer_shapes(model)
    image, seed = weights(1, 4, 5), weights(1, 15, 5, seed=1)
    x = torch.tensor(image, requires_grad=True)
    y = torch.cat([torch.tensor(constant), x, F.relu(x), x], axis)
    (expected,) = torch.autograd.grad(y, x, torch.tensor(seed))
    (got,) = differentiated(model).run(["gradient"], {"x": image, "seed": seed})
    assert_close(got, expected.numpy())


def test_concat_of_parts_of_several_sizes() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x", "axis"], ["m"]),
        helper.make_node("Sigmoid", ["x"], ["s"]),
        node("Concat", ["m", "x", "s"], axis=1),
    ]
    check(
        nodes,
        lambda x: torch.cat([x.mean(1, keepdim=True), x, torch.sigmoid(x)], 1),
        (4, 5),
        {"axis": integers(1)},
    )


@pytest.mark.parametrize(
    ("inputs", "constants", "pads"),
    [
        (["p"], {"p": integers(0, 0, 1, 2, 0, 0, 3, 0)}, (2, 0, 1, 3)),
        (["p"], {"p": integers(0, 0, 0, 0, 0, 0, 0, 0)}, (0, 0, 0, 0)),
        (["p", "", "a"], {"p": integers(2, 1, 0, 3), "a": integers(-1, 2)}, (2, 0, 1, 3)),
    ],
)
def test_pad(inputs: list[str], constants: Constants, pads: tuple[int, ...]) -> None:
    check(node("Pad", ["x", *inputs]), lambda x: F.pad(x, pads), (3, 4, 5), constants)


@pytest.mark.parametrize("opset", [18, 19, 20, 21])
def test_newer_opsets(opset: int) -> None:
    weight = weights(5, 3, 3, 3)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("AveragePool", ["c"], ["a"], kernel_shape=[2, 2]),
        helper.make_node("MaxPool", ["a"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        node("ReduceMean", ["m", "axes"], keepdims=0),
    ]
    check(
        nodes,
        lambda x: F.max_pool2d(F.avg_pool2d(F.conv2d(x, torch.tensor(weight), padding=1), 2, 1), 2).mean(
            (2, 3)
        ),
        (3, 9, 9),
        {"w": weight, "axes": integers(2, 3)},
        opset,
    )
