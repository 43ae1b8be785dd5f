"""Carlini and Wagner's L2 attack: a small change by gradient descent, its price searched for every image."""

import torch
from torch import Tensor

from training.evaluation.attacks.problem import Attacked, Objective, Problem, check, choose

# atanh(1) is infinite: without this, black and white pixels could never change.
_SCALE = 0.999999


def carlini_wagner(
    objective: Objective,
    images: Tensor,
    *,
    kappa: float = 0.0,
    steps: int = 1000,
    searches: int = 9,
    price: float = 1e-3,
    learning_rate: float = 0.01,
    mask: Tensor | None = None,
    eight_bit: bool = False,
) -> Attacked:
    """CW-L2 (Carlini & Wagner 2017, section VI.A), for an objective f to be raised above kappa.

    Minimises |x' - x|^2 + c max(kappa - f(x'), 0) over w, with x' = (tanh w + 1) / 2, by Adam. The price c is
    multiplied by 10 until an image succeeds, then halved into between the least price that succeeded and the
    largest that did not. With eight_bit, f and the distance are those of the rounded
    image. Each image's nearest success comes back; one without any comes back as it was.

    Args:
        objective: images to [N]; succeeded where > 0.
        images: float [N, 3, H, W] in [0, 1].
        kappa: by how much the objective must exceed 0; an image that exceeds 0 by itself is left alone.
        steps: steps of Adam per price.
        searches: number of prices.
        price: the first c.
        learning_rate: Adam's.
        mask: [N, 1, H, W] of 0 and 1, where an image may change; everywhere if None.
        eight_bit: answer with, and judge, multiples of 1/255.
    """
    check("kappa", kappa, kappa >= 0, "a number from 0")
    check("steps", steps, steps >= 1, "a whole number from 1")
    check("searches", searches, searches >= 1, "a whole number from 1")
    check("price", price, price > 0, "a number above 0")
    check("learning_rate", learning_rate, learning_rate > 0, "a number above 0")
    problem = Problem(objective, images, mask=mask, eight_bit=eight_bit)
    unchanged = problem.value(problem.images) > 0
    nearest = _Nearest(problem)
    c = torch.full_like(nearest.length, price)
    lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
    for _ in range(searches):
        if bool(unchanged.all()):
            break
        found = _descend(problem, nearest, c, kappa=kappa, steps=steps, learning_rate=learning_rate)
        lower, upper = torch.where(found, lower, c), torch.where(found, c, upper)
        c = torch.where(upper.isinf(), 10 * c, (lower + upper) / 2)
    return problem.answer(nearest.images, nearest.value, unchanged)


class _Nearest:
    """Each image's nearest success so far; the image itself, with no success, to begin with."""

    def __init__(self, problem: Problem) -> None:
        self._start = problem.images
        self.images = problem.images
        self.length = problem.images.new_full((len(problem.images),), torch.inf)
        self.value = torch.full_like(self.length, -torch.inf)

    def keep(self, candidate: Tensor, value: Tensor, success: Tensor) -> None:
        length = (candidate - self._start).flatten(1).norm(dim=1)
        nearer = success & (length < self.length)
        self.images = choose(nearer, candidate, self.images)
        self.length = torch.where(nearer, length, self.length)
        self.value = torch.where(nearer, value.to(self.value), self.value)


def _descend(
    problem: Problem,
    nearest: _Nearest,
    c: Tensor,
    *,
    kappa: float,
    steps: int,
    learning_rate: float,
) -> Tensor:
    """Adam at one price per image; tells which images succeeded, bool [N]."""
    w = torch.atanh((2 * problem.images - 1) * _SCALE)
    adam = torch.optim.Adam([w], lr=learning_rate)
    found = torch.zeros_like(c, dtype=torch.bool)
    for _ in range(steps):
        tanh = w.tanh()
        candidate = problem.admissible((tanh + 1) / 2)
        value, gradient = problem.linearise(candidate)
        success = value > kappa
        found |= success
        nearest.keep(candidate, value, success)
        # The gradient by hand: rounding to 8 bits counts as the identity, and the mask as a constant.
        wanting = torch.where(success, torch.zeros_like(c), c).view(-1, 1, 1, 1)
        slope = 2 * (candidate - problem.images) - wanting * gradient
        w.grad = slope * (1 - tanh.square()) / 2 * problem.mask
        adam.step()
    return found
