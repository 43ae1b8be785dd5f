"""`python -m training`: results on standard output, refusals in one line, exit codes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from training import fitting
from training.__main__ import main
from training.run import RunConfig, RunInfo, load_run


@pytest.fixture
def run(calibrated: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(calibrated, folder)
    return folder


@pytest.fixture
def other_cells(tmp_path: Path, png: Callable[[int], bytes]) -> Path:
    for number, name in enumerate(("Parasitized/C1P1_1.png", "Uninfected/C2P2_1.png")):
        (tmp_path / "other" / name).parent.mkdir(parents=True)
        (tmp_path / "other" / name).write_bytes(png(number))
    return tmp_path / "other"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_refused(done: Result, message: str) -> None:
    """One line that names the thing, on standard error, and exit code 1."""
    assert done.exit_code == 1
    assert done.stdout == ""
    told = [line for line in done.stderr.splitlines() if not line.startswith("reading cells")]
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing option '--cells'"),
        (["--cells", "x", "--network", "resnet50"], "Invalid value for '--network'"),
        (["--cells", "x", "--seed", "-1"], "Invalid value for '--seed'"),
        (["--cells", "x", "--epochs", "0"], "Invalid value for '--epochs'"),
        (["--cells", "x", "--learning-rate", "0"], "Invalid value for '--learning-rate'"),
    ],
)
def test_wrong_use_of_fit(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = command("fit", *arguments, "--run", tmp_path / "run")
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["fit", "calibrate", "test"])
def test_run_folder_must_be_named(name: str) -> None:
    done = command(name)
    assert done.exit_code == 2
    assert "Missing option '--run'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "recipe"),
    [
        (["--network", "edge"], (24, 64, 0.1)),
        (["--network", "vgg19"], (20, 16, 0.02)),
        (["--network", "vgg19", "--epochs", 7, "--batch-size", 32], (7, 32, 0.02)),
        (["--network", "resnet18", "--learning-rate", 0.05], (20, 32, 0.05)),
    ],
)
def test_every_network_has_its_recipe(
    tmp_path: Path,
    fitted: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[object],
    recipe: tuple[int, int, float],
) -> None:
    wanted: list[RunConfig] = []

    def fit(config: RunConfig, *_: object, **__: object) -> RunInfo:
        wanted.append(config)
        return load_run(fitted)

    monkeypatch.setattr(fitting, "fit", fit)
    done = command("fit", "--cells", "simulated", *arguments, "--run", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert [(one.epochs, one.batch_size, one.learning_rate) for one in wanted] == [recipe]


def test_fit_refuses_a_folder_that_holds_a_run(run: Path) -> None:
    assert_refused(command("fit", "--cells", "simulated", "--run", run), f"{run}: holds a run already")


def test_fit_refuses_cells_that_are_not_there(tmp_path: Path) -> None:
    done = command("fit", "--cells", tmp_path / "none.zip", "--run", tmp_path / "run")
    assert_refused(
        done,
        "none.zip: no such file or folder; give a folder or zip of class folders",
    )


def test_fit_refuses_a_truncated_archive(tmp_path: Path) -> None:
    (tmp_path / "cells.zip").write_bytes(b"PK\x03\x04 and no more")
    done = command("fit", "--cells", tmp_path / "cells.zip", "--run", tmp_path / "run")
    assert_refused(done, "cells.zip: not a complete zip file; copy or download it again")


def test_fit_refuses_too_few_cells(other_cells: Path, tmp_path: Path) -> None:
    done = command("fit", "--cells", other_cells, "--run", tmp_path / "run", "--cache", tmp_path / "cache")
    assert_refused(done, "2 cells are too few to train on")


def test_resuming_an_ended_run_prints_its_metrics(run: Path, cache: Path) -> None:
    done = command("fit", "--resume", "--run", run, "--cache", cache)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == load_run(run).metrics


def test_resuming_with_another_setting_is_refused_and_with_the_same_is_not(run: Path, cache: Path) -> None:
    common = ["fit", "--resume", "--run", run, "--cache", cache]
    assert command(*common, "--seed", 3, "--split", "image").exit_code == 0
    for option, value, told in (
        ("--seed", 4, "seed 3, not 4"),
        ("--epochs", 9, "epochs 2, not 9"),
        ("--weights", "a.pth", "pretrained None, not a.pth"),
        ("--test", "none", "test 30%, not none"),
        ("--patience", 2, "patience None, not 2"),
        ("--augmentation", "paper", "augmentation microscope, not paper"),
    ):
        assert_refused(command(*common, option, value), f"{run}: was begun with {told}; resume without it")


def test_commands_refuse_a_folder_without_run(tmp_path: Path) -> None:
    for arguments in (["fit", "--resume"], ["calibrate"], ["test"]):
        assert_refused(command(*arguments, "--run", tmp_path), "no run folder (run.json is missing)")


def test_calibrate_refuses_a_run_that_has_not_ended(run: Path, cache: Path) -> None:
    (run / "weights.pt").unlink()
    done = command("calibrate", "--run", run, "--cache", cache)
    assert_refused(done, "weights.pt: training has not ended; go on with fit --resume")


def test_calibrate_refuses_a_run_without_statistics(run: Path, cache: Path) -> None:
    (run / "gaussians.npz").unlink()
    done = command("calibrate", "--run", run, "--cache", cache)
    assert_refused(done, "gaussians.npz: no Gaussian statistics")


def test_changed_cells_are_refused(run: Path, other_cells: Path, tmp_path: Path) -> None:
    for name in ("calibrate", "test"):
        done = command(name, "--run", run, "--cells", other_cells, "--cache", tmp_path / "cache")
        assert_refused(done, "not the cells this run was trained on; give the same archive")


def test_too_small_a_share_is_refused(run: Path, cache: Path) -> None:
    done = command("calibrate", "--run", run, "--alpha", "0.01", "--cache", cache)
    assert_refused(done, "cells cannot set a limit; at least 99 are needed")


def test_calibrate_prints_what_it_wrote(run: Path, cache: Path) -> None:
    before = (run / "calibration.json").read_text()
    done = command("calibrate", "--run", run, "--alpha", "0.1", "--cache", cache)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads((run / "calibration.json").read_text())
    assert json.loads(done.stdout)["alpha"] == 0.1
    assert (run / "calibration.json").read_text() != before


def test_test_needs_a_calibration(fitted: Path, cache: Path) -> None:
    done = command("test", "--run", fitted, "--cache", cache)
    assert_refused(done, f"calibration.json: missing; run 'python -m training calibrate --run {fitted}'")


def test_test_prints_a_line_per_patient(run: Path, cache: Path) -> None:
    as_json = command("test", "--run", run, "--cache", cache, "--json")
    figures = json.loads(as_json.stdout)
    assert figures == load_run(run).metrics["test"]
    table = command("test", "--run", run, "--cache", cache)
    assert table.exit_code == 0
    head, *lines = table.stdout.splitlines()
    rows, shares = lines[:6], lines[7:]
    assert head.split() == ["patient", "cells", "parasitized", "accuracy", "rejected", "called"]
    assert [row.split()[0] for row in rows] == [f"S{number}" for number in range(1000, 1006)]
    assert sum(int(row.split()[1]) for row in rows) == sum(
        patient["cells"] for patient in figures["patients"]
    )
    assert shares[0].split() == ["figure", "(95", "%", "over", "patients)", "archive", "agreed", "healthy"]
    told = {name.replace("_", " "): name for name in figures["archive"]["intervals"]}
    for line, (words, name) in zip(shares[2:], told.items(), strict=False):
        low, high = figures["archive"]["intervals"][name]
        assert line.startswith(f"{words} ")
        assert f"{figures['archive'][name]:.2%} ({low:.2%} to {high:.2%})" in line
        assert line.endswith(" -")  # every slide has parasites
    assert shares[-1].startswith("accepted cells of healthy patients called parasitized: 0 of 0 (-), ")
