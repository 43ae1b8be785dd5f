"""The table of recipes: what a run noted of itself, and nothing where it noted nothing."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.bundle.performance import PatientCounts
from scripts import compare_recipes
from scripts.compare_recipes import COLUMNS, main, worst
from training.crossfit import fold_folder
from training.run import add_metrics, load_run, load_split, save_run
from training.testing import PatientFigures, measure, noted
from training.trained import load_trained


@pytest.fixture
def tested(run_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    trained = load_trained(folder)
    cells, split = load_split(trained.info, trained.info.config.source())
    add_metrics(folder, test=asdict(measure(trained, cells, split.test)))
    return folder


def test_a_run_is_a_row(tested: Path) -> None:
    said = CliRunner().invoke(main, [str(tested)]).output.splitlines()
    head, _, row = said
    assert head.strip("| ").split(" | ") == list(COLUMNS)
    cells = row.strip("| ").split(" | ")
    assert cells[0] == str(tested)
    assert cells[1].startswith("edge, ")
    agreed = load_run(tested).metrics["test"]["agreed"]
    assert cells[3].startswith(f"{100 * agreed['sensitivity']:.2f} (")
    assert cells[9].startswith(f"{100 * agreed['rejected']:.2f} (")


def test_the_worst_patient_is_a_healthy_one_with_accepted_cells(tested: Path) -> None:
    figures = noted(tested)
    one = figures.patients[0]

    def patient(*, healthy: bool, accepted: int, called: int) -> PatientFigures:
        return replace(one, counts=PatientCounts(healthy, 0, 0, 0, 0, 50, accepted, 0, called))

    some = (
        patient(healthy=True, accepted=40, called=1),
        patient(healthy=True, accepted=20, called=1),
        patient(healthy=True, accepted=0, called=0),
        patient(healthy=False, accepted=10, called=9),
    )
    assert worst(replace(figures, patients=some)) == 1 / 20
    assert np.isnan(worst(replace(figures, patients=some[2:])))


def test_networks_that_only_measure_are_asked_again(
    tested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, asked = noted(tested), []
    alone = tmp_path / "alone"
    shutil.copytree(tested, fold_folder(alone, 1))
    monkeypatch.setattr(
        compare_recipes, "measure_recipe", lambda run, reread: asked.append((run, reread)) or figures
    )
    said = CliRunner().invoke(main, ["--reread", "second.csv", str(alone), str(tested)])
    assert said.exit_code == 0, said.output
    # The other one learned without a second reading, so what it noted is by other labels.
    assert asked == [(alone, Path("second.csv")), (tested, Path("second.csv"))]
    assert CliRunner().invoke(main, [str(tested)]).exit_code == 0
    assert len(asked) == 2


def test_a_run_without_figures_is_told(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    info = load_run(folder)
    info.metrics.pop("test", None)
    save_run(folder, info)
    said = CliRunner().invoke(main, [str(folder)])
    assert said.exit_code == 1
    assert "python -m training test --run" in said.output
