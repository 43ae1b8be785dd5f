"""Errors of a segmentation: what they hand on, and that it does not look like a whole cell."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.limits import outline_range
from edge_runtime.decision.values import within
from edge_runtime.simulator import simulate_field
from training.cells.simulated import Simulation, cells
from training.evaluation.segmentation_errors import SEGMENTATION_ERRORS

SIZE = 125


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    from edge_runtime.sources.decoding import decode_image  # noqa: PLC0415

    files = list(cells(Simulation(slides=1, fields=1, seed=5)))[:6]
    return np.stack([resize_crop(decode_image(f.read(), f.name), SIZE) for f in files])


def inside(crops: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return crops.any(axis=3)


def cost(crops: NDArray[np.uint8], made: NDArray[np.uint8]) -> float:
    """Mean change of a cell's pixels, in grey levels."""
    return float(np.abs(made.astype(float) - crops)[inside(crops)].mean())


@pytest.mark.parametrize("name", SEGMENTATION_ERRORS)
def test_every_error_gives_as_many_inputs_that_differ(name: str, crops: NDArray[np.uint8]) -> None:
    made = SEGMENTATION_ERRORS[name](crops)
    assert (made.shape, made.dtype) == (crops.shape, np.uint8)
    assert all(cost(crop[None], wrong[None]) > 2 for crop, wrong in zip(crops, made, strict=True))


def test_half_a_cell_fills_the_input_again(crops: NDArray[np.uint8]) -> None:
    for made in SEGMENTATION_ERRORS["half a cell"](crops):
        rows, columns = np.nonzero(made.any(axis=2))
        assert np.ptp(rows) >= SIZE - 3
        assert np.ptp(columns) < 0.65 * SIZE


def test_two_cells_lie_side_by_side(crops: NDArray[np.uint8]) -> None:
    for made in SEGMENTATION_ERRORS["two cells"](crops):
        rows, columns = np.nonzero(made.any(axis=2))
        assert np.ptp(columns) >= SIZE - 3
        assert np.ptp(rows) < 0.7 * SIZE


def test_no_cell_keeps_the_outline_only(crops: NDArray[np.uint8]) -> None:
    made = SEGMENTATION_ERRORS["no cell"](crops)
    np.testing.assert_array_equal(inside(made), inside(crops))
    for crop, empty in zip(crops, made, strict=True):
        assert empty[empty.any(axis=2)].std(axis=0).mean() < 0.5 * crop[crop.any(axis=2)].std(axis=0).mean()
        assert empty[empty.any(axis=2)].mean() > crop[crop.any(axis=2)].mean()


def test_wrong_scales(crops: NDArray[np.uint8]) -> None:
    small, large = SEGMENTATION_ERRORS["half the scale"](crops), SEGMENTATION_ERRORS["twice the scale"](crops)
    assert inside(small).mean() == pytest.approx(inside(crops).mean() / 4, rel=0.1)
    np.testing.assert_allclose(
        large[:, ::2, ::2][:, 5:-5, 5:-5].astype(float),
        crops[:, SIZE // 4 :, SIZE // 4 :][:, : (SIZE + 1) // 2, : (SIZE + 1) // 2][:, 5:-5, 5:-5],
        atol=40,
    )


def test_segmentation_errors_are_outside_the_range_of_whole_cells() -> None:
    fields = [simulate_field(3, index, width=1000, height=800, cells=60) for index in range(4)]
    cells = np.stack([cell.resized for field in fields for cell in cut_cells(field.frame, 125)[0]])
    low, high = map(np.array, outline_range(describe(cells[::2])))
    new = cells[1::2]
    limit = float(np.quantile(within(describe(new), low, high), 0.05))
    for name, error in SEGMENTATION_ERRORS.items():
        assert (within(describe(error(new)), low, high) < limit).mean() > 0.7, name
