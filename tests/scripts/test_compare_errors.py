"""Errors that two networks share, counted by hand."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from scripts.compare_errors import compare, main, solidity


def test_solidity_is_the_area_over_that_of_the_hull() -> None:
    y, x = np.mgrid[:125, :125] - 62
    disc = np.where((np.hypot(x, y) <= 55)[..., None], np.uint8(200), np.uint8(0)).repeat(3, axis=2)
    assert solidity(disc) > 0.98
    bitten = disc.copy()
    cv2.circle(bitten, (110, 62), 25, (0, 0, 0), -1)
    assert solidity(bitten) < 0.93
    quarter = disc.copy()
    quarter[:62, 62:] = 0
    # Three quarters of a disc; its hull closes the corner with a triangle.
    assert solidity(quarter) == pytest.approx(0.75 * np.pi / (0.75 * np.pi + 0.5), abs=0.02)
    assert solidity(np.zeros_like(disc)) == 1.0


def test_counts() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0])
    one, other = np.array([0, 0, 1, 1, 0, 0]), np.array([0, 1, 1, 1, 1, 0])
    errors, notched = compare(labels, (one, other), np.array([0.89, 1, 0.93, 1, 1, 0.93]))
    assert (errors.cells, errors.wrong, errors.shared, errors.missed) == (6, (3, 3), 2, 1)
    assert [row.limit for row in notched] == [0.9, 0.92, 0.94]
    assert [row.share for row in notched] == pytest.approx([1 / 6, 1 / 6, 1 / 2])
    assert [row.missed for row in notched] == [1, 1, 1]
    assert notched[0].rest == pytest.approx((3 / 5, 3 / 5))
    assert notched[2].rest == pytest.approx((1 / 3, 1 / 3))


def test_the_command_compares_two_runs_of_one_split(run_folder: Path, cell_cache: Path) -> None:
    options = ["--run", str(run_folder), "--other", str(run_folder), "--cache", str(cell_cache)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    first, *rest = result.stdout.splitlines()
    counts = [int(word) for word in first.replace(":", "").split() if word.isdigit()]
    cells, wrong, same, shared, missed = counts
    assert missed <= wrong == same == shared <= cells
    assert [line.split(":")[0] for line in rest] == [f"solidity below {limit}" for limit in (0.9, 0.92, 0.94)]


def test_runs_of_unlike_splits_are_refused(run_folder: Path, cell_cache: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_folder, other)
    path = other / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split_digest": "0" * 64}))
    options = ["--run", str(run_folder), "--other", str(other), "--cache", str(cell_cache)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 1
    assert "not the same test cells; give two runs of one split and seed" in result.stderr
