"""The training loop: it learns, it can be killed and go on bit by bit the same, and it refuses early."""

import copy
import csv
import itertools
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_runtime.errors import SourceError
from training import fitting
from training.augmentation import STRENGTHS
from training.cells.source import CellSource
from training.checkpoint import State
from training.fitting import fit, resume
from training.networks import build_network
from training.run import RunConfig, load_network, load_run, load_split, load_statistics, save_run
from training.statistics import fit_statistics

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DISCS = RunConfig((), "edge", "image", seed=0, epochs=5, batch_size=16, learning_rate=0.05)


def weights_of(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)


def history_of(folder: Path) -> list[list[str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_run_folder_is_complete(fitted: Path, config: RunConfig) -> None:
    assert sorted(file.name for file in fitted.iterdir()) == [
        "gaussians.npz",
        "history.csv",
        "run.json",
        "weights.pt",
    ]
    info = load_run(fitted)
    in_full = ("simulated:slides=6,fields=1,seed=1000,parasitized=0.45",)
    assert info.config == replace(config, cells=in_full, parasitized=("parasitized",))
    assert info.layers == ("stem", "layer1", "layer2", "layer3", "layer4")
    assert set(info.metrics) == {
        "training_seconds",
        "processes",
        "shrinkage",
        "condition",
        "validation_accuracy",
    }
    assert info.metrics["processes"] == 1
    widths = [gaussian.means.shape for gaussian in load_statistics(fitted).values()]
    assert widths == [(2, 16), (2, 16), (2, 32), (2, 64), (2, 128)]


def test_every_epoch_has_its_line(fitted: Path, config: RunConfig) -> None:
    header, *rows = history_of(fitted)
    assert header == ["epoch", "loss", "validation_accuracy", "learning_rate", "seconds"]
    assert [row[0] for row in rows] == [str(number) for number in range(1, config.epochs + 1)]
    accuracy = load_run(fitted).metrics["validation_accuracy"]
    assert float(rows[-1][2]) == pytest.approx(accuracy, abs=1e-6)
    assert float(rows[-1][3]) < float(rows[0][3])  # the learning rate has fallen


def test_statistics_count_every_training_cell_twice(fitted: Path) -> None:
    # Two passes with different augmentation.
    counts = load_statistics(fitted)["layer4"].counts
    assert counts.sum() == 2 * load_run(fitted).counts["train"]


def test_resuming_an_ended_run_changes_nothing(fitted: Path, cache: Path) -> None:
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in fitted.iterdir()}
    assert resume(fitted, CellSource(cache=cache)) == load_run(fitted)
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in fitted.iterdir()} == before


# Saves after every step and every epoch, and dies while it writes for the seventh time: after the sixth step.
KILLED = """
import io, os, signal, sys
from pathlib import Path
import torch
from training import fitting
from training.run import RunConfig

torch.set_num_threads(1)
fitting.CHECKPOINT_SECONDS = -1.0
save, saved = torch.save, []

def save_six(content, file):
    saved.append(file)
    if len(saved) == 7:
        whole = io.BytesIO()
        save(content, whole)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(content, file)

torch.save = save_six
config = RunConfig(**eval(sys.argv[1]))
fitting.fit(config, Path(sys.argv[2]), cache=Path(sys.argv[3]))
"""


def test_killed_run_goes_on_to_exactly_the_same_weights(
    fitted: Path, tmp_path: Path, config: RunConfig, cache: Path
) -> None:
    run = tmp_path / "killed"
    arguments = [repr(asdict(config)), str(run), str(cache)]
    died = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, check=False)
    assert died.returncode == -signal.SIGKILL
    stored = torch.load(run / "checkpoint.pt", weights_only=True)
    per_epoch = load_run(run).counts["train"] // config.batch_size
    assert per_epoch == 4
    assert stored["step"] == 5  # within the second epoch
    assert not (run / "weights.pt").exists()
    resume(run, CellSource(cache=cache))
    expected = weights_of(fitted)
    for name, value in weights_of(run).items():
        assert torch.equal(value, expected[name]), name
    for layer, gaussian in load_statistics(fitted).items():
        again = load_statistics(run)[layer]
        assert np.array_equal(again.means, gaussian.means)
        assert np.array_equal(again.whitening, gaussian.whitening)
    assert load_run(run).metrics["validation_accuracy"] == load_run(fitted).metrics["validation_accuracy"]
    assert not (run / "checkpoint.pt").exists()
    again, once = ([row[2] for row in history_of(folder)] for folder in (run, fitted))
    assert again == once


