"""What differentiation refuses rather than getting it wrong: one line that names operator and node."""

import onnx
import pytest
from autograd_oracle import Constants, differentiated, forward, integers, node, weights

from export.differentiation.tape import UnsupportedOperatorError

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
