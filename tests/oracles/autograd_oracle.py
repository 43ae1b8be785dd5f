"""torch.autograd as the oracle of gradients over an ONNX graph: one graph, all batch sizes.

The folder of this file is on the path of the tests; see pytest's settings in pyproject.toml.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from export.differentiation.backward import append_gradient

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
