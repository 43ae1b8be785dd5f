"""The exported forward pass says what PyTorch says, at every batch size, in one plain file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.differentiation.rules import RULES
from training.networks import Network

pytestmark = pytest.mark.slow

Forward = tuple[Network, onnx.ModelProto]

RESNET_FEATURES = [
    "features.stem",
    "features.layer1",
    "features.layer2",
    "features.layer3",
    "features.layer4",
]
VGG_FEATURES = [
    "features.pool1",
    "features.pool2",
    "features.pool3",
    "features.pool4",
    "features.pool5",
]
CHANNELS = {
    "edge": [16, 16, 32, 64, 128],
    "resnet18": [64, 64, 128, 256, 512],
    "vgg19": [64, 128, 256, 512, 512],
}


@pytest.fixture(params=["edge", "resnet18", "vgg19"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def forward(name: str, forward_of: Callable[[str], Forward]) -> Forward:
    return forward_of(name)


def test_outputs_by_name_and_shape(name: str, forward: Forward) -> None:
    graph = forward[1].graph
    features = VGG_FEATURES if name == "vgg19" else RESNET_FEATURES
    assert [output.name for output in graph.output] == ["logits", *features]
    shapes = [[d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output]
    assert shapes == [["N", 2], *(["N", channels] for channels in CHANNELS[name])]
    assert [given.name for given in graph.input] == ["image"]
    assert {o.type.tensor_type.elem_type for o in graph.output} == {onnx.TensorProto.FLOAT}


def test_says_what_pytorch_says_at_every_batch_size(forward: Forward) -> None:
    network, model = forward
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for batch in (1, 2, 7):
        images = np.random.default_rng(batch).random((batch, 3, 41, 41), np.float32)
        with torch.no_grad():
            logits, features = network(torch.from_numpy(images))
        for got, expected in zip(session.run(None, {"image": images}), (logits, *features), strict=True):
            assert got.dtype == np.float32
            scale = float(expected.abs().max())
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-5 * scale)


def test_batch_norm_is_folded_and_every_operator_has_a_gradient_rule(forward: Forward) -> None:
    kinds = {node.op_type for node in forward[1].graph.node}
    assert "BatchNormalization" not in kinds
    assert kinds <= set(RULES)


def test_versions_are_pinned(forward: Forward) -> None:
    model = forward[1]
    assert model.ir_version == 9
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]


def test_is_one_file_that_holds_each_weight_once(forward: Forward) -> None:
    network, model = forward
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    weights = sum(
        p.numel() for m in network.modules() if _has_weights(m) for p in m.parameters(recurse=False)
    )
    assert weights * 4 < len(model.SerializeToString()) < weights * 4 * 1.02 + 30_000


def _has_weights(module: torch.nn.Module) -> bool:
    """Of batch norm only a bias per channel is left."""
    return isinstance(module, torch.nn.Conv2d | torch.nn.Linear)


def test_tells_nothing_of_the_machine_it_was_made_on(forward: Forward) -> None:
    data = forward[1].SerializeToString()
    repository = str(Path(__file__).parents[2]).encode()
    assert [text for text in (repository, b"site-packages", b"pkg.torch") if text in data] == []
