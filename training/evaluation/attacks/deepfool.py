"""DeepFool: the nearest boundary of a scalar objective, linearised again at every step."""

from torch import Tensor

from training.evaluation.attacks.problem import Attacked, Objective, Problem, check, choose

# Where the gradient is all 0 there is nowhere to go, and the step is 0 too.
_LEAST_SQUARE = 1e-20


def deepfool(
    objective: Objective,
    images: Tensor,
    *,
    steps: int = 50,
    overshoot: float = 0.02,
    mask: Tensor | None = None,
    eight_bit: bool = False,
) -> Attacked:
    """DeepFool in L2 (Moosavi-Dezfooli et al. 2016, algorithm 1), for an objective f to be raised above 0.

    Every step adds (1 + overshoot) r, with r = |f| grad f / |grad f|^2 over the values that can still follow
    the gradient within [0, 1], and is clipped; an image stops changing once it has succeeded. With eight_bit,
    f and its gradient are those of the rounded image, while the steps add up unrounded. An image that did
    not succeed comes back as the last step left it.

    Args:
        objective: images to [N]; succeeded where > 0.
        images: float [N, 3, H, W] in [0, 1].
        steps: largest number of steps.
        overshoot: by how much of the way the boundary is overstepped.
        mask: [N, 1, H, W] of 0 and 1, where an image may change; everywhere if None.
        eight_bit: answer with, and judge, multiples of 1/255.
    """
    check("steps", steps, steps >= 1, "a whole number from 1")
    check("overshoot", overshoot, overshoot >= 0, "a number from 0")
    problem = Problem(objective, images, mask=mask, eight_bit=eight_bit)
    value, gradient = problem.linearise(problem.images)
    unchanged = value > 0
    place = candidate = problem.images
    for _ in range(steps):
        active = ~(value > 0)
        if not bool(active.any()):
            break
        # Without `uphill`, half of every step would end on a black background, and never reach the boundary.
        way = (1 + overshoot) * _to_boundary(value, problem.uphill(place, gradient))
        place = choose(active, problem.within(place + way), place)
        candidate = choose(active, problem.admissible(place), candidate)
        value, gradient = problem.linearise(candidate)
    return problem.answer(candidate, value, unchanged)


def _to_boundary(value: Tensor, gradient: Tensor) -> Tensor:
    square = gradient.flatten(1).square().sum(dim=1).clamp(min=_LEAST_SQUARE)
    # No number stays no number through the comparison in the loop; the step must not carry it on.
    share = (value.abs().to(gradient) / square).nan_to_num(0, 0, 0)
    return share.view(-1, 1, 1, 1) * gradient
