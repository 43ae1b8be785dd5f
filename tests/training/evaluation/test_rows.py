"""Rows: figures that no score can have are refused, and intervals count patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import CheckFailedError
from training.evaluation import rows
from training.evaluation.metrics import separation
from training.evaluation.rows import ROUNDING, auroc_interval, check_possible, measure

# TNR, AUROC and detection accuracy as the paper's Table 1 prints them.
IMPOSSIBLE = {
    "VGG-19 LID FGSM": (99.96, 97.30, 99.41, "AUROC must be at least 0.9882"),
    "VGG-19 LID BIM": (96.87, 96.68, 90.46, "accuracy must be at least 0.9593"),
    "VGG-19 LID DeepFool": (74.48, 78.01, 46.05, "below one half"),
    "VGG-19 LID CW": (75.93, 89.64, 72.96, "accuracy must be at least 0.8547"),
    "VGG-19 Mahalanobis BIM": (100, 99.68, 99.99, "AUROC must be at least 0.9998"),
    "VGG-19 Mahalanobis DeepFool": (75.96, 83.56, 61.95, "accuracy must be at least 0.8548"),
    "ResNet-18 LID DeepFool": (63.59, 78.01, 49.56, "below one half"),
    "ResNet-18 Mahalanobis BIM": (97.98, 99.68, 99.95, "accuracy can be at most 0.9899"),
    "ResNet-18 Mahalanobis DeepFool": (76.22, 83.56, 64.95, "accuracy must be at least 0.8561"),
}
POSSIBLE = {
    "ResNet-18 Mahalanobis FGSM": (99.99, 99.98, 99.75),
    "ResNet-18 Mahalanobis CW": (98.90, 99.35, 98.05),
}


PLATELETS = {"images": "platelets", "group": "ood", "detector": "margin", "mode": "-"}


def figures(tnr: float, auroc: float, accuracy: float) -> dict[str, float]:
    return {"tnr": tnr / 100, "auroc": auroc / 100, "detection_accuracy": accuracy / 100}


@pytest.mark.parametrize("cell", IMPOSSIBLE)
def test_impossible_cells_of_the_papers_table_are_refused(cell: str) -> None:
    *printed, bound = IMPOSSIBLE[cell]
    with pytest.raises(CheckFailedError, match=f"{cell}: TNR .*{bound}"):
        check_possible(cell, figures(*printed), ROUNDING)


@pytest.mark.parametrize("cell", POSSIBLE)
def test_possible_cells_pass(cell: str) -> None:
    check_possible(cell, figures(*POSSIBLE[cell]), ROUNDING)


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
)
def test_no_true_figures_are_refused(inside: list[int], outside: list[int]) -> None:
    check_possible("any", separation(np.array(inside, float), np.array(outside, float)))


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(CheckFailedError, match="between 0 and 1"):
        check_possible("any", {"tnr": 0.5, "auroc": 99.0, "detection_accuracy": 0.8})
    with pytest.raises(CheckFailedError, match="between 0 and 1"):
        check_possible("any", {"tnr": float("nan"), "auroc": 0.9, "detection_accuracy": 0.8})


def two_sides(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(1, 1, 400), rng.normal(0, 1, 200)


def alone(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    inside, outside = two_sides()
    rng = np.random.default_rng(1)
    drawn = [
        separation(rng.choice(inside, len(inside)), rng.choice(outside, len(outside))).auroc
        for _ in range(1000)
    ]
    found = auroc_interval((inside, outside), (alone(400), alone(200)))
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.006)


def test_cells_of_few_patients_tell_less() -> None:
    inside, outside = two_sides()
    of_patients = np.repeat(np.arange(8), 50).astype(str)
    # Cells of one patient resemble each other, so eight patients are no 400 cells.
    inside = inside + np.repeat(np.linspace(-1, 1, 8), 50)
    narrow = auroc_interval((inside, outside), (alone(400), alone(200)))
    wide = auroc_interval((inside, outside), (of_patients, alone(200)))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_ties_count_half_in_the_interval() -> None:
    same = np.zeros(10)
    assert auroc_interval((same, same), (alone(10), alone(10))) == (0.5, 0.5)


def test_a_row_counts_what_the_threshold_does() -> None:
    row = measure(
        (np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 2.0])),
        (alone(4), alone(2)),
        2.0,
        **PLATELETS,
    )
    assert (row.inside, row.outside, row.prevalence) == (4, 2, 4 / 6)
    assert (row.kept, row.refused) == (0.75, 0.5)
    assert row.title == "margin"
    assert row.as_json()["prevalence"] == 4 / 6


def test_a_row_with_impossible_figures_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = two_sides()
    wrong = separation(inside, outside)
    object.__setattr__(wrong, "auroc", 0.3)
    monkeypatch.setattr(rows, "separation", lambda *_: wrong)
    with pytest.raises(CheckFailedError, match=r"margin on platelets: .*AUROC must be at least"):
        measure(
            (inside, outside),
            (alone(400), alone(200)),
            0.0,
            **PLATELETS,
        )
