"""Doubtful labels: found by networks that never saw the cells, shown, and written as a second reading."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import SourceError
from training.__main__ import main
from training.audit import audit_runs, confident_classes
from training.cells.source import CellSource
from training.fitting import fit
from training.run import RunConfig, load_run, load_split

pytestmark = pytest.mark.slow


def test_a_cell_counts_for_a_class_from_what_is_usual_there() -> None:
    # Usual are 0.7 for class 0, 0.6 for class 1 and 0.5 for class 2.
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],  # for its own
            [0.5, 0.5, 0.0],  # for none: its own label stays
            [0.0, 1.0, 0.0],
            [0.75, 0.2, 0.05],  # labelled 1, but usual for 0
            [0.4, 0.6, 0.0],
            [0.05, 0.45, 0.5],
        ]
    )
    labels = np.array([0, 0, 1, 1, 1, 2])
    assert confident_classes(probabilities, labels).tolist() == [0, 0, 1, 0, 1, 2]


def test_of_two_classes_that_it_counts_for_the_likelier_one() -> None:
    probabilities = np.array([[0.55, 0.45], [0.52, 0.48], [0.6, 0.4], [0.9, 0.1]])
    # Usual are 0.535 and 0.25.
    assert confident_classes(probabilities, np.array([0, 0, 1, 1])).tolist() == [0, 1, 0, 0]


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, set[str]]:
    """A run on discs that anybody can tell, the folder of its cells, and names of those labelled wrongly."""
    folder = tmp_path_factory.mktemp("audited")
    wrong = set()
    for number in range(96):
        colour, label = number % 2, number % 2 if number % 12 else 1 - number % 2
        name = f"{('parasitized', 'uninfected')[label]}/C{number}P{number}_{number}.png"
        crop = np.zeros((40, 40, 3), np.uint8)
        cv2.circle(crop, (20, 20), 15 + number % 5, ((200, 60, 120), (60, 130, 220))[colour], -1)
        (folder / "cells" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "cells" / name), crop)
        if label != colour:
            wrong.add(name)
    cells = (str(folder / "cells"),)
    config = RunConfig(cells, "edge", "image", seed=0, epochs=6, batch_size=16, learning_rate=0.05)
    fit(config, folder / "run", cache=folder / "cache")
    return folder / "run", folder / "cache", wrong


def test_the_labels_that_are_wrong_are_doubted_and_can_be_reread(
    mislabelled: tuple[Path, Path, set[str]], tmp_path: Path
) -> None:
    run, cache, wrong = mislabelled
    done = CliRunner().invoke(
        main, ["audit", "--run", str(run), "--cache", str(cache), "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    cells, split = load_split(load_run(run), CellSource(cache=cache))
    asked = wrong & {cells.names[cell] for cell in split.test}
    assert len(asked) >= 1
    with (tmp_path / "doubtful.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == asked
    assert f"{len(asked)} labels are doubted" in done.stdout
    page = (tmp_path / "doubtful.html").read_text()
    assert page.count("<img") == len(asked)
    assert all(row["path"] in page for row in rows)
    source = CellSource((str(run.parent / "cells"),), cache, tmp_path / "doubtful.csv")
    again = source.load(InputSpec())
    assert {name for name, agreed in zip(again.names, again.agreed, strict=True) if not agreed} == asked


def test_runs_of_other_cells_are_not_audited_together(
    mislabelled: tuple[Path, Path, set[str]], fitted: Path, cache: Path, tmp_path: Path
) -> None:
    run, own, _ = mislabelled
    for file in own.iterdir():
        if not (cache / file.name).exists():
            (cache / file.name).symlink_to(file)
    with pytest.raises(SourceError, match=r"of other cells than .*; audit them one by one"):
        audit_runs([run, fitted], CellSource(cache=cache), tmp_path)
