"""The table of choices; the figures themselves are those of the evaluation's own functions."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.compare_layers import FEATURES, Choice, as_table, main


def test_the_table_has_a_line_per_choice() -> None:
    choice = Choice(
        features="relative",
        layers="layer3 to layer4",
        stable=True,
        rejected=0.05,
        near=(0.99, 0.9),
        far=(1.0, 1.0),
        segmentation=0.875,
        attacks=(0.5, 0.25, float("nan")),
        harmless=0.95,
        harmful=0.9,
    )
    cells = [cell.strip() for cell in as_table([choice]).splitlines()[-1].strip("|").split("|")]
    assert cells[:3] == ["relative", "layer3 to layer4", "yes"]
    assert cells[3:6] == ["5.0", "99.0 / 90.0", "100.0 / 100.0"]
    assert cells[6:] == ["87.5", "50.0, 25.0, nan", "95.0", "90.0"]
    head, rule, *_ = as_table([choice, replace(choice, stable=False)]).splitlines()
    assert head.count("|") == rule.count("|") == len(cells) + 1
    assert "| layer3 to layer4 | no |" in as_table([replace(choice, stable=False)])


def test_the_shipped_features_are_among_the_choices() -> None:
    assert {"as they are", "relative"} <= set(FEATURES)


@pytest.mark.parametrize("name", ["", "elsewhere"])
def test_no_evaluation_is_said(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(main, ["--run", str(tmp_path), "--evaluated", str(tmp_path / name)])
    assert done.exit_code == 1
    assert "no evaluation; make one with 'python -m training evaluate'" in done.output
