"""Sweeps over whole networks against torch.autograd, and copies of parts of a graph."""

import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.differentiation.backward import append_gradient, clone_subgraph
from export.differentiation.tape import UnsupportedOperatorError

pytestmark = pytest.mark.slow

BATCHES = (1, 2, 7)
SIZE = 25  # odd, so that no stride divides it
FEATURES = ("early", "late")
WIDTH = 8  # channels


class Residual(nn.Module):
    """Stride 2, overlapping pooling, a shortcut, a squeeze-and-excitation gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 7, 2, 3, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU())
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.inner = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, 2, 1),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU6(),
            nn.Conv2d(WIDTH, WIDTH, 3, 1, 1),
        )
        self.shortcut = nn.Conv2d(WIDTH, WIDTH, 1, 2)
        self.gate = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.BatchNorm2d(WIDTH)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        early = self.stem((image - 0.5) / 0.25)
        x = self.pool(early)
        x = torch.relu(self.inner(x) + self.shortcut(x))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        return early.mean((2, 3)), self.norm(x).mean((2, 3))


class Plain(nn.Module):
    """Convolutions and poolings in a row, and a concatenation at the end."""

    def __init__(self) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for channels, activation in (
            (3, nn.ReLU()),
            (WIDTH, nn.LeakyReLU(0.1)),
            (WIDTH, nn.Hardswish()),
        ):
            modules += [nn.Conv2d(channels, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), activation]
            modules += [nn.MaxPool2d(2, 2)]
        self.layers = nn.Sequential(*modules)
        self.average = nn.AvgPool2d(2, 1, 1)
        self.head = nn.Linear(2 * WIDTH * 4 * 4, WIDTH)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        early = self.layers[:4](image)
        x = self.average(self.layers[4:](early))
        return early.mean((2, 3)), self.head(torch.cat([x, nn.functional.silu(x)], 1).flatten(1))


@pytest.fixture(scope="module", params=[Residual, Plain])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    network: nn.Module = request.param().eval()
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.uniform_(-0.5, 0.5)
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def exported(network: nn.Module) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, SIZE, SIZE),),
            dynamo=True,
            opset_version=18,
            input_names=["image"],
            output_names=list(FEATURES),
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ir_version = 9
    return onnx.shape_inference.infer_shapes(model)


@pytest.fixture
def graph(exported: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the exported model to append to: the model, since a graph cannot be run."""
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    return model


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).random((batch, 3, SIZE, SIZE), np.float32)


