"""Simulated cells, and one run that is fitted and one that is calibrated, made once for all tests."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge_runtime.cells.preprocessing import InputSpec
from training.calibration import calibrate_run
from training.cells.source import CellSet, CellSource
from training.fitting import fit
from training.run import RunConfig

SOURCE = "simulated:slides=6,fields=1"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Networks this small gain nothing from threads, and lose much on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cells(cache: Path) -> CellSet:
    """About 400 simulated cells of six slides, a good third of them parasitized."""
    return CellSource((SOURCE,), cache).load(InputSpec())


@pytest.fixture(scope="session")
def config() -> RunConfig:
    return RunConfig((SOURCE,), "edge", "image", seed=3, epochs=2, batch_size=60, learning_rate=0.05)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory, config: RunConfig, cache: Path) -> Path:
    """A run folder as `fit` leaves it. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("runs") / "fitted"
    fit(config, folder, cache=cache)
    return folder


@pytest.fixture(scope="session")
def calibrated(fitted: Path, cache: Path) -> Path:
    """The same, calibrated with no anomaly known. Not to be changed: copy it."""
    folder = fitted.with_name("calibrated")
    shutil.copytree(fitted, folder)
    calibrate_run(folder, CellSource(cache=cache))
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, config: RunConfig, cache: Path) -> Path:
    """A calibrated run that has learned enough for an attack to have something to turn. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(replace(config, epochs=8, batch_size=32), folder, cache=cache)
    calibrate_run(folder, CellSource(cache=cache))
    return folder


@pytest.fixture
def png() -> Callable[[int], bytes]:
    """Encode a small crop, a bright disc on black, another one for every number."""

    def encode(number: int) -> bytes:
        crop = np.zeros((40, 44, 3), np.uint8)
        colour = np.random.default_rng(number).integers(60, 250, 3).tolist()
        cv2.circle(crop, (22, 20), 18, colour, -1)
        return cv2.imencode(".png", crop)[1].tobytes()

    return encode
