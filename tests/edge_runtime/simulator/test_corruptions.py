"""Corruptions of crops: what they do, and what they must not. Effects against other computations."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.decision.appearance import APPEARANCE, describe
from edge_runtime.simulator import simulate_field
from edge_runtime.simulator.corruptions import (
    CORRUPTIONS,
    FADED_COLOUR,
    FADED_CONTRAST,
    SEVERITIES,
    corrupt,
    corrupt_by,
    defocus,
    dusty,
    illumination,
    moved,
    sensor_noise,
    stray_light,
    uneven,
)

SIZE = 125


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    frame = simulate_field(5, 0, width=640, height=480, cells=12).frame
    return np.stack([cell.resized for cell in cut_cells(frame, SIZE)[0]][:6])


def inside(crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return crops.any(axis=3)


def cost(crops: NDArray[np.uint8], corrupted: NDArray[np.uint8]) -> float:
    """Mean change of a cell's pixels, in grey levels."""
    return float(np.abs(corrupted.astype(float) - crops)[inside(crops)].mean())


def plain(level: float = 0.5, side: int = 61) -> NDArray[np.float32]:
    return np.full((side, side, 3), level, np.float32)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_keeps_black_and_nothing_else_and_grows(name: str, crops: NDArray[np.uint8]) -> None:
    corrupted = [corrupt(crops, name, severity) for severity in SEVERITIES]
    for made in corrupted:
        assert (made.shape, made.dtype) == (crops.shape, np.uint8)
        np.testing.assert_array_equal(inside(made), inside(crops))
    costs = [cost(crops, made) for made in corrupted]
    assert costs[0] > 0.1
    assert all(more > less for less, more in pairwise(costs)), costs


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_the_same_every_time_and_depends_on_the_crops_number(
    name: str, crops: NDArray[np.uint8]
) -> None:
    made = corrupt(crops, name, 3, seed=4)
    np.testing.assert_array_equal(corrupt(crops, name, 3, seed=4), made)
    np.testing.assert_array_equal(corrupt(crops[:2], name, 3, seed=4), made[:2])


@pytest.mark.parametrize("name", ["uneven light", "motion", "sensor noise", "dust"])
def test_chance_differs_by_seed_and_by_crop(name: str, crops: NDArray[np.uint8]) -> None:
    twice = np.stack([crops[0], crops[0]])
    first, second = corrupt(twice, name, 3)
    assert (first != second).any()
    assert (corrupt(twice, name, 3, seed=1)[0] != first).any()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_crop_without_a_cell_stays_black(name: str) -> None:
    assert not corrupt(np.zeros((1, 40, 40, 3), np.uint8), name, 5).any()


