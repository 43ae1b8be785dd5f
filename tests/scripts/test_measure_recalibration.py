"""Half of a set's frames fits, the other half is judged: on evidence that is given instead of computed."""

from dataclasses import replace

import numpy as np
from detectors import lenient, with_margins

from edge_runtime.decision.decide import decide
from scripts.measure_recalibration import Figures, Seen, parasites_of, row, together

DETECTOR = lenient(("a", "b"), (0.5, 0.5), confidence=-1.0, stability=-0.5, margin=0.5)


def seen(shift: float, margin: float, cells: int = 200, seed: int = 0) -> Seen:
    """Cells called parasitized; the first half are."""
    confidences = np.random.default_rng(seed).normal(shift, 0.3, (cells, 2))
    return Seen(with_margins([margin] * cells, confidences), np.arange(cells) < cells // 2)


def test_a_site_that_is_trusted_is_judged_before_and_after() -> None:
    told = row("there", (seen(-6, 5.0), seen(-6, 5.0, seed=1)), DETECTOR, 0.1).split(" | ")
    assert told[:2] == ["| there", "200"]
    assert told[2].startswith("0.0% accepted, nan% false positives, 0 of 0 parasites")
    assert "accepted, 100.00% false positives" in told[3]


def test_a_site_that_is_not_says_why() -> None:
    told = row("there", (seen(-6, 0.1), seen(-6, 5.0)), DETECTOR, 0.1)
    assert "| refused: 100% of these cells are rejected for what no limit mends" in told


def test_figures_are_of_the_accepted() -> None:
    one = seen(0, 5.0, cells=10)
    evidence = replace(one.evidence, confidences=np.full((10, 2), 0.0, np.float32))
    evidence.confidences[4:6] = -9
    found = Figures.of(decide(DETECTOR, evidence), one.parasitized, DETECTOR)
    assert found == Figures(accepted=0.8, false_positives=1.0, called_right="4 of 4")


def test_the_cells_of_several_frames_are_one_list() -> None:
    parts = [seen(0, 1.0, cells=3), seen(1, 2.0, cells=4)]
    joined = together(parts)
    assert len(joined.evidence) == len(joined.parasitized) == 7
    assert joined.evidence.logits[3:].tolist() == parts[1].evidence.logits.tolist()


def test_only_parasites_have_boxes_and_only_where_there_are_annotations() -> None:
    objects = [
        {"bbox": [1, 2, 11, 22], "category": "ring"},
        {"bbox": [5, 5, 9, 9], "category": "red blood cell"},
        {"bbox": [5, 5, 9, 9], "category": "leukocyte"},
    ]
    annotations = {"1.png": {"objects": objects}}
    assert parasites_of(annotations, "a/b/1.png") == [(1, 2, 10, 20)]
    assert parasites_of(annotations, "a/b/2.png") == []
