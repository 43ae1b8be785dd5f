"""How each network is trained, unless the command line says otherwise.

The small network learns best by SGD on whole images. With SGD the loss of the wide ones stays at that of
chance for four epochs whatever the learning rate; AdamW leaves it in the second. They are trained on small
images first: they learn as much from them early on, and an epoch at half the side costs a third.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn, optim

MOMENTUM = 0.9
# Up to which share of the epochs images are how small.
_SIDES = ((1 / 3, 64), (2 / 3, 96))


@dataclass(frozen=True)
class Recipe:
    """The settings that were found for one network.

    Attributes:
        epochs: passes over the training cells.
        learning_rate: the peak of the one-cycle schedule.
        optimiser: SGD with Nesterov momentum, or AdamW (Loshchilov & Hutter 2019).
        weight_decay: of that optimiser, which means it differently.
        growing: whether images grow from half their side to the whole.
    """

    epochs: int
    learning_rate: float
    optimiser: Literal["sgd", "adamw"]
    weight_decay: float
    growing: bool


RECIPES = {
    "edge": Recipe(24, 0.1, "sgd", 5e-4, growing=False),
    "resnet18": Recipe(16, 1e-3, "adamw", 0.05, growing=True),
    "vgg19": Recipe(16, 5e-4, "adamw", 0.05, growing=True),
}


def make_optimiser(
    recipe: Recipe, parameters: Iterable[nn.Parameter], learning_rate: float
) -> optim.Optimizer:
    """The optimiser of a recipe, for one network's parameters."""
    if recipe.optimiser == "adamw":
        return optim.AdamW(parameters, learning_rate, weight_decay=recipe.weight_decay)
    return optim.SGD(parameters, learning_rate, MOMENTUM, weight_decay=recipe.weight_decay, nesterov=True)


def side_in(recipe: Recipe, epoch: int, epochs: int, size: int) -> int:
    """The side of the images in an epoch, counted from 0: never more than the network's input has."""
    sides = _SIDES if recipe.growing else ()
    return next((min(side, size) for share, side in sides if epoch < share * epochs), size)