def test_severities_are_strengths(crops: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(corrupt(crops, "cool cast", 2), corrupt_by(crops, "cool cast", 0.12))
    assert CORRUPTIONS["defocus"].strengths[-1] == 16  # pixels, where parasites vanish


@pytest.mark.parametrize(
    ("name", "strength", "factors"),
    [
        ("dimmer light", 0.3, (0.7, 0.7, 0.7)),
        ("warm cast", 0.2, (1, 1 - 0.2 / 3, 0.8)),
        ("cool cast", 0.15, (0.85, 0.95, 1)),
    ],
)
def test_light_is_changed_by_the_stated_factor(
    name: str, strength: float, factors: tuple[float, ...], crops: NDArray[np.uint8]
) -> None:
    cell = (crops > 0).all(axis=3)
    ratios = np.median(corrupt_by(crops, name, strength)[cell] / crops[cell], axis=0)
    assert ratios == pytest.approx(factors, abs=0.01)


@pytest.mark.parametrize("name", ["defocus", "motion"])
def test_black_does_not_creep_into_a_cell(name: str, crops: NDArray[np.uint8]) -> None:
    """A cell out of focus on a real slide is blurred into its bright surroundings."""
    border = inside(crops) & ~np.stack([np.roll(inside(crops), step, 1) for step in (-2, 2)]).all(axis=0)
    for severity in SEVERITIES:
        assert corrupt(crops, name, severity)[border].mean() > 0.99 * crops[border].mean()


def test_what_a_cell_holds_vanishes_at_the_greatest_defocus(crops: NDArray[np.uint8]) -> None:
    cell = np.stack([cv2.erode(mask.astype(np.uint8), np.ones((25, 25))) > 0 for mask in inside(crops)])
    spread = [
        np.mean([one[of].std() for one, of in zip(corrupt(crops, "defocus", severity), cell, strict=True)])
        for severity in SEVERITIES
    ]
    assert all(less < more for more, less in pairwise(spread))


@pytest.mark.parametrize(("name", "number"), [("lost saturation", "colour"), ("lost contrast", "texture")])
def test_fading_shows_in_colour_and_texture(name: str, number: str, crops: NDArray[np.uint8]) -> None:
    at = APPEARANCE.index(number)
    faded = [describe(corrupt(crops, name, severity))[:, at] for severity in (1, 3, 5)]
    for vivid, fainter in pairwise([describe(crops)[:, at], *faded]):
        assert (fainter < vivid).all()
    assert (faded[-1] < faded[0] - 0.5).all()


@pytest.mark.parametrize(
    ("name", "left"), [("lost contrast", FADED_CONTRAST), ("lost saturation", FADED_COLOUR)]
)
def test_training_sees_what_the_harshest_fading_leaves(name: str, left: tuple[float, float]) -> None:
    assert left[0] <= 1 - CORRUPTIONS[name].strengths[-1] < left[1]


@pytest.mark.parametrize("radius", [1, 2.5, 16])
def test_the_image_of_a_point_is_a_disc(radius: float) -> None:
    point = plain(0)
    point[30, 30] = 1
    seen = defocus(point, radius)[..., 0]
    away = np.hypot(*(np.mgrid[:61, :61] - 30))
    assert seen.sum() == pytest.approx(1, abs=1e-4)
    assert np.abs(seen[away > radius + 1]).max() < 1e-6
    assert seen[away < radius - 1] == pytest.approx(seen[30, 30], rel=1e-3)
    assert seen[30, 30] == pytest.approx(1 / (np.pi * radius**2), rel=0.35 if radius < 2 else 0.1)


def test_motion_draws_a_point_along_its_direction() -> None:
    point = plain(0)
    point[30, 30] = 1
    rows, columns = np.nonzero(moved(point, 6, np.pi / 2)[..., 0] > 1e-4)
    assert (set(columns), rows.min(), rows.max()) == ({30}, 24, 36)


def test_sensor_noise_has_the_variance_of_shot_and_read_noise() -> None:
    normal = np.random.default_rng(0).standard_normal((300, 300, 3)).astype(np.float32)
    for level, white in ((0.0, 1.0), (0.4, 1.0), (102.0, 255.0)):
        light = np.full(normal.shape, level, np.float32)
        found = (sensor_noise(light, normal, shot=0.03 * white, read=0.02 * white, white=white) - light).std()
        assert found == pytest.approx(white * np.hypot(0.03 * (level / white) ** 0.5, 0.02), rel=0.01)


def test_uneven_light_falls_from_one_side_to_the_other() -> None:
    seen = uneven(plain(1), 0.4, np.pi)[..., 0]
    assert seen[:, -1] == pytest.approx(1)
    assert seen[:, 0] == pytest.approx(0.6)
    assert seen[30, 30] == pytest.approx(0.8)
    corner = illumination(61, 61, (0.0, 0.0), vignetting=0.3)
    assert (corner[30, 30], corner[0, 0]) == (1, pytest.approx(0.7))


def test_stray_light_keeps_what_is_of_its_colour() -> None:
    light = np.random.default_rng(0).random((8, 8, 3), np.float32)
    glow = np.array([0.5, 0.6, 0.7], np.float32)
    seen = stray_light(light, 0.25, glow)
    np.testing.assert_allclose(seen - glow, 0.75 * (light - glow), atol=1e-6)


def test_specks_take_light_where_they_are() -> None:
    seen = dusty(plain(0.8), [(20, 30, 4.0, 0.5), (50, 50, 6.0, 0.3)])[..., 0]
    assert seen[20, 30] == pytest.approx(0.4, rel=0.02)
    assert seen[50, 50] == pytest.approx(0.24, rel=0.02)
    assert seen[20, 34] == pytest.approx(0.6, rel=0.01)  # its rim
    assert seen[5, 5] == pytest.approx(0.8, rel=1e-3)
