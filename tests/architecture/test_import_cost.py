"""The runtime starts about as fast as the libraries it cannot do without."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
RUNS = 5
ROUNDS = 3  # on a busy machine one may go wrong
MOST = 1.4  # times the bare libraries; 1.2 on a quiet machine

# Of the processor, not of the clock: what else runs on the machine does not count.
TIMED = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


def seconds(modules: str, compiled: Path) -> float:
    """Import in a process of its own, with byte code compiled before, as it is where a wheel is installed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(modules)],
        cwd=ROOT,
        env=environment | {"PYTHONPYCACHEPREFIX": str(compiled)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def least_ratio(ours: str, bare: str, compiled: Path) -> float:
    """How many times as long one import takes as another; of several rounds the least."""
    for modules in (bare, ours):
        seconds(modules, compiled)  # compiles
    ratios: list[float] = []
    while len(ratios) < ROUNDS and min(ratios, default=np.inf) > MOST:
        times = [[seconds(modules, compiled) for modules in (bare, ours)] for _ in range(RUNS)]
        theirs, own = np.median(times, axis=0)
        ratios.append(own / theirs)
    return min(ratios)


def test_importing_the_command_line_costs_little_more_than_its_libraries(tmp_path: Path) -> None:
    assert least_ratio("edge_runtime.cli", "numpy, cv2, onnxruntime, click", tmp_path) <= MOST


def test_what_reads_a_slide_from_python_costs_little_more_than_its_libraries(tmp_path: Path) -> None:
    ours = "edge_runtime; from edge_runtime import Classifier, open_bundle, read_slide, score_images"
    assert least_ratio(ours, "numpy, cv2, onnxruntime, jinja2, sqlite3", tmp_path) <= MOST


def test_importing_the_package_alone_is_nearly_free(tmp_path: Path) -> None:
    """It has no library of its own: Python's `typing` and `importlib` are all that it loads."""
    for modules in ("edge_runtime", "numpy"):
        seconds(modules, tmp_path)
    ours, numpys = np.median(
        [[seconds(m, tmp_path) for m in ("edge_runtime", "numpy")] for _ in range(RUNS)], 0
    )
    assert ours < 0.2 * numpys
