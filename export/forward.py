"""PyTorch network to an ONNX graph of its forward pass: batch norm folded, dynamic batch, one file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from training.networks import Network

OPSET = 18
IR_VERSION = 9  # read by every onnxruntime this project supports


class _Flat(nn.Module):
    """The network with its outputs in one flat tuple, which the exporter names in order."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        logits, features = self.network(image)
        return (logits, *features)


def feature_name(layer: str) -> str:
    """Name of the graph's output that holds a layer's features."""
    return f"features.{layer}"


def export_forward(network: Network, size: int) -> onnx.ModelProto:
    """Export the forward pass.

    Args:
        network: in evaluation mode, on the CPU.
        size: side of the square input in pixels.

    Returns:
        A graph with the input `image` float32 [N, 3, size, size] and the outputs `logits` [N, K] and
        `features.<layer>` [N, C_l].
    """
    # Traced with two examples: an exporter may take a batch of one for a constant.
    example = torch.zeros(2, 3, size, size)
    with _quiet():
        program = torch.onnx.export(
            _Flat(network).eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits", *map(feature_name, network.layers)],
            dynamic_shapes={"image": {0: torch.export.Dim("N")}},
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    model.ir_version = IR_VERSION
    # The exporter's notes on where things came from: paths of this machine.
    graph = model.graph
    tensors = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *tensors):
        del part.metadata_props[:]
    return onnx.shape_inference.infer_shapes(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's own deprecations and its talk of packages that nothing here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
