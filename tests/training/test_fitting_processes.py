"""Two processes under torchrun: the same weights on both, the statistics of one, and a good end."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_runtime.errors import SourceError
from training import distributed
from training.cells.source import CellSource
from training.fitting import fit, resume
from training.run import RunConfig, load_run, load_statistics, save_run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# What the command `fit` does, and then every process tells what it holds.
FIT_AND_TELL = """
import hashlib, json, sys
from pathlib import Path
import torch
from training import distributed, fitting
from training.run import RunConfig, load_network

def digest(tensors):
    return hashlib.sha256(b"".join(t.detach().contiguous().numpy().tobytes() for t in tensors)).hexdigest()

start, states = fitting._start, []

def start_and_keep(*arguments):
    states.append(start(*arguments))
    return states[-1]

fitting._start = start_and_keep
config, folder, cache = RunConfig(**eval(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
with distributed.processes():
    info = fitting.fit(config, folder, cache=cache)
    network = states[0].network
    told = {
        "processes": distributed.world_size(),
        "parameters": digest(network.parameters()),
        "running": digest([network.bn1.running_mean]),
        "stored": digest(load_network(folder, info).state_dict().values()),
        "metrics": dict(info.metrics),
    }
    Path(f"{folder}.{distributed.rank()}.json").write_text(json.dumps(told))
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script or module in two processes of one thread each."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, config: RunConfig, cache: Path, fitted: Path) -> Path:
    """A run fitted by two processes; beside it what each of them told at its end."""
    assert fitted.exists()  # so the cache is filled
    folder = tmp_path_factory.mktemp("shared")
    (folder / "script.py").write_text(FIT_AND_TELL)
    settings = repr(asdict(replace(config, epochs=1)))
    done = torchrun(str(folder / "script.py"), settings, str(folder / "run"), str(cache))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def told(shared: Path) -> list[dict[str, Any]]:
    return [json.loads(Path(f"{shared}.{rank}.json").read_text()) for rank in (0, 1)]


def test_both_processes_end_with_the_same_weights(shared: Path) -> None:
    first, second = told(shared)
    assert first["processes"] == second["processes"] == 2
    assert first["parameters"] == second["parameters"]
    assert first["stored"] == second["stored"]
    assert first["metrics"] == second["metrics"]
    # Otherwise both saw the same cells: each normalises by its own share of a batch.
    assert first["running"] != second["running"]


def test_both_processes_work_and_one_writes(shared: Path) -> None:
    assert sorted(file.name for file in shared.iterdir()) == [
        "gaussians.npz",
        "history.csv",
        "run.json",
        "weights.pt",
    ]
    assert load_run(shared).metrics["processes"] == 2


def without_statistics(run: Path, copy: Path) -> Path:
    shutil.copytree(run, copy)
    (copy / "gaussians.npz").unlink()
    save_run(copy, replace(load_run(copy), metrics={}))
    return copy


def test_one_process_estimates_the_same_statistics(shared: Path, tmp_path: Path, cache: Path) -> None:
    alone = without_statistics(shared, tmp_path / "alone")
    resume(alone, CellSource(cache=cache))
    expected = load_statistics(alone)
    for name, found in load_statistics(shared).items():
        assert np.array_equal(found.counts, expected[name].counts)
        assert np.allclose(found.means, expected[name].means, rtol=1e-6, atol=0)
        scale = np.abs(expected[name].whitening).max()
        assert np.allclose(found.whitening, expected[name].whitening, rtol=0, atol=1e-6 * scale)
        assert found.shrinkage == pytest.approx(expected[name].shrinkage, rel=1e-6)
    assert load_run(alone).metrics["validation_accuracy"] == told(shared)[0]["metrics"]["validation_accuracy"]


def test_command_resumes_under_torchrun(fitted: Path, tmp_path: Path, cache: Path) -> None:
    run = without_statistics(fitted, tmp_path / "run")
    done = torchrun("-m", "--", "training", "fit", "--resume", "--run", str(run), "--cache", str(cache))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr.replace("OMP_NUM_THREADS", "")
    # Printed once, not by each process.
    assert json.loads(done.stdout)["shrinkage"] == load_run(run).metrics["shrinkage"]
    for name, found in load_statistics(run).items():
        assert np.allclose(found.means, load_statistics(fitted)[name].means, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("processes", "batch_size"), [(3, 64), (8, 64)])
def test_more_processes_than_can_share_are_refused(
    config: RunConfig,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    batch_size: int,
) -> None:
    # 3 do not divide 64; 8 do, but about 250 training cells are only 4 blocks.
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    with pytest.raises(
        SourceError, match=rf"{processes} processes cannot share batches of 64 of 2\d\d cells"
    ):
        fit(replace(config, batch_size=batch_size), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


def test_refusal_ends_both_processes(tmp_path: Path) -> None:
    cells, run = str(tmp_path / "none.zip"), str(tmp_path / "run")
    done = torchrun("-m", "--", "training", "fit", "--cells", cells, "--run", run)
    assert done.returncode == 1
    assert f"error: {tmp_path}/none.zip: no such file or folder" in done.stderr
    assert "[rank1]" not in done.stderr  # how torch begins the traceback of a process that fails beside it


def test_alone_there_is_nobody_to_wait_for() -> None:
    with distributed.processes():
        distributed.wait()
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
        assert distributed.summed(torch.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
