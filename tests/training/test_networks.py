"""The networks: torchvision's names, features where they are said to be, weights from files."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edge_runtime.errors import SourceError
from training.networks import NETWORKS, VGG, build_network, load_pretrained
from training.run import parameter_count

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

# The state dicts of torchvision's resnet18 and vgg19_bn, written out.
RESNET18_BLOCKS = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
RESNET18_NAMES = {
    "conv1.weight",
    *(f"bn1.{name}" for name in BATCH_NORM),
    *(f"{block}.conv{number}.weight" for block in RESNET18_BLOCKS for number in (1, 2)),
    *(f"{block}.bn{number}.{name}" for block in RESNET18_BLOCKS for number in (1, 2) for name in BATCH_NORM),
    *(f"layer{stage}.0.downsample.0.weight" for stage in (2, 3, 4)),
    *(f"layer{stage}.0.downsample.1.{name}" for stage in (2, 3, 4) for name in BATCH_NORM),
    "fc.weight",
    "fc.bias",
}
VGG19_CONVOLUTIONS = (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49)
VGG19_NAMES = {
    *(f"features.{number}.{name}" for number in VGG19_CONVOLUTIONS for name in ("weight", "bias")),
    *(f"features.{number + 1}.{name}" for number in VGG19_CONVOLUTIONS for name in BATCH_NORM),
}


@pytest.fixture(scope="module")
def imagenet_resnet18() -> dict[str, Tensor]:
    """Random weights in the form of torchvision's file: 1000 classes."""
    return build_network("resnet18", 1000).state_dict()


def test_resnet18_has_the_names_and_size_of_torchvision(imagenet_resnet18: dict[str, Tensor]) -> None:
    assert set(imagenet_resnet18) == RESNET18_NAMES
    assert len(RESNET18_NAMES) == 122
    assert parameter_count(build_network("resnet18", 1000)) == 11_689_512
    assert imagenet_resnet18["layer3.0.downsample.0.weight"].shape == (256, 128, 1, 1)


def test_vgg19_has_the_features_of_torchvision() -> None:
    network = build_network("vgg19", 2)
    names = set(network.state_dict())
    assert {name for name in names if name.startswith("features.")} == VGG19_NAMES
    assert names - VGG19_NAMES == {"classifier.weight", "classifier.bias"}
    assert parameter_count(network) == 20_035_392 + 2 * 512 + 2


def test_edge_is_a_small_resnet18() -> None:
    network = build_network("edge", 2)
    assert parameter_count(network) <= 800_000
    assert set(network.state_dict()) == RESNET18_NAMES


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("edge", (16, 16, 32, 64, 128)),
        ("resnet18", (64, 64, 128, 256, 512)),
        ("vgg19", (64, 128, 256, 512, 512)),
    ],
)
def test_features_are_the_spatial_means_of_the_layers(name: str, channels: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = build_network(name, 2).eval()
    maps: dict[str, Tensor] = {}

    def keep(layer: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _module, _inputs, output: maps.__setitem__(layer, output))

    if isinstance(network, VGG):
        pools = [m for m in network.features if isinstance(m, nn.MaxPool2d)]
        for number, pool in enumerate(pools, 1):
            keep(f"pool{number}", pool)
    else:
        network.maxpool.register_forward_pre_hook(lambda _module, inputs: maps.__setitem__("stem", inputs[0]))
        for number in (1, 2, 3, 4):
            keep(f"layer{number}", getattr(network, f"layer{number}"))
    with torch.no_grad():
        logits, features = network(torch.rand(2, 3, 65, 65))
    assert logits.shape == (2, 2)
    assert tuple(f.shape for f in features) == tuple((2, width) for width in channels)
    for layer, feature in zip(network.layers, features, strict=True):
        assert torch.allclose(feature, maps[layer].flatten(2).mean(dim=2), atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_normalisation_is_inside(name: str) -> None:
    network = build_network(name, 2)
    image = torch.tensor([0.485 + 0.229, 0.456 - 0.224, 0.406]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert network.normalise(image)[0, :, 0, 0].tolist() == pytest.approx([1, -1, 0], abs=1e-6)
    assert not any(key.startswith("normalise") for key in network.state_dict())


def test_unknown_network() -> None:
    with pytest.raises(SourceError, match="resnet50: no such network; choose one of resnet18, vgg19, edge"):
        build_network("resnet50", 2)


@pytest.mark.parametrize("counters", [True, False])
def test_imagenet_weights_fill_all_but_the_head(
    imagenet_resnet18: dict[str, Tensor], tmp_path: Path, counters: bool
) -> None:
    stored = {
        name: value
        for name, value in imagenet_resnet18.items()
        if counters or not name.endswith("num_batches_tracked")
    }
    torch.save(stored, tmp_path / "resnet18.pth")
    network = build_network("resnet18", 2)
    head = network.fc.weight.clone()
    assert load_pretrained(network, tmp_path / "resnet18.pth") == ["fc.bias", "fc.weight"]
    for name, value in network.state_dict().items():
        if name in stored and not name.startswith("fc."):
            assert torch.equal(value, stored[name])
    assert torch.equal(network.fc.weight, head)


def test_vgg19_takes_torchvisions_file_with_its_other_classifier(tmp_path: Path) -> None:
    source = build_network("vgg19", 2)
    stored = {name: source.state_dict()[name] for name in VGG19_NAMES if "num_batches" not in name}
    # Three linear layers, here narrower than torchvision's.
    stored |= {f"classifier.{n}.{name}": torch.zeros(3) for n in (0, 3, 6) for name in ("weight", "bias")}
    torch.save(stored, tmp_path / "vgg19_bn.pth")
    network = build_network("vgg19", 2)
    assert load_pretrained(network, tmp_path / "vgg19_bn.pth") == ["classifier.bias", "classifier.weight"]
    assert torch.equal(network.features[49].weight, source.features[49].weight)


@pytest.mark.parametrize("other", ["edge", "vgg19"])
def test_weights_of_another_network_are_refused(tmp_path: Path, other: str) -> None:
    torch.save(build_network(other, 2).state_dict(), tmp_path / "other.pth")
    network = build_network("resnet18", 2)
    before = network.conv1.weight.clone()
    with pytest.raises(
        SourceError, match=r"other\.pth: weights of another network; \d+ parameters are missing"
    ):
        load_pretrained(network, tmp_path / "other.pth")
    assert torch.equal(network.conv1.weight, before)


class Malice:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"conv1.weight": Malice(path.with_name("proof"))}))


def write_torch_pickle(path: Path) -> None:
    torch.save({"conv1.weight": Malice(path.with_name("proof"))}, path)


def write_truncated(path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


def write_text(path: Path) -> None:
    path.write_text("<html>404</html>")


def write_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    "write", [write_pickle, write_torch_pickle, write_truncated, write_text, write_nothing]
)
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "weights.pth")
    with pytest.raises(SourceError, match=r"weights\.pth: not a file of PyTorch weights"):
        load_pretrained(build_network("edge", 2), tmp_path / "weights.pth")
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("content", [torch.zeros(3), [torch.zeros(3)], 7])
def test_file_without_names_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(SourceError, match="holds no state dict"):
        load_pretrained(build_network("edge", 2), tmp_path / "weights.pth")
