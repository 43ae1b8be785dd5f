"""The script that kills readings: it kills, it compares, and it would tell what is lost."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_runtime.errors import CheckFailedError
from scripts import measure_power_cuts
from scripts.measure_power_cuts import main, read_and_kill

TINY_BUNDLE = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


def test_readings_are_killed_and_come_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure_power_cuts, "FIELDS", 2)
    done = CliRunner().invoke(main, ["--kills", "2", "--bundle", str(TINY_BUNDLE)])
    assert done.exit_code == 0, done.output
    assert "each equal to one that was never killed" in done.stdout


def test_a_field_that_was_told_and_is_not_there_is_told(tmp_path: Path) -> None:
    line = [sys.executable, "-c", "import sys; print('field 1 (a): 3 uninfected', file=sys.stderr)"]
    with pytest.raises(CheckFailedError, match=r"fields \[1\] were told and are lost; the record holds \[\]"):
        read_and_kill(line, tmp_path, 60, [])


def test_a_reading_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match=r"ended with exit code 1: .*no such thing"):
        read_and_kill([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path, 60, [])
