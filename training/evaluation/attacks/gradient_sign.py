"""Attacks along the sign of the gradient, within a largest change of every value (L-infinity)."""

import torch
from torch import Tensor

from training.evaluation.attacks.problem import Attacked, Objective, Problem, check, choose


def fgsm(
    objective: Objective,
    images: Tensor,
    epsilon: float,
    *,
    mask: Tensor | None = None,
    eight_bit: bool = False,
) -> Attacked:
    """One step of the fast gradient sign method (Goodfellow et al. 2015, section 4).

    Args:
        objective: images to [N]; succeeded where > 0.
        images: float [N, 3, H, W] in [0, 1].
        epsilon: length of the step, in units of the image.
        mask: [N, 1, H, W] of 0 and 1, where an image may change; everywhere if None.
        eight_bit: answer with, and judge, multiples of 1/255.
    """
    problem = Problem(objective, images, mask=mask, eight_bit=eight_bit, epsilon=epsilon)
    return _search(problem, [problem.images], steps=1, step=epsilon)


def bim(
    objective: Objective,
    images: Tensor,
    epsilon: float,
    *,
    steps: int = 10,
    step: float | None = None,
    start: Tensor | None = None,
    mask: Tensor | None = None,
    eight_bit: bool = False,
) -> Attacked:
    """The basic iterative method (Kurakin et al. 2017, section 2.2).

    The strongest of all iterates is handed back, image by image.

    Args:
        objective: images to [N]; succeeded where > 0.
        images: float [N, 3, H, W] in [0, 1].
        epsilon: largest change of a value, in units of the image.
        steps: number of steps.
        step: length of one; 2.5 epsilon / steps if None (Madry et al. 2018, section 5).
        start: [N, 3, H, W], where an earlier attack got to, to climb on from; the images themselves if None.
        mask: [N, 1, H, W] of 0 and 1, where an image may change; everywhere if None.
        eight_bit: answer with, and judge, multiples of 1/255.
    """
    problem = Problem(objective, images, mask=mask, eight_bit=eight_bit, epsilon=epsilon)
    first = problem.images if start is None else start
    return _search(problem, [first], steps=steps, step=_length(step, epsilon, steps))


def pgd(
    objective: Objective,
    images: Tensor,
    epsilon: float,
    *,
    steps: int = 100,
    step: float | None = None,
    restarts: int = 5,
    seed: int = 0,
    mask: Tensor | None = None,
    eight_bit: bool = False,
) -> Attacked:
    """`bim` from random images within epsilon (Madry et al. 2018, section 2.1).

    The strongest iterate of all restarts is handed back, image by image; no restart follows once all images
    have succeeded.

    Args:
        objective: images to [N]; succeeded where > 0.
        images: float [N, 3, H, W] in [0, 1].
        epsilon: largest change of a value, in units of the image.
        steps: number of steps of every restart.
        step: length of one; 2.5 epsilon / steps if None.
        restarts: number of random starts.
        seed: of the random starts, which depend on it and on the shape of the batch alone.
        mask: [N, 1, H, W] of 0 and 1, where an image may change; everywhere if None.
        eight_bit: answer with, and judge, multiples of 1/255.
    """
    check("restarts", restarts, restarts >= 1, "a whole number from 1")
    problem = Problem(objective, images, mask=mask, eight_bit=eight_bit, epsilon=epsilon)
    generator = torch.Generator().manual_seed(seed)
    starts = []
    for _ in range(restarts):
        # On the CPU, so that every device starts from the same images.
        noise = 2 * torch.rand(images.shape, generator=generator) - 1
        starts.append(problem.images + epsilon * noise.to(images))
    return _search(problem, starts, steps=steps, step=_length(step, epsilon, steps))


def _length(step: float | None, epsilon: float, steps: int) -> float:
    check("steps", steps, steps >= 1, "a whole number from 1")
    length = 2.5 * epsilon / steps if step is None else step
    check("step", length, 0 <= length <= 1, "a number from 0 to 1, as the images")
    return length


def _search(problem: Problem, starts: list[Tensor], *, steps: int, step: float) -> Attacked:
    """Climb from every start, and keep per image the iterate with the largest objective."""
    unchanged = problem.value(problem.images) > 0
    best, most = problem.images, torch.full_like(unchanged, -torch.inf, dtype=problem.images.dtype)
    for start in starts:
        if problem.fixed or bool((unchanged | (most > 0)).all()):
            break
        # The climb keeps its fractions of a grey level; objective and gradient are of the admissible image.
        climber = problem.within(start)
        _, gradient = problem.linearise(problem.admissible(climber))
        for number in range(steps):
            climber = problem.within(climber + step * gradient.sign())
            candidate = problem.admissible(climber)
            if number + 1 < steps:
                value, gradient = problem.linearise(candidate)
            else:
                value = problem.value(candidate)
            better = value > most
            best = choose(better, candidate, best)
            most = torch.where(better, value.to(most), most)
    return problem.answer(best, most, unchanged)
