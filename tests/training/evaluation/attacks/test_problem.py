import pytest
import torch
from torch import Tensor

from edge_runtime.errors import SourceError
from training.evaluation.attacks.problem import Problem, foreground


def brightness(images: Tensor) -> Tensor:
    return images.flatten(1).mean(dim=1)


def test_the_foreground_is_what_is_not_exactly_black() -> None:
    images = torch.zeros(1, 3, 2, 2)
    images[0, 2, 0, 1] = 1 / 255
    assert foreground(images).tolist() == [[[[False, True], [False, False]]]]


def test_admissible_images_keep_to_every_limit(images: Tensor) -> None:
    mask = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    problem = Problem(brightness, images, mask=mask, eight_bit=True, epsilon=2 / 255)
    wild = images + torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    found = problem.admissible(wild)
    levels = (found * 255).round()
    assert torch.equal(found, levels / 255)
    assert (levels - (images * 255).round()).abs().max() == 2
    assert torch.equal(torch.where(mask, images, found), images)


def test_an_epsilon_between_two_levels_is_not_rounded_up(images: Tensor) -> None:
    problem = Problem(brightness, images, eight_bit=True, epsilon=1.7 / 255)
    change = (problem.admissible(images + 0.5) - images) * 255
    assert torch.allclose(change, torch.ones_like(change), atol=1e-4)


def test_the_gradient_is_zero_outside_the_mask_and_always_a_number(images: Tensor) -> None:
    mask = torch.zeros(4, 1, 8, 8)
    mask[:, :, 0] = 1
    _, gradient = Problem(lambda x: (x - images).flatten(1).norm(dim=1).sqrt(), images, mask=mask).linearise(
        images
    )
    assert gradient.isfinite().all()
    _, gradient = Problem(brightness, images, mask=mask).linearise(images)
    assert (gradient[:, :, 0] > 0).all()
    assert (gradient[:, :, 1:] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(3, 8, 8)}, r"give float \[N, 3, H, W\]"),
        ({"images": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, r"torch.uint8"),
        ({"images": torch.zeros(0, 3, 8, 8)}, "no images"),
        ({"images": torch.full((1, 3, 8, 8), 1.01)}, r"outside \[0, 1\]"),
        ({"images": torch.full((1, 3, 8, 8), torch.nan)}, r"outside \[0, 1\]"),
        ({"images": torch.full((1, 3, 8, 8), 0.3), "eight_bit": True}, None),
        ({"images": torch.full((1, 3, 8, 8), 0.301), "eight_bit": True}, "multiples of 1/255"),
        ({"mask": torch.ones(4, 3, 8, 8)}, r"the mask is \[4, 3, 8, 8\]; give \[4, 1, 8, 8\]"),
        ({"mask": torch.full((4, 1, 8, 8), 0.5)}, "other than 0 and 1"),
        ({"epsilon": 8}, "epsilon is 8"),
        ({"epsilon": -0.1}, "epsilon is -0.1"),
    ],
)
def test_what_it_cannot_use_is_refused_with_a_reason(
    change: dict[str, object], message: str | None, images: Tensor
) -> None:
    # 0.3 is 76.5 levels, 0.301 is not whole either; a whole one passes.
    if message is None:
        change = {**change, "images": torch.full((1, 3, 8, 8), 77 / 255)}
        Problem(brightness, **change)
        return
    with pytest.raises(SourceError, match=message):
        Problem(brightness, **{"images": images, **change})


def test_an_objective_must_give_one_number_per_image(images: Tensor) -> None:
    with pytest.raises(SourceError, match="one number for each of 4 images"):
        Problem(lambda x: x.mean(dim=(2, 3)), images).value(images)