@pytest.fixture
def unfinished(fitted: Path, tmp_path: Path) -> Path:
    """A copy of the fitted run as it was before training."""
    run = tmp_path / "unfinished"
    shutil.copytree(fitted, run)
    (run / "weights.pt").unlink()
    (run / "gaussians.npz").unlink()
    save_run(run, replace(load_run(run), metrics={}))
    return run


def test_damaged_checkpoint_is_named(unfinished: Path, cache: Path) -> None:
    (unfinished / "checkpoint.pt").write_bytes(b"PK, but then the disk was full")
    with pytest.raises(
        SourceError, match=r"checkpoint\.pt: damaged; remove it and --resume trains from the st"
    ):
        resume(unfinished, CellSource(cache=cache))


def test_checkpoint_of_the_last_step_is_taken_without_the_weights_it_began_with(
    unfinished: Path, cache: Path
) -> None:
    info = load_run(unfinished)
    config = replace(info.config, pretrained=str(unfinished / "gone.pth"))
    save_run(unfinished, replace(info, config=config))
    steps = config.epochs * (info.counts["train"] // config.batch_size)
    state = fitting._start(info.config, 2, steps)
    state.step = steps
    nn.init.normal_(state.average.fc.weight)
    state.save(unfinished)
    resume(unfinished, CellSource(cache=cache))
    found = weights_of(unfinished)
    assert torch.equal(found["fc.weight"], state.average.fc.weight)
    assert torch.equal(found["conv1.weight"], state.network.conv1.weight)


@pytest.mark.parametrize(("step", "kept"), [(1, 2 / 11), (80, 81 / 90), (5000, 0.99)])
def test_average_forgets_its_start_and_then_follows_slowly(step: int, kept: float) -> None:
    network, average = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    nn.init.constant_(network.weight, 3.0)
    nn.init.constant_(average.weight, 1.0)
    assert network.num_batches_tracked is not None
    network.num_batches_tracked.fill_(step)
    state = State(network, average, None, None, step)  # type: ignore[arg-type]
    fitting._follow(state)
    assert average.weight.item() == pytest.approx(kept * 1 + (1 - kept) * 3)
    assert average.num_batches_tracked == step


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """An archive in which anybody can tell the classes: violet discs and orange ones."""
    for number in range(96):
        folder = tmp_path / "discs" / ("Parasitized", "Uninfected")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        crop = np.zeros((40, 40, 3), np.uint8)
        cv2.circle(crop, (20, 20), 15 + number % 5, ((200, 60, 120), (60, 130, 220))[number % 2], -1)
        cv2.imwrite(str(folder / f"C{number % 7}P{number % 7}_IMG_cell_{number}.png"), crop)
    return tmp_path / "discs"


def test_network_learns(discs: Path, tmp_path: Path) -> None:
    info = fit(replace(DISCS, cells=(str(discs),)), tmp_path / "run", cache=tmp_path / "cache")
    assert info.metrics["validation_accuracy"] == 1.0


def test_training_stops_where_nothing_gets_better_and_keeps_the_best_weights(
    discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.5, 0.9, 0.8, 0.9, 0.7, 1.0])
    kept = []

    def accuracy(network: nn.Module, *_: object) -> float:
        kept.append(copy.deepcopy(network.state_dict()))
        return next(accuracies)

    monkeypatch.setattr(fitting, "_accuracy", accuracy)
    config = replace(DISCS, cells=(str(discs),), epochs=20, patience=3)
    info = fit(config, tmp_path / "run", cache=tmp_path / "cache")
    assert [float(row[2]) for row in history_of(tmp_path / "run")[1:]] == [0.5, 0.9, 0.8, 0.9, 0.7]
    assert info.metrics["best_epoch"] == 2
    found = weights_of(tmp_path / "run")
    assert all(torch.equal(value, kept[1][name]) for name, value in found.items())
    assert not torch.equal(found["fc.weight"], kept[4]["fc.weight"])


