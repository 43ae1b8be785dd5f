"""What the device printed is taken at its word only where its reasons follow from its numbers."""

import pytest

from edge_runtime.decision.appearance import APPEARANCE
from edge_runtime.errors import CheckFailedError
from scripts.compare_scores import _as_decisions

CLASSES = ("uninfected", "parasitized")


def row(reason: str, **numbers: float) -> dict[str, object]:
    own = {"score": 0.0, "margin": 2.0, "stability": -0.25, "wholeness": 0.5} | numbers
    return {
        "path": "cell.png",
        "label": "parasitized",
        "probabilities": {"uninfected": 0.1, "parasitized": 0.9},
        "confidences": {"stem": -1.0},
        "threshold": -1.0,
        "least_margin": 1.0,
        "least_stability": -0.5,
        "appearance": dict.fromkeys(APPEARANCE, 0.0),
        "least_colour": -1.0,
        "least_texture": -1.0,
        "reason": reason,
        **own,
    }


def test_reasons_that_follow_are_read_with_every_test_behind_them() -> None:
    rows = [
        row(""),
        row("ambiguous", margin=0.5),
        row("unstable", stability=-0.75, margin=0.5),
        row("far-from-training", score=-2.0, margin=0.5, stability=-0.75),
        row("not-one-cell", score=-2.0, wholeness=-0.1),
        row("faint", score=-2.0, least_texture=0.1),
    ]
    found = _as_decisions(rows, CLASSES)
    assert found.rejected.tolist() == [False, True, True, True, True, True]
    assert found.far.tolist() == [False, False, False, True, True, True]
    assert found.unstable.tolist() == [False, False, True, True, False, False]
    assert found.ambiguous.tolist() == [False, True, True, True, False, False]
    assert found.stability.tolist() == [-0.25, -0.25, -0.75, -0.75, -0.25, -0.25]


@pytest.mark.parametrize("reason", ["", "ambiguous", "unstable", "not-one-cell", "faint"])
def test_a_reason_that_does_not_follow_is_refused(reason: str) -> None:
    with pytest.raises(CheckFailedError, match=f"cell.png: '{reason}' does not follow from its numbers"):
        _as_decisions([row(""), row(reason, score=-2.0)], CLASSES)


@pytest.mark.parametrize(
    ("reason", "numbers"),
    [
        ("unstable", {}),
        ("unstable", {"margin": 0.5}),
        ("ambiguous", {"margin": 0.5, "stability": -0.75}),
        ("", {"stability": -0.75}),
        ("", {"stability": float("nan")}),
    ],
)
def test_stability_has_its_rank_among_the_reasons(reason: str, numbers: dict[str, float]) -> None:
    with pytest.raises(CheckFailedError, match=f"cell.png: '{reason}' does not follow from its numbers"):
        _as_decisions([row(reason, **numbers)], CLASSES)
