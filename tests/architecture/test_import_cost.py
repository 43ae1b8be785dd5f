"""A command of the device starts about as fast as the libraries it cannot do without."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
RUNS = 5
ROUNDS = 3  # on a busy machine one may go wrong
MOST = 1.3  # times the bare libraries

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


def test_importing_the_command_line_costs_little_more_than_its_libraries(tmp_path: Path) -> None:
    candidates = ("numpy, cv2, onnxruntime, click", "edge_runtime.cli")
    for modules in candidates:
        seconds(modules, tmp_path)  # compiles
    ratios: list[float] = []
    while len(ratios) < ROUNDS and min(ratios, default=np.inf) > MOST:
        times = [[seconds(modules, tmp_path) for modules in candidates] for _ in range(RUNS)]
        bare, ours = np.median(times, axis=0)
        ratios.append(ours / bare)
    assert min(ratios) <= MOST, f"times the bare libraries, round by round: {np.round(ratios, 2)}"
