"""Splits of the cells: shares, patients, hashes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.cells import splits
from training.cells.splits import Split, SplitBy, calibration_halves, split_cells

CELLS = 3000
LABELS = np.random.default_rng(0).integers(0, 2, CELLS)
PATIENTS = [f"C{n}P{n}" for n in np.random.default_rng(1).integers(0, 60, CELLS)]
NAMES = [f"cell {n}" for n in range(CELLS)]


def split(by: SplitBy, seed: int = 0) -> Split:
    return split_cells(NAMES, LABELS, PATIENTS, by=by, seed=seed)


def parts_of(found: Split) -> list[np.ndarray]:
    return [found.train, found.validation, found.test]


def test_by_image_every_class_is_split_60_10_30() -> None:
    found = split("image")
    for label in (0, 1):
        whole = (label == LABELS).sum()
        shares = [(LABELS[part] == label).sum() / whole for part in parts_of(found)]
        assert shares == pytest.approx([0.6, 0.1, 0.3], abs=1 / whole)


def test_by_patient_every_class_is_split_about_60_10_30() -> None:
    found = split("patient")
    for label in (0, 1):
        whole = (label == LABELS).sum()
        shares = [(LABELS[part] == label).sum() / whole for part in parts_of(found)]
        assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.02)


def test_by_image_patients_stand_on_all_sides() -> None:
    sides = [{PATIENTS[i] for i in part} for part in parts_of(split("image"))]
    assert len(sides[0] & sides[1] & sides[2]) > 50


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=1, max_size=80),
    st.integers(0, 9),
    st.sampled_from(["image", "patient"]),
)
def test_every_cell_once_and_no_patient_on_two_sides(
    cells: list[tuple[int, int]], seed: int, by: SplitBy
) -> None:
    labels = np.array([label for label, _ in cells])
    patients = [f"P{patient}" for _, patient in cells]
    names = [f"{number}" for number in range(len(cells))]
    found = split_cells(names, labels, patients, by=by, seed=seed)
    assert sorted(np.concatenate(parts_of(found)).tolist()) == list(range(len(cells)))
    for part in parts_of(found):
        assert part.tolist() == sorted(part.tolist())
    if by == "patient":
        sides = [{patients[i] for i in part} for part in parts_of(found)]
        assert len(set.union(*sides)) == sum(map(len, sides))


@pytest.mark.parametrize("by", ["image", "patient"])
def test_the_seed_decides(by: SplitBy) -> None:
    assert split(by).digest == split(by).digest
    assert len({split(by, seed).digest for seed in range(5)}) == 5


def test_order_of_the_cells_does_not_matter_by_patient() -> None:
    order = np.random.default_rng(2).permutation(CELLS)
    shuffled = split_cells(
        [NAMES[i] for i in order], LABELS[order], [PATIENTS[i] for i in order], by="patient", seed=0
    )
    assert shuffled.digest == split("patient").digest
    assert sorted(order[shuffled.test].tolist()) == split("patient").test.tolist()


@pytest.mark.parametrize("by", ["image", "patient"])
def test_digest_knows_the_cells(by: SplitBy) -> None:
    renamed = split_cells([*NAMES[:-1], "another"], LABELS, PATIENTS, by=by, seed=0)
    assert np.array_equal(renamed.train, split(by).train)
    assert renamed.digest != split(by).digest


def test_digest_knows_which_part_a_cell_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for parts in ([0, 0], [0, 1], [1, 0], [1, 1], [2, 2]):
        monkeypatch.setattr(splits, "_part_by_image", lambda *_, parts=parts: np.array(parts))
        digests.add(split_cells(["a", "b"], np.zeros(2, int), ["p", "q"], by="image", seed=0).digest)
    assert len(digests) == 5


@given(st.lists(st.integers(0, 1), min_size=2, max_size=60), st.integers(0, 9))
def test_halves_are_disjoint_and_balanced(labels: list[int], seed: int) -> None:
    all_labels = np.array([0, 1, *labels])
    validation = np.arange(2, len(all_labels))
    first, second = calibration_halves(validation, all_labels, seed=seed)
    assert sorted([*first.tolist(), *second.tolist()]) == validation.tolist()
    for label in (0, 1):
        sizes = [(all_labels[half] == label).sum() for half in (first, second)]
        assert sizes[1] - sizes[0] in (0, 1)


def test_halves_depend_on_the_seed() -> None:
    validation = split("image").validation
    halves = [calibration_halves(validation, LABELS, seed=seed)[0].tolist() for seed in (0, 0, 1)]
    assert halves[0] == halves[1]
    assert halves[0] != halves[2]