def test_a_run_is_not_resumed_with_other_settings(fitted: Path, cache: Path) -> None:
    assert resume(fitted, CellSource(cache=cache), {"seed": 3, "network": "edge"}) == load_run(fitted)
    with pytest.raises(
        SourceError, match="was begun with batch size 60, not 64; resume without it, or begin"
    ):
        resume(fitted, CellSource(cache=cache), {"batch_size": 64})


def test_same_seed_same_start() -> None:
    config = RunConfig((), "edge", "image", seed=4, epochs=1, batch_size=2, learning_rate=0.05)
    one, same, other = (
        fitting._start(replace(config, seed=seed), 2, 10).network.fc.weight for seed in (4, 4, 5)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_folder_that_holds_a_run_is_not_overwritten(fitted: Path, config: RunConfig, cache: Path) -> None:
    before = (fitted / "weights.pt").read_bytes()
    with pytest.raises(
        SourceError, match="holds a run already; go on with --resume or choose another folder"
    ):
        fit(config, fitted, cache=cache)
    assert (fitted / "weights.pt").read_bytes() == before


def test_too_few_cells(config: RunConfig, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(SourceError, match="cells are too few to train on"):
        fit(replace(config, batch_size=300), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_a_class_that_cannot_be_learnt_is_refused(tmp_path: Path, discs: Path) -> None:
    (discs / "Platelet").mkdir()
    for number in range(2):
        shutil.copy(next((discs / "Uninfected").iterdir()), discs / "Platelet" / f"C9P{number}_1.png")
    config = replace(DISCS, cells=(str(discs),))
    with pytest.raises(
        SourceError, match=r"of 2 cells of the class platelet \d train and \d validate, too few"
    ):
        fit(config, tmp_path / "run", cache=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_cells_of_unknown_patients_are_split_by_image_alone(
    tmp_path: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, file in enumerate(sorted(discs.rglob("*.png"))):
        file.rename(file.with_name(f"{number}.png"))
    config = replace(DISCS, cells=(str(discs),), epochs=1)
    with pytest.raises(SourceError, match="nobody knows whom 96 of 96 cells were taken from; add a column"):
        fit(replace(config, split="patient"), tmp_path / "run", cache=tmp_path / "cache")
    fit(config, tmp_path / "run", cache=tmp_path / "cache")
    assert "cells of one patient may be trained on and tested on, which flatters" in capsys.readouterr().err


def test_weights_that_cannot_be_used_leave_no_run_behind(
    config: RunConfig, tmp_path: Path, cache: Path
) -> None:
    torch.save(build_network("vgg19", 2).state_dict(), tmp_path / "vgg19.pth")
    with pytest.raises(SourceError, match=r"vgg19\.pth: weights of another network"):
        fit(replace(config, pretrained=str(tmp_path / "vgg19.pth")), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(SourceError, match="no run folder"):
        resume(tmp_path, CellSource(cache=cache))


def test_half_precision_learns_the_same(discs: Path, tmp_path: Path) -> None:
    config = replace(DISCS, cells=(str(discs),), precision="bfloat16")
    info = fit(config, tmp_path / "run", cache=tmp_path / "cache")
    assert info.metrics["validation_accuracy"] == 1.0
    assert all(value.dtype != torch.bfloat16 for value in weights_of(tmp_path / "run").values())


def test_the_augmentation_is_for_weights_and_statistics(discs: Path, tmp_path: Path) -> None:
    config = replace(DISCS, cells=(str(discs),), epochs=1)
    for augmentation in STRENGTHS:
        made = fit(
            replace(config, augmentation=augmentation), tmp_path / augmentation, cache=tmp_path / "cache"
        )
        assert made.config.augmentation == augmentation
    found = [weights_of(tmp_path / augmentation)["conv1.weight"] for augmentation in STRENGTHS]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(found, 2))
    # The same weights, so that only the cells behind the statistics can differ.
    copied = tmp_path / "copied"
    shutil.copytree(tmp_path / "paper", copied)
    shutil.copy(tmp_path / "microscope" / "weights.pt", copied)
    info = load_run(copied)
    cells, split = load_split(info, CellSource(cache=tmp_path / "cache"))
    fit_statistics(copied, info, load_network(copied, info), cells, split.train)
    means = [load_statistics(tmp_path / name)["stem"].means for name in ("microscope", "copied")]
    assert not np.allclose(*means, rtol=1e-3)
