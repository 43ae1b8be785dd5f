"""Figures on test cells: counted by hand, and those of a whole run."""

import math
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, recall_score

from edge_runtime.decision import table
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.values import within
from training.calibration_file import load_calibration
from training.cells.source import CellSet, CellSource
from training.reference import smooth
from training.run import load_model, load_run, load_split
from training.statistics import as_images, predict
from training.testing import PatientFigures, measure_run, summarise


def decisions(label: list[int], rejected: list[int]) -> Decisions:
    """Of cells that fail the test of the confidence where they are rejected, and pass all others."""
    nothing = np.zeros((len(label), 2))
    values, limits = (
        np.array([[test.sign for test in table.TESTS]] * len(label), float),
        np.zeros(len(table.TESTS)),
    )
    values[np.array(rejected, bool), [test.name for test in table.TESTS].index("confidence")] *= -1
    return Decisions(
        label=np.array(label),
        probabilities=nothing,
        confidences=nothing,
        appearance=nothing,
        values=values,
        limits=limits,
    )


def test_figures_counted_by_hand() -> None:
    found = summarise(
        decisions([1, 1, 0, 0, 1, 0, 0, 0], rejected=[0, 1, 1, 0, 0, 0, 0, 0]),
        np.array([1, 1, 1, 1, 0, 0, 0, 0]),
        ["B", "A", "B", "A", "A", "A", "A", "A"],
    )
    assert (found.parasitized, found.uninfected) == (4, 4)
    assert found.accuracy == 5 / 8
    assert found.sensitivity == 2 / 4
    assert found.specificity == 3 / 4
    assert found.rejected == 2 / 8
    assert found.accuracy_of_accepted == 4 / 6
    assert found.patients == (
        PatientFigures("A", cells=6, parasitized=2, accuracy=4 / 6, rejected=1 / 6),
        PatientFigures("B", cells=2, parasitized=2, accuracy=1 / 2, rejected=1 / 2),
    )


def test_share_of_no_cells_is_no_number() -> None:
    found = summarise(decisions([0], rejected=[1]), np.array([0]), ["A"])
    assert math.isnan(found.sensitivity)
    assert math.isnan(found.accuracy_of_accepted)
    assert found.specificity == 1


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
    assert found.accuracy == pytest.approx(accuracy_score(truth, called))
    assert found.sensitivity == pytest.approx(recall_score(truth, called))
    assert found.specificity == pytest.approx(recall_score(truth, called, pos_label=0))
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
    }
    assert set(below) == set(limits)
    rejected = np.any(list(below.values()), axis=0)
    assert found.rejected == pytest.approx(rejected.mean())
    assert sum(patient.cells for patient in found.patients) == len(split.test)
    assert {patient.patient for patient in found.patients} == {cells.patients[i] for i in split.test}
    stored = info.metrics["test"]
    assert stored["accuracy"] == found.accuracy
    assert stored["patients"] == [asdict(patient) for patient in found.patients]


def test_figures_do_not_depend_on_the_order_of_cells() -> None:
    rng = np.random.default_rng(0)
    label, rejected, truth = rng.integers(0, 2, (3, 40))
    patients = np.array(list("ABCD"))[rng.integers(0, 4, 40)]
    order = rng.permutation(40)
    one = summarise(decisions(label.tolist(), rejected.tolist()), truth, patients.tolist())
    shuffled = decisions(label[order].tolist(), rejected[order].tolist())
    assert summarise(shuffled, truth[order], patients[order].tolist()) == one
