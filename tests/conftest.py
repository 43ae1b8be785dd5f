"""A tiny run on simulated cells and its bundle, made once for the tests of export and of parity.

Imports stand inside the fixtures: the tests of edge_runtime run where there is no torch.
"""

from pathlib import Path

import pytest
from hypothesis import settings

EPSILON = 0.002

# An example's wall time says how busy the machine is, and nothing of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def cell_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 130 simulated cells of two patients, as a folder in the layout of the official archive."""
    from training.cells.simulated import Simulation, cells

    folder = tmp_path_factory.mktemp("cells") / "cell_images"
    for cell in cells(Simulation(slides=2, fields=1, seed=500)):
        file = folder / cell.name.replace("/S", "/C1P")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cell.read())
    return folder


@pytest.fixture(scope="session")
def cell_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cell-cache")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, cell_folder: Path, cell_cache: Path) -> Path:
    """A run of the edge network, fitted for an epoch and calibrated. Not to be changed: copy it."""
    from training.calibration import calibrate_run
    from training.cells.source import CellSource
    from training.fitting import fit
    from training.run import RunConfig

    folder = tmp_path_factory.mktemp("runs") / "run"
    config = RunConfig(
        (str(cell_folder),), "edge", "image", seed=0, epochs=1, batch_size=32, learning_rate=0.02
    )
    fit(config, folder, cache=cell_cache)
    calibrate_run(folder, CellSource(cache=cell_cache), epsilon=EPSILON, alpha=0.2)
    return folder


@pytest.fixture(scope="session")
def bundle_folder(run_folder: Path, cell_cache: Path) -> Path:
    """The bundle of that run, with four reference inputs. Not to be changed: copy it."""
    from export.sealing import seal_bundle
    from training.cells.source import CellSource
    from training.handover import hand_over

    made = hand_over(run_folder, CellSource(cache=cell_cache), reference_cells=4)
    return seal_bundle(made, run_folder.with_name("bundle")).path
