"""torchvision where its compiled part does not load, so that a library that imports it can be an oracle."""

import importlib.util
from importlib import import_module

import torch

# Declared when torchvision is imported, but only by the compiled part that they are in.
_UNDECLARED = ("nms", "qnms")


def declare_operators() -> None:
    """Make `import torchvision` work beside a torch that its compiled part was not built for.

    The wheel of PyPI is built for torch with CUDA. Beside the torch without it, importing torchvision ends in
    "operator torchvision::nms does not exist", although nothing that an oracle needs is compiled. Declaring
    the operators by name and arguments is enough; calling one would still fail.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in _UNDECLARED:
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
