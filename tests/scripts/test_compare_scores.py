"""What the device printed is taken at its word only where its reasons follow from its numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from detectors import evidence

from edge_runtime.decision import table
from edge_runtime.decision.appearance import APPEARANCE
from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.detector import Detector
from edge_runtime.errors import CheckFailedError
from scripts import compare_scores
from scripts.compare_scores import _as_decisions
from training.cells.listing import Listing

CLASSES = ("uninfected", "parasitized")
VALUES = {
    "wholeness": 0.5,
    "colour": 0.0,
    "texture": 0.0,
    "confidence": 0.0,
    "stability": -0.25,
    "margin": 2.0,
    "certainty": 2.0,
}
LIMITS = {
    "wholeness": 0.0,
    "colour": -1.0,
    "texture": -1.0,
    "confidence": -1.0,
    "stability": -0.5,
    "margin": 1.0,
    "certainty": 0.0,
    "small": 0.5,
    "large": 1.5,
}


def row(*reasons: str, **values: float) -> dict[str, Any]:
    """A cell that passes every test but for the values that are given."""
    return {
        "path": "cell.png",
        "label": "parasitized",
        "probabilities": {"uninfected": 0.1, "parasitized": 0.9},
        "confidences": {"stem": -1.0},
        "values": VALUES | values,
        "limits": LIMITS,
        "appearance": dict.fromkeys(APPEARANCE, 0.0),
        "rejected": bool(reasons),
        "reason": next(iter(reasons), ""),
        "reasons": list(reasons),
    }


def test_reasons_that_follow_are_read_with_every_test_behind_them() -> None:
    rows = [
        row(),
        row("suspect", margin=0.5),
        row("unstable", "suspect", stability=-0.75, margin=0.5),
        row("far-from-training", "unstable", "suspect", confidence=-2.0, margin=0.5, stability=-0.75),
        row("not-one-cell", "far-from-training", confidence=-2.0, wholeness=-0.1),
        row("faint", "far-from-training", confidence=-2.0, texture=-1.1),
    ]
    found = _as_decisions(rows, CLASSES)
    assert found.rejected.tolist() == [False, True, True, True, True, True]
    assert found.failed_by("confidence").tolist() == [False, False, False, True, True, True]
    assert found.failed_by("stability").tolist() == [False, False, True, True, False, False]
    assert found.failed_by("margin").tolist() == [False, True, True, True, False, False]
    assert found.value("stability").tolist() == [-0.25, -0.25, -0.75, -0.75, -0.25, -0.25]
    assert found.label.tolist() == [1] * 6
    assert found.limits.tolist() == [LIMITS[test.name] for test in table.TESTS]


def test_what_is_read_is_what_was_decided() -> None:
    detector = Detector(("stem",), 0.0, (1.0,), 0.0, (-1.0,) * 5, (1.0,) * 5, LIMITS)
    logits = np.array([[0, 2], [3, 0], [0, 0.5]])
    decided = decide(detector, evidence(logits, np.array([[0], [-2], [0]]), smoothed=logits / 2))
    rows = [
        {
            **row(*decided.reasons(number)),
            "label": CLASSES[decided.label[number]],
            "probabilities": dict(zip(CLASSES, decided.probabilities[number].tolist(), strict=True)),
            "confidences": {"stem": float(decided.confidences[number, 0])},
            "values": {test.name: float(decided.value(test.name)[number]) for test in table.TESTS},
        }
        for number in range(3)
    ]
    found = _as_decisions(rows, CLASSES)
    for field in Decisions.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(found, field), getattr(decided, field))


@pytest.mark.parametrize("reason", ["", "suspect", "unstable", "not-one-cell", "faint"])
def test_a_reason_that_does_not_follow_is_refused(reason: str) -> None:
    wrong = row(*filter(None, [reason]), confidence=-2.0)
    with pytest.raises(CheckFailedError, match=f"cell.png: '{reason}' of .* does not follow from its num"):
        _as_decisions([row(), wrong], CLASSES)


@pytest.mark.parametrize(
    ("reasons", "values"),
    [
        (["unstable"], {}),
        (["unstable"], {"margin": 0.5}),
        (["suspect"], {"margin": 0.5, "stability": -0.75}),
        (["suspect", "unstable"], {"margin": 0.5, "stability": -0.75}),
        (["unstable"], {"margin": 0.5, "stability": -0.75}),
        ([], {"stability": -0.75}),
        ([], {"stability": float("nan")}),
    ],
)
def test_stability_has_its_rank_among_the_reasons(reasons: list[str], values: dict[str, float]) -> None:
    with pytest.raises(CheckFailedError, match=r"cell\.png: .* does not follow from its numbers"):
        _as_decisions([row(*reasons, **values)], CLASSES)


def test_cells_scored_with_other_limits_are_refused() -> None:
    """Each row's reason follows from its own limits, but not all could be held against the first row's."""
    other = row() | {"path": "other.png", "limits": LIMITS | {"margin": 0.75}}
    with pytest.raises(CheckFailedError, match=r"other\.png: scored with other limits"):
        _as_decisions([row(), other], CLASSES)


def test_scores_of_another_archive_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_scores, "load_trained", lambda _: None)
    monkeypatch.setattr(compare_scores, "list_folders", lambda _: Listing("", (), [], ""))
    (tmp_path / "scores.jsonl").write_text(json.dumps(row()) + "\n")
    arguments = ["--run", "run", "--cells", "cells.zip", "--scores", tmp_path / "scores.jsonl"]
    done = CliRunner().invoke(compare_scores.main, [str(argument) for argument in arguments])
    assert done.exit_code == 1
    assert "scores.jsonl: scores no cell of cells.zip; score this archive" in done.stderr
