"""Forward graphs, built once for all tests, and bundles that are altered and sealed again."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from edge_runtime.bundle.files import MODEL, open_bundle, save_bundle
from export import contents, sealing
from export.forward import export_forward
from training.networks import Network, build_network
from training.trained import TrainedDetector, load_trained

FORWARD_SIZE = 41  # pixels, odd, so that no stride divides it; VGG-19 needs 32

Edit = Callable[[onnx.ModelProto], None]
Forward = tuple[Network, onnx.ModelProto]


def randomised(network: Network) -> Network:
    """Batch norms as training could leave them; fresh ones are the identity, or zero."""
    generator = torch.Generator().manual_seed(7)
    assert isinstance(network, torch.nn.Module)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.5, 1.0),
                (module.bias.data, -0.2, 0.2),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.8, 2.0),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
    return network.eval()


@pytest.fixture(scope="session")
def random_network() -> Callable[[Network], Network]:
    return randomised


@pytest.fixture(scope="session")
def forward_of() -> Callable[[str], Forward]:
    """A network with random weights and its forward graph, by the network's name."""

    @cache
    def export(name: str) -> Forward:
        torch.manual_seed(3)
        network = randomised(build_network(name, 2))
        return network, export_forward(network, FORWARD_SIZE)

    return export


@pytest.fixture(scope="session")
def trained(run_folder: Path) -> TrainedDetector:
    return load_trained(run_folder)


@pytest.fixture(scope="session")
def run_graph(bundle_folder: Path) -> onnx.ModelProto:
    return onnx.load(bundle_folder / MODEL)


@pytest.fixture
def built_once(monkeypatch: pytest.MonkeyPatch, run_graph: onnx.ModelProto) -> None:
    """Every building of the run's graph gives the one that was built already: an export takes seconds."""
    for module in (contents, sealing):
        monkeypatch.setattr(module, "build_graph", lambda *_args, **_settings: run_graph)


@pytest.fixture
def reseal(tmp_path: Path, bundle_folder: Path) -> Callable[..., Path]:
    """Alter the bundle's graph or manifest and seal it again, with right hashes; returns the new folder."""

    def altered(
        edit: Edit | None = None, *, files: Mapping[str, bytes] | None = None, **changes: Any
    ) -> Path:
        bundle = open_bundle(bundle_folder)
        model = onnx.load_from_string(bundle.contents[MODEL])
        if edit is not None:
            edit(model)
        contents = {**bundle.contents, MODEL: model.SerializeToString(), **(files or {})}
        save_bundle(tmp_path / "altered", replace(bundle.manifest, **changes), contents)
        return tmp_path / "altered"

    return altered
