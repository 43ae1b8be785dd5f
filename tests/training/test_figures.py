"""Figures on test cells: counted by hand, and those of a whole run."""

import math
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, recall_score

from edge_runtime.bundle.performance import PatientCounts
from edge_runtime.decision import table
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.values import within
from training.calibration_file import load_calibration
from training.cells.source import CellSet, CellSource
from training.reference import smooth
from training.run import load_model, load_run, load_split
from training.statistics import as_images, predict
from training.testing import Answers, measure_run, summarise


def cell_set(labels: list[int], reread: list[int], patients: list[str]) -> CellSet:
    """Cells of which nothing is known but what is said of them."""
    return CellSet(
        images=np.zeros((len(labels), 1, 1, 3), np.uint8),
        labels=np.array(labels),
        reread=np.array(reread),
        patients=tuple(patients),
        names=tuple(map(str, range(len(labels)))),
        relative_size=np.full(len(labels), np.nan),
        classes=("uninfected", "parasitized"),
        parasitized=("parasitized",),
        digest="",
        sources=("here",),
    )


def answers(label: list[int], rejected: list[int], suspect: list[int] | None = None) -> Answers:
    return Answers(
        np.array(label),
        np.array(label) == 1,
        np.array(rejected, bool),
        np.array(suspect or [0] * len(label), bool),
    )


def counts(*numbers: int, healthy: bool = False) -> PatientCounts:
    return PatientCounts(healthy, *numbers)


