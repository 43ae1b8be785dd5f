"""Everyday corruptions are those of the microscope; OOD images are counted by kind."""

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.simulator.corruptions import CORRUPTIONS, corrupt_by
from training.cells.source import CellSet, CellSource
from training.robustness import EVERYDAY, measure_corruptions, measure_ood
from training.run import load_run


def test_everyday_corruptions_are_mild_ones_of_the_microscope(cells: CellSet) -> None:
    crops = np.ascontiguousarray(cells.images[:4])
    for name, (corruption, strength) in EVERYDAY.items():
        made = corrupt_by(crops, corruption, strength)
        assert (made != crops).any(), name
        np.testing.assert_array_equal(made.any(axis=3), crops.any(axis=3))
        assert 0 < strength <= CORRUPTIONS[corruption].strengths[2], name
    inside = crops.any(axis=3)
    dim, warm = (corrupt_by(crops, *EVERYDAY[name]) for name in ("30 % dimmer light", "warm cast"))
    assert dim[inside].mean() / crops[inside].mean() == pytest.approx(0.7, abs=0.01)
    warmth = warm[inside].mean(axis=0) / crops[inside].mean(axis=0)
    assert warmth == pytest.approx([1.0, 0.93, 0.8], abs=0.02)


@pytest.mark.slow
def test_corruptions_are_measured_and_noted(calibrated: Path, tmp_path: Path, cache: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(calibrated, run)
    found = measure_corruptions(run, CellSource(cache=cache))
    noted = load_run(run).metrics["corruptions"]
    assert noted.keys() == found.keys() == EVERYDAY.keys()
    for name, figures in found.items():
        assert figures.cells == load_run(run).counts["test"]
        assert 0 <= figures.accepted <= 1
        assert noted[name]["accepted"] == figures.accepted


@pytest.mark.slow
def test_ood_images_are_counted_by_folder(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(calibrated, run)
    noise = np.random.default_rng(0).integers(0, 256, (5, 60, 60, 3), np.uint8)
    archive = tmp_path / "others.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number, image in enumerate(noise):
            folder = "set/noise" if number < 3 else "set/more"
            packed.writestr(f"{folder}/{number}.png", cv2.imencode(".png", image)[1].tobytes())
        packed.writestr("set/more/grey.png", cv2.imencode(".png", noise[0, ..., 0])[1].tobytes())
    found = measure_ood(run, str(archive))
    assert {kind: (of.images, of.refused) for kind, of in found.items()} == {
        "set/more": (2, 1),
        "set/noise": (3, 0),
    }
    assert "skipped: set/more/grey.png: a grey image; " in capsys.readouterr().err
    # Noise without any cell is as far from the training cells as can be.
    assert [of.rejected for of in found.values()] == [1.0, 1.0]
    assert json.loads((run / "run.json").read_text())["metrics"]["ood"]["set/noise"]["images"] == 3
