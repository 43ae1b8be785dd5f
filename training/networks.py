"""The networks: ResNet-18, VGG-19 with batch norm, and a small ResNet for the device.

Parameter names are torchvision's, so that its ImageNet weights load from a file. Every network takes the
image in [0, 1] (normalisation is inside) and returns its logits together with the spatial means of its
feature layers, which is what the Gaussian statistics are made of (Lee et al. 2018, section 2.1).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor, nn

from edge_runtime.errors import SourceError

NETWORKS = ("resnet18", "vgg19", "edge")

Output = tuple[Tensor, tuple[Tensor, ...]]

# ImageNet's channel statistics, which torchvision's weights expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EDGE_WIDTHS = (16, 32, 64, 128)  # 0.70 M parameters
_VGG19_BLOCKS = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)


class Network(Protocol):
    """What every network is to those who train, measure, attack or export it."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the feature layers, the shallowest first."""

    @property
    def training(self) -> bool:
        """Whether batch norm follows the batch, as only training may have it."""

    def __call__(self, images: Tensor, /) -> Output:
        """Map images [N, 3, H, W] in [0, 1] to logits [N, K] and the features [N, C_l] of every layer."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The trained tensors; the first one tells the device and type of them all."""

    def state_dict(self) -> dict[str, Any]:
        """Every tensor by name, those that no gradient reaches, too."""

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> object:
        """Take over tensors, which must have just these names and shapes."""

    def eval(self) -> Self:
        """Leave training mode."""

    def to(self, device: torch.device | str, /) -> Self:
        """Move to a device."""

    def double(self) -> Self:
        """Go over to float64."""


def build_network(name: str, classes: int) -> Network:
    """Build a network with random weights.

    Args:
        name: one of NETWORKS.
        classes: number of logits.
    """
    if name == "resnet18":
        return ResNet((64, 128, 256, 512), classes)
    if name == "vgg19":
        return VGG(classes)
    if name == "edge":
        return ResNet(_EDGE_WIDTHS, classes)
    raise SourceError(f"{name}: no such network; choose one of {', '.join(NETWORKS)}")


def channels_last(network: Network) -> Network:
    """The network with its convolutions' weights in the order in which a CPU computes fastest."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-arg] # unknown to torch's types


def load_pretrained(network: Network, path: Path) -> list[str]:
    """Load weights from a file, leaving out what has another shape (the head for ImageNet's 1000 classes).

    Args:
        network: changed in place.
        path: a state dict, as torchvision publishes them.

    Returns:
        Names of the network's parameters that the file did not fill.

    Raises:
        SourceError: not a state dict, or one of another network.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated types here
        raise SourceError(f"{path}: not a file of PyTorch weights ({type(error).__name__})") from error
    if not isinstance(weights, dict):
        raise SourceError(f"{path}: holds no state dict; give a file as torchvision publishes them")
    own = network.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    # torchvision's older files lack these counters, which nothing here reads.
    missing = sorted(k for k in set(own) - set(fitting) if not k.endswith(".num_batches_tracked"))
    if any(not name.startswith(("fc.", "classifier.")) for name in missing):
        raise SourceError(f"{path}: weights of another network; {len(missing)} parameters are missing")
    network.load_state_dict({**own, **fitting})
    return missing


class _Normalise(nn.Module):
    """(image - mean) / std, without entries in the state dict."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return cast("Tensor", self.relu(y + shortcut))


class ResNet(nn.Module):
    """ResNet with two basic blocks per stage: widths (64, 128, 256, 512) make it ResNet-18."""

    layers: tuple[str, ...] = ("stem", "layer1", "layer2", "layer3", "layer4")

    def __init__(self, widths: tuple[int, int, int, int], classes: int) -> None:
        super().__init__()
        self.normalise = _Normalise()
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _stage(widths[0], widths[0], 1)
        self.layer2 = _stage(widths[0], widths[1], 2)
        self.layer3 = _stage(widths[1], widths[2], 2)
        self.layer4 = _stage(widths[2], widths[3], 2)
        self.fc = nn.Linear(widths[3], classes)
        _initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Map an image [N, 3, H, W] in [0, 1] to logits [N, K] and five features [N, C_l]."""
        stem = self.relu(self.bn1(self.conv1(self.normalise(image))))
        one = self.layer1(self.maxpool(stem))
        two = self.layer2(one)
        three = self.layer3(two)
        four = self.layer4(three)
        features = tuple(map(_spatial_mean, (stem, one, two, three, four)))
        return self.fc(features[-1]), features


class VGG(nn.Module):
    """VGG-19 with batch norm; the features after each of its five poolings.

    torchvision's 120 M parameters of fully connected layers are replaced by one linear layer on the
    spatial mean: at 125x125 they would see a 3x3 map stretched to 7x7.
    """

    layers: tuple[str, ...] = ("pool1", "pool2", "pool3", "pool4", "pool5")

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.normalise = _Normalise()
        modules: list[nn.Module] = []
        channels = 3
        for block in _VGG19_BLOCKS:
            for width in block:
                modules += [
                    nn.Conv2d(channels, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            modules.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*modules)
        self.classifier = nn.Linear(channels, classes)
        _initialise(self)

    def forward(self, image: Tensor) -> Output:
        """Map an image [N, 3, H, W] in [0, 1] to logits [N, K] and five features [N, C_l]."""
        x = self.normalise(image)
        features = []
        for module in self.features:
            x = module(x)
            if isinstance(module, nn.MaxPool2d):
                features.append(_spatial_mean(x))
        return self.classifier(features[-1]), tuple(features)


def _spatial_mean(x: Tensor) -> Tensor:
    """Mean over height and width: [N, C, H, W] to [N, C].

    Row by row: onnxruntime adds up thousands of float32 pixels one after the other, and its error, ten times
    PyTorch's, grows in the whitening.
    """
    return x.mean(dim=3).mean(dim=2)


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_BasicBlock(inputs, outputs, stride), _BasicBlock(outputs, outputs, 1))


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, _BasicBlock):
            # Every block starts as its shortcut; the wide network did not start to learn otherwise.
            nn.init.zeros_(module.bn2.weight)
