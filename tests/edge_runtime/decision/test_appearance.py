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
    clouds = np.random.default_rng(seed).uniform(120, 200, (13, 13, 3)) + np.array([50, 0, 20])
    texture = np.rint(cv2.resize(clouds, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))
    crop = np.where(DISC[..., None], texture, 0).astype(np.uint8)
    dimmer = np.where(DISC[..., None], np.rint(crop * gain).astype(np.uint8), np.uint8(0))
    assert describe([dimmer])[0] == pytest.approx(describe([crop])[0], abs=0.05)


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


def wave(length: float, amplitude: float, mean: tuple[float, float, float] = (200, 140, 165)) -> np.ndarray:
    """A disc whose red brightens and fades along X: float64 [SIDE, SIDE, 3], black around it."""
    red = np.cos(2 * math.pi * X / length)[..., None] * np.array([amplitude, 0, 0])
    return np.where(DISC[..., None], np.array(mean) + red, 0.0)


def in_eight_bit(light: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def test_colour_and_texture_of_a_wave() -> None:
    """Means over 7 and 21 pixels leave a known share of a wave."""
    length, amplitude = 42.0, 30.0

    def left(side: int) -> float:
        return math.sin(math.pi * side / length) / (side * math.sin(math.pi / length))

    found = numbers(in_eight_bit(wave(length, amplitude)))
    light = 200 + 140 + 165
    # Half of all |cos| lie below cos(pi / 4), and their mean is that of |sin| from 0 to pi / 4.
    pattern = amplitude * (left(7) - left(21)) * (1 - math.cos(math.pi / 4)) / (math.pi / 4) / light
    assert found["texture"] == pytest.approx(math.log(pattern), abs=0.15)
    hue, spread = math.hypot(60, 25) / light, amplitude * left(7) / math.sqrt(2) / light
    assert found["colour"] == pytest.approx(math.log(hue + 10 * spread), abs=0.15)


@pytest.mark.parametrize("deviation", [2, 4, 8])
def test_a_sensors_noise_is_no_stain(deviation: float) -> None:
    light = wave(40.0, 8.0)
    noise = np.random.default_rng(0).normal(0, deviation, light.shape) * DISC[..., None]
    clean, noisy = numbers(in_eight_bit(light)), numbers(in_eight_bit(light + noise))
    for name in ("colour", "texture"):
        assert noisy[name] == pytest.approx(clean[name], abs=0.25), name
    plain = numbers(in_eight_bit(wave(40.0, 0.0) + noise))
    assert plain["texture"] < clean["texture"] - 1


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_fewer_pixels_are_no_fainter_stain(scale: float) -> None:
    light = wave(40.0, 8.0).astype(np.float32)
    small = cv2.resize(light, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    coarse = np.where(DISC[..., None], cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), 0)
    fine, found = numbers(in_eight_bit(light)), numbers(in_eight_bit(coarse))
    for name in ("colour", "texture"):
        assert found[name] == pytest.approx(fine[name], abs=0.25), name


@pytest.mark.parametrize("quality", [90, 75, 60])
def test_jpeg_is_no_fainter_stain(quality: int) -> None:
    light = wave(40.0, 8.0) + np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 3))
    frame = np.where(DISC[..., None], light, (230, 220, 225))
    encoded = cv2.imencode(".jpg", in_eight_bit(frame)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]
    before, after = (
        numbers(np.where(DISC[..., None], in_eight_bit(frame), 0).astype(np.uint8)),
        numbers(np.where(DISC[..., None], decoded, 0).astype(np.uint8)),
    )
    for name in ("colour", "texture"):
        assert after[name] == pytest.approx(before[name], abs=0.3), name


def test_one_parasite_is_no_texture_of_the_cell() -> None:
    plain = in_eight_bit(wave(40.0, 3.0))
    spotted = plain.copy()
    spotted[np.hypot(X - 15, Y) < 8] = (120, 70, 140)
    assert numbers(spotted)["texture"] == pytest.approx(numbers(plain)["texture"], abs=0.4)
    assert numbers(spotted)["contrast"] > numbers(plain)["contrast"] + 1