def test_figures_counted_by_hand() -> None:
    cells = cell_set(
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 1, 0, 1, 0, 0, 1, 0],
        ["B", "A", "B", "A", "A", "A", "A", "A", "C", "C"],
    )
    label, rejected = [1, 1, 0, 0, 1, 0, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    found = summarise(answers(label, rejected, [0, 1] + [0] * 8), cells, np.arange(10))
    archive, agreed, healthy = found.archive, found.agreed, found.healthy
    assert (archive.parasitized, archive.uninfected) == (4, 6)
    assert (archive.accuracy, archive.sensitivity, archive.specificity) == (6 / 10, 2 / 4, 4 / 6)
    assert (archive.rejected, archive.suspect) == (2 / 10, 1 / 10)
    assert archive.accuracy_of_accepted == 5 / 8
    assert (archive.sensitivity_of_accepted, archive.specificity_of_accepted) == (1 / 2, 4 / 6)
    # The third and the sixth cell are read in two ways; the ninth, too, but of a patient without a parasite.
    assert (agreed.parasitized, agreed.uninfected) == (3, 5)
    assert (agreed.accuracy, agreed.accuracy_of_accepted) == (5 / 8, 4 / 7)
    assert (healthy.parasitized, healthy.uninfected, healthy.specificity) == (0, 2, 1 / 2)
    assert (found.called_of_parasitized.called, found.called_of_parasitized.accepted) == (1, 2)
    assert (found.called_of_healthy.called, found.called_of_healthy.accepted) == (1, 2)
    assert [(of.patient, of.cells, of.accuracy, of.rejected) for of in found.patients] == [
        ("A", 6, 4 / 6, 1 / 6),
        ("B", 2, 1 / 2, 1 / 2),
        ("C", 2, 1 / 2, 0.0),
    ]
    assert [of.counts for of in found.patients] == [
        counts(2, 1, 1, 0, 3, 3, 0, 1),
        counts(1, 1, 0, 1, 0, 0, 0, 0),
        counts(0, 0, 0, 0, 2, 2, 0, 1, healthy=True),
    ]


def test_share_of_no_cells_is_no_number() -> None:
    found = summarise(answers([0], [1]), cell_set([0], [0], ["A"]), np.arange(1))
    assert math.isnan(found.archive.sensitivity)
    assert math.isnan(found.archive.accuracy_of_accepted)
    assert found.archive.specificity == 1
    assert (found.called_of_healthy.accepted, found.called_of_healthy.interval) == (0, (0.0, 1.0))


def test_suspect_is_what_is_rejected_for_nothing_graver() -> None:
    values = np.array([[test.sign * 1.0 for test in table.TESTS]] * 4)
    names = [test.name for test in table.TESTS]
    values[1, names.index("margin")] = -1
    values[2, names.index("certainty")] = -1
    values[3, [names.index("margin"), names.index("confidence")]] = -1
    nothing = np.zeros((4, 2))
    made = Decisions(np.array([0, 0, 1, 1]), nothing, nothing, nothing, values, np.zeros(len(names)))
    found = Answers.of(made, np.array([False, True]))
    assert found.rejected.tolist() == [False, True, True, True]
    assert found.suspect.tolist() == [False, True, True, False]
    assert found.infected.tolist() == [False, False, True, True]


def test_run_is_measured_on_its_test_cells(
    calibrated: Path, tmp_path: Path, cells: CellSet, cache: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(calibrated, run)
    found = measure_run(run, CellSource(cache=cache))
    info = load_run(run)
    _, split = load_split(info, CellSource(cache=cache))
    model = load_model(run, info)
    network = model.network
    logits, features = predict(network, cells, split.test)
    truth, called = cells.labels[split.test], logits.argmax(axis=1)
    figures = found.archive
    assert figures.accuracy == pytest.approx(accuracy_score(truth, called))
    assert figures.sensitivity == pytest.approx(recall_score(truth, called))
    assert figures.specificity == pytest.approx(recall_score(truth, called, pos_label=0))
    detector = load_calibration(run).detector
    nearest = [
        model.gaussians[name].distances(f).min(axis=1)
        for name, f in zip(network.layers, features, strict=True)
    ]
    scores = -np.stack(nearest, axis=1) @ detector.weights + detector.bias
    appearance, limits = describe(cells.images[split.test]), detector.limits
    whole = within(appearance, np.array(detector.outline_low), np.array(detector.outline_high))
    with torch.no_grad():
        smoothed = network(smooth(as_images(cells, split.test)))[0].numpy()
    lead = np.where(called == 1, 1, -1) * (smoothed[:, 1] - smoothed[:, 0])
    below = {
        "wholeness": whole < limits["wholeness"],
        "colour": appearance[:, 5] < limits["colour"],
        "texture": appearance[:, 6] < limits["texture"],
        "confidence": scores < limits["confidence"],
        "stability": lead - np.ptp(logits, axis=1) < limits["stability"],
        "margin": np.ptp(logits, axis=1) < limits["margin"],
        "certainty": (called == 1) & (np.ptp(logits, axis=1) < limits["certainty"]),
    }
    assert {*below, "small", "large"} == set(limits)  # of crops no size is known
    rejected = np.any(list(below.values()), axis=0)
    assert figures.rejected == pytest.approx(rejected.mean())
    assert sum(patient.cells for patient in found.patients) == len(split.test)
    assert {patient.patient for patient in found.patients} == {cells.patients[i] for i in split.test}
    stored = info.metrics["test"]
    assert stored["archive"]["accuracy"] == figures.accuracy
    assert stored["patients"] == [asdict(patient) for patient in found.patients]


def test_figures_do_not_depend_on_the_order_of_cells() -> None:
    rng = np.random.default_rng(0)
    label, rejected, truth = rng.integers(0, 2, (3, 40))
    patients = np.array(list("ABCD"))[rng.integers(0, 4, 40)]
    order = rng.permutation(40)
    cells = cell_set(truth.tolist(), truth.tolist(), patients.tolist())
    one = summarise(answers(label.tolist(), rejected.tolist()), cells, np.arange(40))
    shuffled = answers(label[order].tolist(), rejected[order].tolist())
    assert str(summarise(shuffled, cells, order)) == str(one)  # of healthy patients there is no number
