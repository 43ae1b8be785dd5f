"""Network and statistics of a bundle, out of the graph that was made of them."""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from edge_runtime.errors import SourceError
from training.gaussians import LayerGaussian

# How the exporter begins the names of the network's parameters.
_NETWORK = "network."
Constants = Mapping[str, NDArray[np.generic]]


def fill_network(network: nn.Module, model: onnx.ModelProto) -> None:
    """Copy a graph's weights into a network of the same shape, so that exporting it gives them again.

    The exporter folded each batch norm into the convolution before it. Here the convolution takes the folded
    kernel, and its batch norm adds the bias and nothing else: a variance of 1 - eps divides by exactly 1.

    Args:
        network: changed in place.
        model: the graph of a bundle.

    Raises:
        SourceError: the graph lacks a weight of the network, or has it in another shape.
    """
    constants = _constants(model)
    biases = {node.input[1]: node.input[2] for node in model.graph.node if len(node.input) > 2}
    with torch.no_grad():
        for name, layer, norm in _layers(network):
            weight = f"{_NETWORK}{name}.weight"
            bias = constants.get(biases.get(weight, ""))
            if bias is None or constants[weight].shape != tuple(layer.weight.shape):
                raise SourceError(
                    f"{name}: not in this graph, or in another shape; give the bundle's network"
                )
            layer.weight.copy_(torch.from_numpy(constants[weight].copy()))
            if norm is None:
                assert layer.bias is not None
                layer.bias.copy_(torch.from_numpy(bias.copy()))
                continue
            if layer.bias is not None:
                layer.bias.zero_()
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.weight.fill_(1.0)
            norm.bias.copy_(torch.from_numpy(bias.copy()))
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)


def _layers(
    network: nn.Module,
) -> Iterator[tuple[str, nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]]:
    """Name and module of every layer with weights, and the batch norm that follows it in the network."""
    modules = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
    ]
    for (name, module), (_, after) in zip(modules, [*modules[1:], ("", None)], strict=True):
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module, after if isinstance(after, nn.BatchNorm2d) else None


def recovered_gaussian(model: onnx.ModelProto, layer: str) -> LayerGaussian:
    """The statistics of a layer, from the float32 constants that `export.graph` made of them.

    Args:
        model: the graph of a bundle.
        layer: name of the layer.

    Returns:
        The statistics; how many cells they are of, their shrinkage and condition are not known.
    """
    constants = _constants(model)
    origin, whitening, centres = (
        constants[f"{name}.{layer}"].astype(np.float64) for name in ("origin", "whitening", "centres")
    )
    relative = any(f"plain.relative.{layer}" in node.output for node in model.graph.node)
    # centres = (means - origin) @ whitening. Of relative activations nothing lies along (1, ..., 1), which
    # the whitening takes off: one more equation says so.
    extra = np.full((1 if relative else 0, len(whitening)), np.abs(whitening).max())
    system = np.concatenate([whitening.T, extra])
    wanted = np.concatenate([centres.T, np.zeros((len(extra), len(centres)))])
    moved = np.linalg.lstsq(system, wanted, rcond=None)[0].T
    means = origin + moved - moved.mean(axis=0)
    unknown = float("nan")
    return LayerGaussian(
        means,
        np.ascontiguousarray(whitening.T),
        np.full(len(means), unknown),
        shrinkage=unknown,
        condition=unknown,
        relative=relative,
    )


def _constants(model: onnx.ModelProto) -> Constants:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
