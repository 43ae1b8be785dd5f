"""A type checker sees the public names of the runtime, and no other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

USE = """
from pathlib import Path

from edge_runtime import (
    CellScore, Classifier, SkippedFrame, SlideSummary, default_bundle, open_bundle, read_slide, score_images
)


def rejected(crops: str, bundle: Path) -> list[str]:
    classifier = Classifier.open(open_bundle(bundle))
    found = (cell for cell in score_images(crops, classifier) if isinstance(cell, CellScore))
    return [cell.path for cell in found if cell.rejected]


def read(folder: Path) -> SlideSummary:
    classifier = Classifier.open(default_bundle(), provider="cpu", threads=1)
    return read_slide(folder, classifier, "S-1", "out", limit=2)


def name(skipped: SkippedFrame) -> str:
    return skipped.name
"""


def mypy(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy", reason="mypy is not installed: make install")
    file = folder / "use.py"
    file.write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_type_checker_accepts_what_is_public(tmp_path: Path) -> None:
    done = mypy(USE, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("from edge_runtime import Clasifier", "attr-defined"),
        ("from edge_runtime import import_module", "does not explicitly export"),
        ("import edge_runtime\nedge_runtime.open_bundle(3)", "arg-type"),
    ],
)
def test_a_type_checker_refuses_what_is_not(tmp_path: Path, line: str, told: str) -> None:
    done = mypy(line, tmp_path)
    assert done.returncode == 1
    assert told in done.stdout
