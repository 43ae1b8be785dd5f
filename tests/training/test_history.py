"""The history of a run: when training has stalled, and what TensorBoard is told where it is installed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Self

import pytest

from training.history import Epoch, best_epoch, has_stalled, write_history


def history(*accuracies: float) -> list[Epoch]:
    return [Epoch(number, 0.5, accuracy, 0.1, 1.0) for number, accuracy in enumerate(accuracies, start=1)]


@pytest.mark.parametrize(
    ("accuracies", "patience", "stalled"),
    [
        ((), 1, False),
        ((0.5, 0.4, 0.3), None, False),
        ((0.5,), 1, False),
        ((0.5, 0.5), 1, True),
        ((0.5, 0.4, 0.6), 2, False),
        ((0.5, 0.4, 0.5), 2, True),
    ],
)
def test_training_has_stalled_after_so_many_epochs_without_a_better_one(
    accuracies: tuple[float, ...], patience: int | None, stalled: bool
) -> None:
    assert has_stalled(history(*accuracies), patience) == stalled


def test_the_first_of_several_best_epochs_is_the_best() -> None:
    assert best_epoch(history(0.5, 0.7, 0.7, 0.6)).epoch == 2


def test_tensorboard_is_told_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            told.append((folder, purge_step))

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            told.append("closed")

        def add_scalar(self, *values: object) -> None:
            told.append(values)

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    write_history(tmp_path, history(0.5, 0.75))
    assert told == [
        (str(tmp_path / "tensorboard"), 2),
        ("loss", 0.5, 2),
        ("validation_accuracy", 0.75, 2),
        ("learning_rate", 0.1, 2),
        "closed",
    ]
    assert (tmp_path / "history.csv").read_text().splitlines()[2] == "2,0.5,0.75,0.1,1.0"
