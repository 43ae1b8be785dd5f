"""Every gradient rule against torch.autograd, through one ONNX graph for all batch sizes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from export.differentiation import append_gradient
from export.gradient_rules import RULES
from export.tape import UnsupportedOperatorError

BATCHES = (1, 2, 7)
Constants = Mapping[str, np.ndarray]


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def node(kind: str, inputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, ["y"], name=f"the_{kind}", **attributes)


def forward(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: Constants,
    opset: int = 18,
) -> onnx.ModelProto:
    """A graph from `x` [N, *shape] to `y`, with its shapes inferred."""
    graph = helper.make_graph(
        nodes,
        "forward",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def differentiated(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """The same graph with the input `seed` and the output `gradient`."""
    graph = model.graph
    seed = graph.input.add()
    seed.CopyFrom(graph.output[0])
    seed.name = "seed"
    gradient = append_gradient(graph, seeds={"y": "seed"}, wrt="x", prefix="back")
    graph.node.append(helper.make_node("Identity", [gradient], ["gradient"]))
    output = graph.output.add()
    output.CopyFrom(graph.input[0])
    output.name = "gradient"
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def assert_same_gradient(
    model: onnx.ModelProto,
    function: Callable[[Tensor], Tensor],
    images: Callable[[int], np.ndarray],
) -> None:
    session = differentiated(model)
    for batch in BATCHES:
        image = images(batch)
        x = torch.tensor(image, requires_grad=True)
        y = function(x)
        seed = weights(*y.shape, seed=batch)
        (expected,) = torch.autograd.grad(y, x, torch.tensor(seed))
        got_y, got = session.run(["y", "gradient"], {"x": image, "seed": seed})
        assert got.shape == image.shape
        assert got.dtype == np.float32
        assert_close(got_y, y.detach().numpy())
        assert_close(got, expected.numpy())


def assert_close(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def check(
    nodes: Sequence[onnx.NodeProto] | onnx.NodeProto,
    function: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    constants: Constants | None = None,
    opset: int = 18,
) -> None:
    """Compare on random images of a shape [N, *shape]."""
    nodes = [nodes] if isinstance(nodes, onnx.NodeProto) else nodes
    model = forward(nodes, shape, constants or {}, opset)
    assert_same_gradient(model, function, lambda batch: weights(batch, *shape, seed=99 + batch))


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


@pytest.mark.parametrize(
    ("kind", "attributes", "function"),
    [
        ("Identity", {}, lambda x: x + 0),
        ("Neg", {}, torch.neg),
        ("Relu", {}, F.relu),
        ("LeakyRelu", {"alpha": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
        ("Sigmoid", {}, torch.sigmoid),
        ("HardSigmoid", {"alpha": 1 / 6}, F.hardsigmoid),
        ("HardSwish", {}, F.hardswish),
        ("GlobalAveragePool", {}, lambda x: x.mean((2, 3), keepdim=True)),
        ("Flatten", {}, lambda x: x.flatten(1)),
        ("Flatten", {"axis": 3}, lambda x: x.reshape(-1, x.shape[3])),
        ("Transpose", {"perm": [2, 0, 3, 1]}, lambda x: x.permute(2, 0, 3, 1)),
        ("Transpose", {}, lambda x: x.permute(3, 2, 1, 0)),
    ],
)
def test_of_one_input(kind: str, attributes: dict[str, Any], function: Callable[[Tensor], Tensor]) -> None:
    shape = (4, 5, 6)
    model = forward([node(kind, ["x"], **attributes)], shape, {})
    # Wide enough that the hard functions saturate on both sides.
    assert_same_gradient(model, function, lambda batch: 4 * weights(batch, *shape, seed=batch))


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


WEIGHT = {"w": weights(3, 3, 3, 3)}


@pytest.mark.parametrize(
    ("refused", "constants", "found"),
    [
        (node("Erf", ["x"]), {}, "gradient rule"),
        (node("Conv", ["x", "w"], auto_pad="SAME_UPPER"), WEIGHT, "auto_pad=SAME_UPPER"),
        (node("MaxPool", ["x"], kernel_shape=[2, 2], auto_pad="VALID"), {}, "auto_pad=VALID"),
        (node("MaxPool", ["x"], kernel_shape=[2, 2], storage_order=1), {}, "storage_order=1"),
        (node("AveragePool", ["x"], kernel_shape=[2, 2], ceil_mode=1), {}, "ceil_mode=1"),
        (
            node("Pad", ["x", "p"], mode="reflect"),
            {"p": integers(0, 0, 1, 1, 0, 0, 1, 1)},
            "mode=reflect",
        ),
        (
            node("Pad", ["x", "p"]),
            {"p": integers(0, 0, -1, 0, 0, 0, 0, 0)},
            "padding -1 and 0 of axis 2",
        ),
        (
            node("Pad", ["x", "p"]),
            {"p": integers(1, 0, 0, 0, 0, 0, 0, 0)},
            "padding 1 and 0 of axis 0",
        ),
        (node("ReduceMean", ["x", "a"]), {"a": integers(0, 2)}, "over the batch"),
        (node("ReduceMean", ["x"]), {}, "over the batch"),
        (node("ReduceSum", ["x"], noop_with_empty_axes=1), {}, "no axis"),
        (node("Concat", ["x", "x"], axis=0), {}, "batches"),
        (node("MatMul", ["w", "x"]), {"w": weights(8)}, "shapes"),
        (node("MatMul", ["x", "w"]), {"w": weights(8)}, "shapes"),
        (node("Add", ["x", "c"]), {"c": weights(7, 1, 1, 1)}, "batch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_what_it_would_get_wrong(refused: onnx.NodeProto, constants: Constants, found: str) -> None:
    model = forward([refused], (3, 8, 8), constants)
    with pytest.raises(UnsupportedOperatorError, match=found) as caught:
        differentiated(model)
    assert str(caught.value).startswith(f"{refused.op_type} 'the_{refused.op_type}': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "constants"),
    [
        ("Gemm", {"c": weights(4, 4)}),
        ("Conv", {"c": weights(1, 4, 9, 9)}),
        ("MatMul", {"c": weights(4, 4)}),
    ],
)
def test_refuses_a_weight_that_depends_on_the_image(kind: str, constants: Constants) -> None:
    shape = (4, 3, 3) if kind == "Conv" else (4,)
    model = forward([node(kind, ["c", "x"])], shape, constants)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(UnsupportedOperatorError, match=r"input 1 \(x\)"):
        differentiated(model)


def test_refuses_an_operator_of_another_domain() -> None:
    model = forward([node("Relu", ["x"])], (3,), {})
    model.graph.node[0].domain = "com.example"
    with pytest.raises(UnsupportedOperatorError, match=r"the_Relu.*com\.example"):
        differentiated(model)


def test_refuses_a_symbolic_size_where_it_needs_a_number() -> None:
    model = forward([node("Conv", ["x", "w"], strides=[2, 2])], (3, "H", 8), WEIGHT)
    with pytest.raises(UnsupportedOperatorError, match=r"x: .*symbolic"):
        differentiated(model)


def test_refuses_an_unknown_shape() -> None:
    model = forward([node("Flatten", ["x"])], (3, 8), {})
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UnsupportedOperatorError, match=r"x: its shape is unknown"):
        differentiated(model)


def test_every_rule_is_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in RULES if f'"{kind}"' not in source] == []
