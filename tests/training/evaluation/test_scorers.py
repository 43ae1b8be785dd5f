"""The shipped decision as one score, and what is kept of the classifier's answer."""

from dataclasses import replace

import numpy as np
import pytest
from detectors import lenient
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from training.evaluation.detectors.observed import Observed
from training.evaluation.scorers import Fitted, answer_values, shipped


def observed(cells: int, seed: int) -> Observed:
    """Random pictures of 16 pixels, answers for two classes, and one feature that is the confidence."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (cells, 2)).astype(np.float32)
    smoothed = (0.8 * logits + rng.normal(0, 0.3, (cells, 2))).astype(np.float32)
    images = rng.integers(1, 256, (cells, 16, 16, 3), np.uint8)
    images[:, :3] = 0
    images[np.arange(cells), rng.integers(6, 14, cells)] = 0
    feature = -rng.chisquare(5, (cells, 1)).astype(np.float32)
    return Observed(images, {"logits": logits, "logits.smoothed": smoothed}, (feature,))


def confidences(seen: Observed) -> NDArray[np.float64]:
    return seen.features[0].astype(np.float64)


@pytest.fixture
def detector() -> Detector:
    """With every limit where it rejects 3 of 100 cells of those that the test is for; the size is unknown."""
    seen = observed(400, 0)
    evidence = seen.evidence(confidences(seen))
    low, high = evidence.appearance[:, :5].min(axis=0) - 0.1, evidence.appearance[:, :5].max(axis=0) + 0.1
    ranged = replace(lenient(), outline_low=tuple(low.tolist()), outline_high=tuple(high.tolist()))
    measured = zip(table.TESTS, table.measure(evidence, ranged).T, strict=True)
    limits = {test.name: finite(values) for test, values in measured if np.isfinite(values).any()}
    return replace(ranged, limits={**ranged.limits, **limits})


def finite(values: NDArray[np.float64]) -> float:
    return float(np.quantile(values[np.isfinite(values)], 0.03))


def test_the_shipped_score_accepts_what_the_decision_accepts(detector: Detector) -> None:
    some, seen = observed(300, 1), observed(300, 2)
    on = Fitted(some, np.zeros(300, np.int64), some, some, None, 0.05, detector)
    scores = shipped(confidences, detector, on)(seen)
    decided = decide(detector, seen.evidence(confidences(seen)))
    assert 20 < decided.rejected.sum() < 100
    asked = [test.name for test in table.TESTS if np.isfinite(decided.value(test.name)).any()]
    assert set(asked) == {test.name for test in table.TESTS} - {"small", "large"}
    assert all(decided.failed_by(name).any() for name in asked)
    assert (scores >= -1).tolist() == (~decided.rejected).tolist()


def test_of_the_answer_is_kept_what_the_network_alone_says(detector: Detector) -> None:
    seen = observed(50, 3)
    found = answer_values(seen, detector)
    decided = decide(detector, seen.evidence(confidences(seen)))
    assert list(found) == ["stability", "margin"]
    for name, values in found.items():
        assert values.tolist() == decided.value(name).tolist()


def test_a_further_test_of_the_answer_is_kept_too(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(
        table.TESTS[-1], name="first logit", value=lambda seen, _: seen.logits[:, 0].astype(float)
    )
    monkeypatch.setattr(table, "TESTS", (*table.TESTS, first))
    seen = observed(50, 3)
    found = answer_values(seen, detector)
    assert list(found) == ["stability", "margin", "first logit"]
    assert found["first logit"].tolist() == seen.logits[:, 0].tolist()
