"""Sizes of crops against the others of their photograph."""

import numpy as np
import pytest

from training.cells.sizes import FEWEST, relative_sizes


def test_a_size_is_the_diameter_over_the_median_of_the_photograph() -> None:
    photographs = [f"{folder}/P1_IMG_{photo}" for folder in "ab" for photo in (1, 2)]
    names = [f"{photograph}_cell_{cell}.png" for photograph in photographs for cell in range(9)]
    areas = np.array([100] * 8 + [25] + [400] * 9 + [100] * 9 + [1600] + [400] * 8)
    found = relative_sizes(names, areas)
    assert found[8] == 0.5
    assert found[27] == 2.0
    assert np.delete(found, [8, 27]).tolist() == [1.0] * 34


@pytest.mark.parametrize("names", ["P1_IMG_1_cell_{}.png", "photo/{}.png", "_cell_{}.png"])
def test_without_enough_crops_of_one_photograph_no_size_is_known(names: str) -> None:
    count = FEWEST - 1 if names.startswith("P1") else 3 * FEWEST
    found = relative_sizes([names.format(number) for number in range(count)], np.full(count, 50))
    assert np.isnan(found).all()
    assert relative_sizes([], np.zeros(0, np.int64)).shape == (0,)