def run(
    model: onnx.ModelProto, outputs: dict[str, list[int | str]], **inputs: np.ndarray
) -> list[np.ndarray]:
    """Run a copy of the model that gives other outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for name, shape in outputs.items():
        copy.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.checker.check_model(copy, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(copy.SerializeToString(), options)
    values: list[np.ndarray] = session.run(list(outputs), inputs)
    return values


def squared_distance_seed(
    graph: onnx.GraphProto, feature: str, whitening: np.ndarray, mean: np.ndarray
) -> str:
    """Nodes for the gradient of |W (f - m)|^2 in f."""
    precision = 2 * whitening.T @ whitening
    graph.initializer.append(numpy_helper.from_array(mean, f"{feature}.mean"))
    graph.initializer.append(numpy_helper.from_array(precision, f"{feature}.precision"))
    graph.node.append(helper.make_node("Sub", [feature, f"{feature}.mean"], [f"{feature}.off"]))
    graph.node.append(
        helper.make_node("MatMul", [f"{feature}.off", f"{feature}.precision"], [f"{feature}.seed"])
    )
    return f"{feature}.seed"


def gaussian(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    whitening = rng.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    return whitening, rng.standard_normal(WIDTH).astype(np.float32)


def test_gradients_of_distances_per_layer_and_of_their_sum(
    network: nn.Module, graph: onnx.ModelProto
) -> None:
    gaussians = {feature: gaussian(i) for i, feature in enumerate(FEATURES)}
    seeds = {f: squared_distance_seed(graph.graph, f, *gaussians[f]) for f in FEATURES}
    sweeps = {f: {f: seeds[f]} for f in FEATURES} | {"both": seeds}
    names = {
        sweep: append_gradient(graph.graph, seeds=its, wrt="image", prefix=f"back.{sweep}")
        for sweep, its in sweeps.items()
    }
    for batch in BATCHES:
        image = images(batch)
        got = run(graph, {name: ["N", 3, SIZE, SIZE] for name in names.values()}, image=image)
        for gradient, sweep in zip(got, sweeps, strict=True):
            x = torch.tensor(image, requires_grad=True)
            distance = torch.zeros(batch)
            for feature, value in zip(FEATURES, network(x), strict=True):
                if feature in sweeps[sweep]:
                    whitening, mean = map(torch.tensor, gaussians[feature])
                    distance += ((value - mean) @ whitening.T).square().sum(1)
            (expected,) = torch.autograd.grad(distance.sum(), x)
            np.testing.assert_allclose(
                gradient, expected.numpy(), rtol=0, atol=1e-5 * float(expected.abs().max())
            )


def test_examples_of_a_batch_do_not_mix(graph: onnx.ModelProto) -> None:
    seed = squared_distance_seed(graph.graph, "late", *gaussian(0))
    name = append_gradient(graph.graph, seeds={"late": seed}, wrt="image", prefix="back")
    outputs = {name: ["N", 3, SIZE, SIZE]}
    image = images(7)
    (together,) = run(graph, outputs, image=image)
    alone = np.concatenate([run(graph, outputs, image=one[None])[0] for one in image])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5 * np.abs(alone).max())


def test_a_second_sweep_shares_what_depends_on_the_forward_pass(graph: onnx.ModelProto) -> None:
    added = []
    for prefix in ("one", "two"):
        before = len(graph.graph.node)
        append_gradient(graph.graph, seeds={"late": "late"}, wrt="image", prefix=prefix)
        added.append([(node.op_type, node.input[0]) for node in graph.graph.node[before:]])
    first, second = added
    kinds = [kind for kind, _ in second]
    assert {"MaxPool", "Transpose"}.isdisjoint(kinds)  # pooling indices, turned weights
    relus = {node.output[0] for node in graph.graph.node if node.op_type == "Relu"}
    masks = {("HardSigmoid", relu) for relu in relus}
    assert masks <= set(first)
    assert masks.isdisjoint(second)
    assert kinds.count("Mul") == [kind for kind, _ in first].count("Mul")


def test_only_what_lies_between_is_differentiated(graph: onnx.ModelProto) -> None:
    """An operator without a rule does not matter where only the other feature needs it."""
    for node in graph.graph.node:
        if node.op_type in {"Concat", "Sigmoid", "Gemm"}:
            node.op_type = "Unheard"
    append_gradient(graph.graph, seeds={"early": "early"}, wrt="image", prefix="back")
    with pytest.raises(UnsupportedOperatorError, match="Unheard"):
        append_gradient(graph.graph, seeds={"late": "late"}, wrt="image", prefix="back.again")


def test_gradient_of_a_tensor_inside_the_graph(graph: onnx.ModelProto) -> None:
    """With respect to the output of a node, it stops there."""
    inner = graph.graph.node[0].output[0]
    shape = next(info for info in graph.graph.value_info if info.name == inner)
    before = len(graph.graph.node)
    append_gradient(graph.graph, seeds={"early": "early"}, wrt="image", prefix="image")
    whole = len(graph.graph.node) - before
    name = append_gradient(graph.graph, seeds={"early": "early"}, wrt=inner, prefix="inner")
    assert len(graph.graph.node) - before - whole < whole
    dims: list[Any] = [d.dim_value or "N" for d in shape.type.tensor_type.shape.dim]
    (gradient,) = run(graph, {name: dims}, image=images(2))
    assert gradient.shape == (2, *dims[1:])
    assert np.abs(gradient).max() > 0


def test_a_seed_that_does_not_depend_on_the_image_is_refused(graph: onnx.ModelProto) -> None:
    constant = graph.graph.initializer[0].name
    with pytest.raises(ValueError, match="does not depend on image"):
        append_gradient(graph.graph, seeds={constant: "late"}, wrt="image", prefix="back")


def test_a_tensor_may_be_seeded_on_the_way_to_another() -> None:
    """y = 3 sigmoid(x), with gradients for y and for sigmoid(x): they add up."""
    model = small_graph([("Sigmoid", ["x"], "s"), ("Mul", ["s", "three"], "y")])
    name = append_gradient(model.graph, seeds={"y": "x", "s": "x"}, wrt="x", prefix="back")
    x = np.array([[-1, 0, 2]], np.float32)
    (got,) = run(model, {name: ["N", 3]}, x=x)
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(got, 4 * x * s * (1 - s), rtol=1e-5)


def test_the_seeded_tensor_itself() -> None:
    model = small_graph([("Relu", ["x"], "y")])
    assert append_gradient(model.graph, seeds={"x": "y"}, wrt="x", prefix="back") == "y"


def test_a_gradient_for_a_second_output_is_refused() -> None:
    model = small_graph([("MaxPool", ["x"], "y")])
    model.graph.node[0].output.append("indices")
    model.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [1]))
    with pytest.raises(UnsupportedOperatorError, match=r"MaxPool 'node.y': .*other than the first"):
        append_gradient(model.graph, seeds={"indices": "x"}, wrt="x", prefix="back")


def test_a_graph_inside_a_node_is_refused() -> None:
    model = small_graph([("Relu", ["x"], "y")])
    add_branch(model.graph)
    with pytest.raises(UnsupportedOperatorError, match="If 'the branch'"):
        append_gradient(model.graph, seeds={"z": "y"}, wrt="x", prefix="back")
    with pytest.raises(UnsupportedOperatorError, match="If 'the branch'"):
        clone_subgraph(model.graph, inputs={"x": "y"}, outputs=["z"], prefix="again")


def test_a_copy_computes_what_the_original_does(graph: onnx.ModelProto) -> None:
    before = len(graph.graph.initializer)
    graph.graph.node.append(helper.make_node("Identity", ["image"], ["other"]))
    copies = clone_subgraph(graph.graph, inputs={"image": "other"}, outputs=FEATURES, prefix="again")
    assert len(graph.graph.initializer) == before
    assert set(copies) == set(FEATURES)
    names = [*FEATURES, *copies.values()]
    early, late, *again = run(graph, {name: ["N", WIDTH] for name in names}, image=images(2))
    np.testing.assert_array_equal(again[0], early)
    np.testing.assert_array_equal(again[1], late)


def test_a_copy_follows_its_own_input(graph: onnx.ModelProto) -> None:
    graph.graph.node.append(helper.make_node("Sigmoid", ["image"], ["other"]))
    (copy,) = clone_subgraph(
        graph.graph, inputs={"image": "other"}, outputs=["late"], prefix="again"
    ).values()
    image = images(2)
    (got,) = run(graph, {copy: ["N", WIDTH]}, image=image)
    (expected,) = run(graph, {"late": ["N", WIDTH]}, image=1 / (1 + np.exp(-image)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_copy_is_of_what_is_needed_only(graph: onnx.ModelProto) -> None:
    before = [node.output[0] for node in graph.graph.node]
    clone_subgraph(graph.graph, inputs={"image": "image"}, outputs=["early"], prefix="again")
    copied = [node.output[0] for node in graph.graph.node][len(before) :]
    assert copied
    assert copied == [f"again.{name}" for name in before if f"again.{name}" in copied]
    assert "again.early" in copied
    assert "again.late" not in copied


def test_a_copy_starts_at_a_tensor_inside_and_leaves_what_does_not_change() -> None:
    nodes = [("Relu", ["x"], "r"), ("Neg", ["three"], "minus"), ("Mul", ["r", "minus"], "y")]
    model = small_graph(nodes)
    made = clone_subgraph(model.graph, inputs={"r": "x"}, outputs=["y", "minus"], prefix="again")
    assert made == {"y": "again.y", "minus": "minus"}
    assert [list(n.input) for n in model.graph.node[3:]] == [["x", "minus"]]
    (got,) = run(model, {"again.y": ["N", 3]}, x=np.array([[-1, 0, 2]], np.float32))
    np.testing.assert_array_equal(got, [[3, 0, -6]])


def small_graph(nodes: list[tuple[str, list[str], str]]) -> onnx.ModelProto:
    """Operators on x [N, 3], each with one output; the last one's is the output."""
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [out], name=f"node.{out}") for kind, inputs, out in nodes],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.array(3, np.float32), "three")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def add_branch(graph: onnx.GraphProto) -> None:
    """z = y either way, through an If whose branches see y without naming it as an input."""
    output = helper.make_tensor_value_info("z.inner", TensorProto.FLOAT, ["N", 3])
    inner = helper.make_graph([helper.make_node("Identity", ["y"], ["z.inner"])], "branch", [], [output])
    graph.initializer.append(numpy_helper.from_array(np.array(1, bool), "yes"))
    graph.node.append(
        helper.make_node("If", ["yes"], ["z"], name="the branch", then_branch=inner, else_branch=inner)
    )
