"""Sites and alarms, on decisions that are given instead of computed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from detectors import lenient, with_margins

from edge_runtime.decision.decide import Decisions, decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from scripts.measure_sites import Site, false_alarms, measure_site, table

DETECTOR = lenient(("a", "b"), (0.5, 0.5), epsilon=0.25, confidence=-1.0, stability=0.0, margin=0.5)
NOBODY = np.zeros((8, 4, 4, 3), np.uint8)


@dataclass
class _Calibration:
    detector: Detector = DETECTOR
    alpha: float = 0.05
    correlation: float = 0.01


@dataclass
class _Cells:
    images: np.ndarray
    labels: np.ndarray
    patients: list[str]


@dataclass
class _Trained:
    evidence: Callable[[np.ndarray], Evidence] | None = None
    calibration: _Calibration = field(default_factory=_Calibration)

    def decide(self, crops: np.ndarray) -> Decisions:
        assert self.evidence is not None
        return decide(self.calibration.detector, self.evidence(crops))


@dataclass
class _Subject:
    cells: _Cells
    trained: _Trained = field(default_factory=_Trained)


@pytest.fixture
def subject() -> _Subject:
    """Six hundred cells whose pixels are their numbers, of six patients, the last one strange."""
    images = np.zeros((600, 4, 4, 3), np.uint8)
    images[:, 0, 0] = np.arange(600)[:, None] // 100
    images[:, 1, 1] = 200
    patients = [f"C{number // 100}" for number in range(600)]
    return _Subject(_Cells(images, np.ones(600, np.int64), patients))


def cells_at(shift: float, count: int, seed: int = 0) -> Evidence:
    return with_margins([5.0] * count, np.random.default_rng(seed).normal(shift, 0.3, (count, 2)))


def test_a_moved_site_is_accepted_again_and_sounds_the_alarm(subject: _Subject) -> None:
    def seen(images: np.ndarray) -> Evidence:
        return cells_at(-9 if len(images) == len(NOBODY) else -0.9, len(images), seed=len(images))

    subject.trained.evidence = seen
    site = measure_site(subject, np.arange(600), NOBODY, "dimmer light")  # type: ignore[arg-type]
    assert site.corruption == "dimmer light 5"
    before, after = site.accepted
    assert 0.5 < before < 0.8
    assert after is not None
    assert after > 0.93
    assert site.alarms == 1.0
    assert site.accuracy_of_accepted == (1.0, 1.0)
    assert site.ood_rejected == (1.0, 1.0)


def test_a_site_that_cannot_be_mended_says_so(subject: _Subject) -> None:
    """Its cells are far, and the answers are not sure."""

    def seen(images: np.ndarray) -> Evidence:
        far = cells_at(-9, len(images))
        return with_margins([0.1] * len(images), far.confidences)

    subject.trained.evidence = seen
    site = measure_site(subject, np.arange(600), NOBODY, "dimmer light")  # type: ignore[arg-type]
    assert site.accepted == (0.0, None)
    assert "0.0 to refused" in table([site])


def test_false_alarms_are_counted_by_patient(subject: _Subject) -> None:
    def seen(images: np.ndarray) -> Evidence:
        strange = images[:, 0, 0, 0] == 5
        confidences = np.where(strange, -9.0, 0.0)[:, None].repeat(2, axis=1)
        return with_margins([5.0] * len(images), confidences)

    subject.trained.evidence = seen
    assert false_alarms(subject, np.arange(600)) == (1, 6)  # type: ignore[arg-type]


def test_the_table_has_a_line_per_site() -> None:
    site = Site("JPEG 5", 0.9, 0.25, (0.5, 0.75), (0.9, 0.8), (1.0, 0.5))
    assert (
        table([site, site]).splitlines()[2:]
        == ["| JPEG 5 | 90.0 | 25.0 | 50.0 to 75.0 | 90.0 to 80.0 | 100.0 to 50.0 |"] * 2
    )
