"""What a gradient rule works with: the graph that grows, what is known of it, the ways to refuse.

Graphs are float32 and have at most one symbolic dimension per tensor, the batch; every other size
is static, so that rules are written in sizes instead of computing them in the graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_runtime.errors import CellgateError

Shape = tuple[int | None, ...]  # None is the batch


class UnsupportedOperatorError(CellgateError):
    """A node that cannot be differentiated or copied; the message names operator and node."""


@dataclass(frozen=True)
class Tape:
    """A graph to which one backward sweep is appended.

    Attributes:
        graph: the graph, which grows.
        prefix: start of the new names.
        active: names of the tensors that depend on the tensor whose gradient is sought.
        shapes: of the tensors whose rank is known.
        values: initializers and outputs of Constant nodes.
        taken: names of every tensor that a node or an initializer makes, kept up to date.
    """

    graph: onnx.GraphProto
    prefix: str
    active: frozenset[str]
    shapes: Mapping[str, Shape]
    values: Mapping[str, onnx.TensorProto]
    taken: set[str]

    def add(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        """Append a node with one output and return the output's name."""
        name = self._fresh(operator)
        self.append(operator, inputs, [name], **attributes)
        return name

    def append(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object
    ) -> None:
        """Append a node whose outputs have given names, unless an earlier sweep has appended it.

        Given names are how sweeps over one graph share what depends on the forward pass alone.
        """
        if outputs[-1] not in self.taken:
            given: dict[str, Any] = attributes
            self.graph.node.append(helper.make_node(operator, inputs, outputs, name=outputs[-1], **given))
            self.taken.update(outputs)

    def constant(self, value: NDArray[np.generic] | Sequence[int] | float) -> str:
        """Name of a new initializer: integers become int64, floats float32."""
        array = np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = self._fresh("constant")
        self.graph.initializer.append(numpy_helper.from_array(array, name))
        self.taken.add(name)
        return name

    def shape(self, name: str) -> Shape:
        """Shape of a forward tensor.

        Raises:
            UnsupportedOperatorError: it is not known, or more than the batch is symbolic.
        """
        shape = self.shapes.get(name)
        if shape is None or shape.count(None) > 1:
            found = "unknown" if shape is None else "symbolic in more than the batch"
            raise UnsupportedOperatorError(
                f"{name}: its shape is {found}; export static sizes, run onnx.shape_inference"
            )
        return shape

    def sizes(self, name: str, start: int) -> tuple[int, ...]:
        """Static sizes of a forward tensor from an axis on.

        Raises:
            UnsupportedOperatorError: one of them is not known.
        """
        sizes = tuple(size for size in self.shape(name)[start:] if size is not None)
        if len(sizes) != len(self.shape(name)[start:]):
            raise UnsupportedOperatorError(
                f"{name}: a size from axis {start} on is symbolic; make all but the batch static"
            )
        return sizes

    def value(self, name: str) -> NDArray[Any]:
        """Value of a constant tensor.

        Raises:
            UnsupportedOperatorError: it is computed, not constant.
        """
        if name not in self.values:
            raise UnsupportedOperatorError(
                f"{name}: is computed, a constant was expected; fold constants first"
            )
        return numpy_helper.to_array(self.values[name])

    def wanted(self, node: onnx.NodeProto) -> list[int]:
        """Indices of a node's inputs whose gradient is needed."""
        return [index for index, name in enumerate(node.input) if name in self.active]

    def reshaped(self, tensor: str, shape: Shape) -> str:
        """Append a Reshape to a shape, whose batch may be symbolic."""
        target = [-1 if size is None else size for size in shape]
        return self.add("Reshape", [tensor, self.constant(target)])

    def _fresh(self, what: str) -> str:
        # Names are never removed, so the count of them never repeats.
        return f"{self.prefix}.{what}.{len(self.taken)}"


def settings(
    node: onnx.NodeProto, defaults: Mapping[str, Any], fixed: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Attributes of a node, with defaults for those left out.

    Args:
        node: the node.
        defaults: every attribute that the caller takes into account.
        fixed: attributes that may be given, but only with this value.

    Raises:
        UnsupportedOperatorError: an attribute that is in neither, or not as it is fixed.
    """
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for name in given.keys() - defaults.keys():
        if name not in (fixed or {}):
            raise refusal(node, f"attribute {name}={_shown(given[name])}", "no such attribute")
        if given[name] != (fixed or {})[name]:
            raise refusal(node, f"attribute {name}={_shown(given[name])}", _shown((fixed or {})[name]))
    return {**defaults, **{name: given[name] for name in given.keys() & defaults.keys()}}


def refusal(node: onnx.NodeProto, found: str, expected: str) -> UnsupportedOperatorError:
    """The error that names operator and node, what was found and what would have been supported."""
    return UnsupportedOperatorError(
        f"{node.op_type} {node.name or node.output[0]!r}: found {found}, supported is {expected}; "
        "change the network or add a gradient rule"
    )


def _shown(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
