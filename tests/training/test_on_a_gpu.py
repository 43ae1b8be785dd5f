"""What a GPU computes is what a CPU computes, where there is one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.decision import table
from training.cells.source import CellSet, CellSource
from training.evaluation.attacked import ATTACKS, Attack, attacked_set
from training.evaluation.subject import cells_of, load_subject
from training.testing import measure_run
from training.trained import load_trained

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")


def test_scores_and_decisions_are_those_of_the_cpu(run: Path, cache: Path, cells: CellSet) -> None:
    subject = load_subject(run, CellSource(cache=cache))
    assert next(subject.trained.network.parameters()).device.type == "cuda"
    on_gpu, on_cpu = subject.trained, load_trained(run)
    test = subject.split.test
    crops = np.ascontiguousarray(cells.images[test])
    there, here = (trained.evidence(crops) for trained in (on_gpu, on_cpu))
    for name in ("logits", "smoothed", "confidences"):
        ours, theirs = getattr(there, name), getattr(here, name)
        assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(theirs).max()
    measured = [table.measure(seen, on_cpu.detector) for seen in (there, here)]
    assert (np.ptp(measured, axis=0).max(axis=0) <= 1e-3 * np.abs(measured[1]).max(axis=0)).all()
    decided = [trained.decide(crops) for trained in (on_gpu, on_cpu)]
    assert np.mean(decided[0].rejected == decided[1].rejected) > 0.99
    assert np.array_equal(decided[0].label, decided[1].label)
    assert measure_run(run, CellSource(cache=cache)).accuracy > 0.5


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_attacks_that_succeed_there_succeed_here(run: Path, cache: Path, attack: Attack) -> None:
    subject = load_subject(run, CellSource(cache=cache))
    chosen = cells_of(subject, subject.split.test[:40])
    made = attacked_set(subject.trained.network, chosen, attack)
    if len(made):
        images = torch.from_numpy(made.images.transpose(0, 3, 1, 2).astype(np.float32))
        if made.images.dtype == np.uint8:
            images = images / 255
        with torch.no_grad():
            said = load_trained(run).network(images)[0].argmax(dim=1).numpy()
        assert np.mean(said != made.labels) > 0.95
