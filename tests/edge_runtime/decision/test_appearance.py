"""The numbers of an outline, of colour and texture, against closed forms; and what they are for."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.decision.appearance import APPEARANCE, describe

SIDE = 125
Y, X = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2


def painted(mask: np.ndarray, value: int = 200) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3], one grey where the mask is."""
    return np.where(mask[..., None], np.uint8(value), np.uint8(0)).repeat(3, axis=2)


def numbers(crop: np.ndarray) -> dict[str, float]:
    return dict(zip(APPEARANCE, describe([crop])[0].tolist(), strict=True))


DISC = np.hypot(X, Y) <= 50


def test_a_disc() -> None:
    found = numbers(painted(DISC))
    assert found["fill"] == pytest.approx(math.log(math.pi * 50**2 / SIDE**2), abs=2e-3)
    assert found["irregularity"] == pytest.approx(0, abs=1e-3)
    assert found["elongation"] == pytest.approx(0, abs=1e-3)
    assert found["skewness"] == pytest.approx(0, abs=1e-6)
    assert found["contrast"] == pytest.approx(math.log(1e-3))


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_an_ellipse_is_elongated_and_nothing_else_whatever_its_direction(degrees: float) -> None:
    angle = math.radians(degrees)
    along, across = X * math.cos(angle) + Y * math.sin(angle), Y * math.cos(angle) - X * math.sin(angle)
    found = numbers(painted((along / 55) ** 2 + (across / 25) ** 2 <= 1))
    assert found["elongation"] == pytest.approx(math.log((55**2 + 25**2) / (2 * 55 * 25)), abs=5e-3)
    assert found["irregularity"] == pytest.approx(0, abs=3e-3)
    assert found["skewness"] == pytest.approx(0, abs=5e-3)


def test_half_a_disc() -> None:
    found = numbers(painted((np.hypot(X, Y) <= 50) & (Y < 0)))
    # Of a half disc of radius 1: variances 1/4 along the cut and 1/4 - (4 / 3 pi)^2 across it.
    along, across = 1 / 4, 1 / 4 - (4 / (3 * math.pi)) ** 2
    assert found["irregularity"] == pytest.approx(math.log(8 * math.sqrt(along * across)), abs=5e-3)
    assert found["elongation"] == pytest.approx(
        math.log((along + across) / (2 * math.sqrt(along * across))), abs=2e-2
    )
    assert found["skewness"] > 0.1


def test_two_discs_that_touch() -> None:
    found = numbers(painted((np.hypot(X - 30, Y) <= 30) | (np.hypot(X + 30, Y) <= 30)))
    # Variances r^2 / 4 across and r^2 / 4 + r^2 along, area 2 pi r^2.
    assert found["irregularity"] == pytest.approx(math.log(2 * math.sqrt(1.25 * 0.25)), abs=2e-2)
    assert found["elongation"] == pytest.approx(math.log(1.5 / (2 * math.sqrt(1.25 * 0.25))), abs=2e-2)
    assert found["skewness"] == pytest.approx(0, abs=1e-6)


@given(st.floats(0.3, 1.0), st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_the_lights_strength_does_not_matter(gain: float, seed: int) -> None:
    texture = np.random.default_rng(seed).integers(120, 200, (SIDE, SIDE, 3)) + np.array([50, 0, 20])
    crop = np.where(DISC[..., None], texture, 0).astype(np.uint8)
    dimmer = np.where(DISC[..., None], np.rint(crop * gain).astype(np.uint8), np.uint8(0))
    assert describe([dimmer])[0] == pytest.approx(describe([crop])[0], abs=0.02)


def test_contrast_is_the_relative_deviation_from_the_mean_of_the_cell() -> None:
    stripes = np.where(X.astype(int) % 2 == 0, 220, 180).astype(np.uint8)
    crop = np.where(DISC[..., None], stripes[..., None], np.uint8(0)).repeat(3, axis=2)
    inner = cv2.erode(DISC.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    mean = stripes[DISC].mean()
    expected = math.log(np.sqrt(np.square(stripes[inner] - mean).mean()) / mean + 1e-3)
    assert numbers(crop)["contrast"] == pytest.approx(expected)


def test_a_darker_rim_is_contrast_but_its_own_pattern_is_none() -> None:
    inner = cv2.erode(DISC.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    crop = painted(DISC, 200)
    crop[~inner & DISC] = 100
    mean = crop[..., 0][DISC].mean()
    assert numbers(crop)["contrast"] == pytest.approx(math.log((200 - mean) / mean + 1e-3))
    rim = np.argwhere(~inner & DISC)
    crop[tuple(rim[::2].T)], crop[tuple(rim[1::2].T)] = 60, 140  # as bright in the mean, mixed with black
    assert numbers(crop)["contrast"] == pytest.approx(math.log((200 - mean) / mean + 1e-3), abs=0.02)


@pytest.mark.parametrize(
    "crop",
    [
        pytest.param(np.zeros((SIDE, SIDE, 3), np.uint8), id="black"),
        pytest.param(painted((X == 0) & (Y == 0)), id="one pixel"),
        pytest.param(painted(X == 0), id="a line"),
        pytest.param(painted(np.ones((SIDE, SIDE), bool), 255), id="all white"),
    ],
)
def test_numbers_are_finite_whatever_the_crop(crop: np.ndarray) -> None:
    assert np.isfinite(describe([crop])).all()


def test_no_crops() -> None:
    assert describe([]).shape == (0, 7)
    assert describe(np.zeros((0, SIDE, SIDE, 3), np.uint8)).dtype == np.float64


def test_colour_and_texture_of_stripes() -> None:
    """Two colours in turn, a pixel wide each: every deviation has a closed form."""
    one, other = np.array([220, 150, 170]), np.array([180, 130, 160])
    crop = np.where(DISC[..., None], np.where((X.astype(int) % 2 == 0)[..., None], one, other), 0)
    inner = cv2.erode(DISC.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    share = (X.astype(int) % 2 == 0)[inner].mean()  # of the first colour; nearly a half
    spread = math.sqrt(share * (1 - share))

    def between(values: tuple[int, int]) -> tuple[float, float]:
        return share * values[0] + (1 - share) * values[1], abs(values[0] - values[1]) * spread

    (light, deviation), (red, red_spread), (blue, blue_spread) = map(
        between, ((540, 470), (70, 50), (20, 30))
    )
    found = numbers(crop.astype(np.uint8))
    hue, mixed = math.hypot(red, blue), math.hypot(red_spread, blue_spread)
    assert found["colour"] == pytest.approx(math.log(hue / light + 1e-3) + math.log(mixed / light + 1e-3))
    # The Laplacian of stripes is twice the difference to either neighbour, up and down in turn.
    fine = 2 * 2 * 70 * spread
    expected = math.log(deviation / light + 1e-3) + math.log(fine / light + 1e-3)
    assert found["texture"] == pytest.approx(expected)
