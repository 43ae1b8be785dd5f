"""Changes by a microscope and failures of a segmentation: what they do to a crop, and what they must not."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.decision.appearance import APPEARANCE, describe
from training.cells.simulated import Simulation, cells
from training.evaluation.changes import CHANGES, SEVERITIES, change_all
from training.evaluation.failures import FAILURES

SIZE = 125


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    from edge_runtime.sources.decoding import decode_image  # noqa: PLC0415

    files = list(cells(Simulation(slides=1, fields=1, seed=5)))[:6]
    return np.stack([resize_crop(decode_image(f.read(), f.name), SIZE) for f in files])


def inside(crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return crops.any(axis=3)


def cost(crops: NDArray[np.uint8], changed: NDArray[np.uint8]) -> float:
    """Mean change of a cell's pixels, in grey levels."""
    return float(np.abs(changed.astype(float) - crops)[inside(crops)].mean())


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_keeps_the_mask_and_grows(name: str, crops: NDArray[np.uint8]) -> None:
    changed = [change_all(crops, name, severity) for severity in SEVERITIES]
    for made in changed:
        assert (made.shape, made.dtype) == (crops.shape, np.uint8)
        np.testing.assert_array_equal(inside(made), inside(crops))
    costs = [cost(crops, made) for made in changed]
    assert costs[0] > 0.1
    assert all(more > less for less, more in pairwise(costs)), costs


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_the_same_every_time(name: str, crops: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(change_all(crops, name, 3, seed=4), change_all(crops, name, 3, seed=4))


def test_light_is_changed_by_the_stated_factor(crops: NDArray[np.uint8]) -> None:
    cell = (crops > 0).all(axis=3)
    dim = change_all(crops, "dimmer light", 3)[cell] / crops[cell]
    assert np.median(dim) == pytest.approx(0.7, abs=0.01)
    red, _, blue = np.median(change_all(crops, "warm cast", 3)[cell] / crops[cell], axis=0)
    assert (red, blue) == (pytest.approx(1.0), pytest.approx(0.8, abs=0.01))


def test_black_does_not_creep_into_a_cell(crops: NDArray[np.uint8]) -> None:
    """A defocused cell on a real slide is blurred into its bright surroundings."""
    border = inside(crops) & ~np.stack([np.roll(inside(crops), step, 1) for step in (-2, 2)]).all(axis=0)
    assert change_all(crops, "defocus", 4)[border].mean() > 0.9 * crops[border].mean()


@pytest.mark.parametrize("name", FAILURES)
def test_every_failure_gives_as_many_inputs_that_differ(name: str, crops: NDArray[np.uint8]) -> None:
    made = FAILURES[name](crops)
    assert (made.shape, made.dtype) == (crops.shape, np.uint8)
    assert all(cost(crop[None], failed[None]) > 2 for crop, failed in zip(crops, made, strict=True))


def test_half_a_cell_fills_the_input_again(crops: NDArray[np.uint8]) -> None:
    for made in FAILURES["half a cell"](crops):
        rows, columns = np.nonzero(made.any(axis=2))
        assert np.ptp(rows) >= SIZE - 3
        assert np.ptp(columns) < 0.65 * SIZE


def test_two_cells_lie_side_by_side(crops: NDArray[np.uint8]) -> None:
    for made in FAILURES["two cells"](crops):
        rows, columns = np.nonzero(made.any(axis=2))
        assert np.ptp(columns) >= SIZE - 3
        assert np.ptp(rows) < 0.7 * SIZE


def test_no_cell_keeps_the_outline_only(crops: NDArray[np.uint8]) -> None:
    made = FAILURES["no cell"](crops)
    np.testing.assert_array_equal(inside(made), inside(crops))
    for crop, empty in zip(crops, made, strict=True):
        assert empty[empty.any(axis=2)].std(axis=0).mean() < 0.5 * crop[crop.any(axis=2)].std(axis=0).mean()
        assert empty[empty.any(axis=2)].mean() > crop[crop.any(axis=2)].mean()


def test_wrong_scales(crops: NDArray[np.uint8]) -> None:
    small, large = FAILURES["half the scale"](crops), FAILURES["twice the scale"](crops)
    assert inside(small).mean() == pytest.approx(inside(crops).mean() / 4, rel=0.1)
    np.testing.assert_allclose(
        large[:, ::2, ::2][:, 5:-5, 5:-5].astype(float),
        crops[:, SIZE // 4 :, SIZE // 4 :][:, : (SIZE + 1) // 2, : (SIZE + 1) // 2][:, 5:-5, 5:-5],
        atol=40,
    )


@pytest.mark.parametrize(("name", "number"), [("lost saturation", "colour"), ("lost contrast", "texture")])
def test_fading_shows_in_colour_and_texture(name: str, number: str, crops: NDArray[np.uint8]) -> None:
    at = APPEARANCE.index(number)
    faded = [describe(change_all(crops, name, severity))[:, at] for severity in (1, 3, 5)]
    for vivid, fainter in pairwise([describe(crops)[:, at], *faded]):
        assert (fainter < vivid).all()
    assert (faded[-1] < faded[0] - 0.5).all()
