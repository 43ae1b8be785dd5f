"""Augmentation: what decides it, what it keeps, and each change against an independent computation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from edge_runtime.simulator import corruptions
from training.augmentation import STRENGTHS, Strength, augment, draw

SIDE, CELLS = 33, 12
NONE = Strength(
    rotation=0.0,
    shear=0.0,
    shift=0.0,
    zoom=(1.0, 1.0),
    gain=(1.0, 1.0),
    cast=0.0,
    contrast=0.0,
    saturation=0.0,
    blur=0.0,
    noise=0.0,
    dust=0.0,
    erosion=0.0,
)
COLUMNS = draw(1, seed=0, epoch=0).shape[1]
# Every factor at the upper end of its range and no flip; at the lower end and mirrored.
HIGH, LOW = torch.ones(CELLS, COLUMNS), torch.zeros(CELLS, COLUMNS)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Textured discs on black, away from the edge: float32 [12, 3, 33, 33]."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    disc = torch.from_numpy((x**2 + y**2 <= 11**2).astype(np.float32))
    texture = torch.rand(CELLS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return (0.2 + 0.6 * texture) * disc


def same(found: Tensor, expected: Tensor | NDArray[np.float32], tolerance: float = 1e-5) -> bool:
    return bool(np.allclose(found.numpy(), np.asarray(expected), rtol=0, atol=tolerance))


def test_numbers_depend_on_seed_and_epoch() -> None:
    drawn = {
        (seed, epoch): draw(50, seed=seed, epoch=epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]
    }
    assert torch.equal(drawn[1, 1], draw(50, seed=1, epoch=1))
    assert len({tuple(numbers.flatten().tolist()) for numbers in drawn.values()}) == 4
    for numbers in drawn.values():
        assert 0 <= numbers.min() < 0.05
        assert 0.95 < numbers.max() < 1


def test_what_happens_to_a_cell_does_not_depend_on_its_batch(images: Tensor) -> None:
    uniform = draw(CELLS, seed=5, epoch=2)
    whole = augment(images, uniform, Strength())
    for number in range(CELLS):
        one = slice(number, number + 1)
        assert same(augment(images[one], uniform[one], Strength()), whole[one], 1e-6)
    some = [7, 2, 11]
    assert same(augment(images[some], uniform[some], Strength()), whole[some], 1e-6)


def test_another_epoch_changes_every_cell(images: Tensor) -> None:
    one, other = (augment(images, draw(CELLS, seed=5, epoch=e), Strength()) for e in (0, 1))
    assert ((one - other).abs().amax(dim=(1, 2, 3)) > 0.1).all()


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 3))
def test_result_is_an_image_black_outside(images: Tensor, seed: int, extreme: float) -> None:
    strength = replace(
        Strength(), gain=(0.1, 1 + extreme), cast=extreme, contrast=extreme, saturation=extreme, noise=extreme
    )
    found = augment(images, draw(CELLS, seed=seed, epoch=0), strength)
    assert found.shape == images.shape
    assert found.min() >= 0
    assert found.max() <= 1
    # The disc's radius is 11; magnified by 1.1, sheared and shifted it ends within 17 pixels of the middle.
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    assert not found[:, :, torch.from_numpy(x**2 + y**2 > 17**2)].any()


def test_light_and_noise_leave_the_outside_black(images: Tensor) -> None:
    strength = replace(Strength(), rotation=0.0, shear=0.0, shift=0.0, zoom=(1.0, 1.0), noise=0.5, blur=1.0)
    uniform = draw(CELLS, seed=0, epoch=0)
    mirrored = torch.where((uniform[:, 3] < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
    assert not augment(images, uniform, strength)[mirrored == 0].any()


def test_as_in_the_paper_cells_move_and_their_light_stays() -> None:
    colour = torch.tensor([0.8, 0.5, 0.6])
    plain = colour.view(1, 3, 1, 1).expand(CELLS, 3, SIDE, SIDE).contiguous()
    middle = (slice(None), slice(None), SIDE // 2, SIDE // 2)  # no edge comes near it
    uniform = draw(CELLS, seed=1, epoch=0)
    assert same(augment(plain, uniform, STRENGTHS["paper"])[middle], colour.expand(CELLS, 3))
    changed = (augment(plain, uniform, STRENGTHS["microscope"])[middle] - colour).abs().amax(dim=1)
    assert (changed > 0.01).all()


def test_as_in_the_paper_every_cell_is_moved(images: Tensor) -> None:
    found = augment(images, draw(CELLS, seed=1, epoch=0), STRENGTHS["paper"])
    assert ((found - images).abs().amax(dim=(1, 2, 3)) > 0.1).all()


@pytest.mark.parametrize(("amount", "specks"), [(0.2, 1), (0.5, 2), (0.9, 3)])
def test_dust_is_one_to_three_soft_grey_discs(images: Tensor, amount: float, specks: int) -> None:
    uniform = torch.rand(CELLS, COLUMNS, generator=torch.Generator().manual_seed(3))
    uniform[:, 3] = 1.0  # no flip
    uniform[:, 20], uniform[:, 21] = torch.arange(CELLS) / CELLS, amount
    found = augment(images, uniform, replace(NONE, dust=0.5))
    expected = images.double().numpy()
    for cell in range(CELLS // 2):  # the others have none
        for speck in range(specks):
            top, left, size, light = uniform[cell, 22 + 4 * speck : 26 + 4 * speck].double().tolist()
            radius, taken = SIDE * (1 / 60 + size * (1 / 18 - 1 / 60)), 0.7 - 0.3 * light
            for y in range(SIDE):
                for x in range(SIDE):
                    away = np.hypot(y - top * SIDE, x - left * SIDE)
                    expected[cell, :, y, x] *= 1 - taken / (1 + np.exp(away - radius))
    assert same(found, expected.astype(np.float32))
    assert not same(found, images, 0.05)


def test_some_cells_lose_contrast_and_others_colour(images: Tensor) -> None:
    uniform = torch.full((CELLS, COLUMNS), 0.99)
    # Of 0.4: a quarter and three quarters of the way from 0.25 to 0.85.
    uniform[0, 13], uniform[1, 13] = 0.1, 0.3
    uniform[2, 14], uniform[3, 14] = 0.0, 0.2  # no colour is left, and 0.3 of it
    uniform[4, 13:15] = 0.4  # just not: as little of both as is usual
    found = augment(images, uniform, replace(NONE, fading=0.4, contrast=0.1, saturation=0.2)).numpy()
    usual = augment(images, HIGH * 0.99, replace(NONE, contrast=0.1, saturation=0.2)).numpy()
    cell = images[0, 0].numpy() > 0

    def contrast(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(image[:, cell].std(axis=1))

    def colour(image: NDArray[np.float32]) -> float:
        return float(np.abs(image - image.mean(axis=0)).max())

    most = 1 + 0.1 * (2 * (0.99 - 0.4) / 0.6 - 1)
    assert contrast(found[0]) / contrast(found[5]) == pytest.approx([0.40 / most] * 3, rel=0.08)
    assert contrast(found[1]) / contrast(found[5]) == pytest.approx([0.70 / most] * 3, rel=0.08)
    assert colour(found[2]) == pytest.approx(0, abs=1e-6)
    assert 0.2 < colour(found[3]) / colour(usual[3]) < 0.3
    assert colour(found[4]) / colour(images[4].numpy()) == pytest.approx(0.9 * 0.8, rel=0.05)
    assert same(torch.from_numpy(found[6:]), usual[6:], 0.02)


def test_uneven_light_falls_from_one_side_to_the_other(images: Tensor) -> None:
    uniform = HIGH.clone()
    uniform[:, 34], uniform[:, 35] = torch.arange(CELLS) / 4, torch.linspace(0, 1, CELLS)
    found = augment(images, uniform, replace(NONE, uneven=0.5)).numpy()
    y, x = (axis / (SIDE - 1) for axis in np.mgrid[:SIDE, :SIDE])
    towards = (x, y, 1 - x, 1 - y)  # a quarter of a turn from each to the next
    for cell, image in enumerate(images.numpy()):
        left = 1 - 0.5 * cell / (CELLS - 1) * towards[cell % 4]
        assert same(torch.from_numpy(found[cell]), (image * left).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "changed"), [("dust", range(4)), ("fading", range(2)), ("uneven", range(1, CELLS))]
)
def test_a_harsher_microscope_changes_some_cells_and_leaves_the_rest(
    images: Tensor, name: str, changed: range
) -> None:
    """What else happens to a cell is the same with the change and without."""
    uniform = torch.full((CELLS, COLUMNS), 0.7)
    uniform[:4, 20], uniform[0, 13], uniform[1, 14], uniform[0, 35] = 0.01, 0.01, 0.01, 0.0
    plain = replace(STRENGTHS["microscope"], contrast=0.0, saturation=0.0)
    more = replace(plain, **{name: getattr(STRENGTHS["harsh"], name)})
    one, other = augment(images, uniform, more), augment(images, uniform, plain)
    assert (one != other).flatten(1).any(dim=1).nonzero()[:, 0].tolist() == list(changed)
    if name != "fading":
        assert (one <= other + 1e-6).all()  # dust and uneven light only take


def test_zero_strength_keeps_the_image(images: Tensor) -> None:
    assert same(augment(images, HIGH, NONE), images)
    assert same(augment(images, LOW, NONE), images.flip(3))


def test_rotation_by_a_right_angle(images: Tensor) -> None:
    found = augment(images, HIGH, replace(NONE, rotation=90.0))
    assert same(found, np.rot90(images.numpy(), 1, axes=(2, 3)))
    found = augment(images, HIGH, replace(NONE, rotation=180.0))
    assert same(found, images.flip(2, 3))


def test_shift_by_whole_pixels(images: Tensor) -> None:
    found = augment(images, HIGH, replace(NONE, shift=3 / SIDE))
    assert same(found, images.roll((-3, -3), dims=(2, 3)))


def test_zoom_scales_the_area(images: Tensor) -> None:
    full = (images[:, 0] > 0).sum().item()
    smaller = augment(images, HIGH, replace(NONE, zoom=(0.7, 0.7)))
    assert (smaller[:, 0] > 0.1).sum().item() / full == pytest.approx(0.49, abs=0.06)


def test_shear_moves_rows_against_each_other() -> None:
    bar = torch.zeros(1, 3, SIDE, SIDE)
    bar[:, :, :, SIDE // 2] = 1
    found = augment(bar, HIGH[:1], replace(NONE, shear=0.25))[0, 0]
    columns = found.argmax(dim=1)
    # 16 rows above and below the middle are 4 pixels off, to either side.
    assert sorted([int(columns[0]), int(columns[-1])]) == [SIDE // 2 - 4, SIDE // 2 + 4]
    assert columns[SIDE // 2] == SIDE // 2


def test_gain_and_cast_scale_the_channels(images: Tensor) -> None:
    assert same(augment(images, HIGH, replace(NONE, gain=(0.5, 0.7))), 0.7 * images)
    assert same(augment(images, LOW, replace(NONE, gain=(0.5, 0.7))), 0.5 * images.flip(3))
    assert same(augment(images, HIGH, replace(NONE, cast=0.1)), 1.1 * images)
    uniform = HIGH.clone()
    uniform[:, 12] = 0.0  # blue
    found = augment(images, uniform, replace(NONE, cast=0.1))
    assert same(found, images * torch.tensor([1.1, 1.1, 0.9]).view(1, 3, 1, 1))


def test_contrast_keeps_the_mean_colour_of_the_cell(images: Tensor) -> None:
    found = augment(images, HIGH, replace(NONE, contrast=0.2))
    for image, changed in zip(images.numpy(), found.numpy(), strict=True):
        cell = image[0] > 0
        assert changed[:, cell].mean(axis=1) == pytest.approx(image[:, cell].mean(axis=1), abs=1e-5)
        assert changed[:, cell].std(axis=1) == pytest.approx(1.2 * image[:, cell].std(axis=1), rel=1e-4)


def test_no_saturation_is_grey(images: Tensor) -> None:
    found = augment(images, LOW, replace(NONE, saturation=1.0))
    assert same(found, images.flip(3).mean(dim=1, keepdim=True).expand_as(images))


def test_blur_is_binomial_inside_the_cell(images: Tensor) -> None:
    found = augment(images, LOW, replace(NONE, blur=0.5)).numpy()
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    for image, blurred in zip(images.flip(3).numpy(), found, strict=True):
        for channel, seen in zip(image, blurred, strict=True):
            inside = (channel > 0).astype(float)
            spread, weight = (ndimage.convolve(of, kernel, mode="constant") for of in (channel, inside))
            expected = inside * spread / np.maximum(weight, 1e-9)
            assert np.allclose(seen, expected, atol=1e-5)


def test_blur_brings_no_black_into_the_cell(images: Tensor) -> None:
    plain = (images > 0) * torch.tensor([0.8, 0.5, 0.6]).view(1, 3, 1, 1)
    assert same(augment(plain, HIGH * 0.01, replace(NONE, blur=0.5)), plain.flip(3))


def test_light_is_that_of_the_simulated_microscope() -> None:
    """Where augmentation and the corruptions mean the same thing, they do the same."""
    light = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32) * np.float32(0.4) + np.float32(0.3)
    image = torch.from_numpy(light.transpose(2, 0, 1))[None]

    def like(made: Tensor, expected: NDArray[np.float32]) -> bool:
        return same(made[0].permute(1, 2, 0), expected)

    u, high = torch.full((1, COLUMNS), 0.99), HIGH[:1].clone()
    assert like(augment(image, high, replace(NONE, gain=(0.5, 0.7))), corruptions.tinted(light, (0.7,) * 3))
    u[:] = 1.0
    u[:, 13], u[:, 34] = 0.5, 0.125
    fading = replace(NONE, fading=0.6)
    left = 0.25 + 0.5 / 0.6 * (0.85 - 0.25)
    flare = corruptions.stray_light(light, 1 - left, light.mean(axis=(0, 1)))
    assert like(augment(image, u, fading), flare)
    u[:, 13], u[:, 14] = 1.0, 0.3
    assert like(augment(image, u, fading), corruptions.faded(light, 1 - 0.3))
    uneven = corruptions.uneven(light, 0.4, np.pi / 4)
    assert like(augment(image, u, replace(NONE, uneven=0.4)), uneven)
    u[:, 20:34] = torch.tensor([0.0, 0.0, *(0.4, 0.6, 0.5, 0.25), *(0.0,) * 8])
    (low, high_radius), (dark, bright) = corruptions.SPECK_RADIUS, corruptions.SPECK_SHADE
    speck = (0.4 * SIDE, 0.6 * SIDE, (low + high_radius) / 2 * SIDE, dark + 0.25 * (bright - dark))
    assert like(augment(image, u, replace(NONE, dust=0.5)), corruptions.dusty(light, [speck]))


def test_blur_takes_its_share_of_the_cells(images: Tensor) -> None:
    uniform = HIGH.clone()
    uniform[:, 16] = torch.linspace(0, 0.99, CELLS)
    found = augment(images, uniform, replace(NONE, blur=0.5))
    changed = (found - images).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.tolist() == [True] * (CELLS // 2) + [False] * (CELLS // 2)


def test_noise_has_its_standard_deviation() -> None:
    grey = torch.full((CELLS, 3, SIDE, SIDE), 0.5)
    found = augment(grey, HIGH, replace(NONE, noise=0.05)) - 0.5
    assert found.std().item() == pytest.approx(0.05, rel=0.05)
    assert found.mean().item() == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize(("share", "radius"), [(0.1, 1), (0.4, 2), (0.7, 3)])
def test_erosion_shrinks_the_mask(images: Tensor, share: float, radius: int) -> None:
    uniform = HIGH.clone()
    uniform[:, 8] = share
    found = augment(images, uniform, replace(NONE, erosion=0.9))
    square = np.ones((2 * radius + 1, 2 * radius + 1))
    mask = ndimage.binary_erosion(images[0, 0].numpy() > 0, square, border_value=1)
    assert same(found, images * torch.from_numpy(mask))
