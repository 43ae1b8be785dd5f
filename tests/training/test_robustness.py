"""Changes of light keep the mask and do what their names say; OOD images are counted by kind."""

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.cells.source import CellSet, CellSource
from training.robustness import changed, measure_changes, measure_ood
from training.run import load_run


def test_changes_do_what_they_say_and_keep_the_background_black(cells: CellSet) -> None:
    crops = np.ascontiguousarray(cells.images[:4])
    found = changed(crops)
    outside = ~crops.any(axis=3)
    for name, after in found.items():
        assert (after.shape, after.dtype) == (crops.shape, np.uint8), name
        assert not after[outside].any(), name
        assert (after != crops).any(), name
    inside = crops.any(axis=3)
    ratio = found["30 % dimmer light"][inside].mean() / crops[inside].mean()
    assert ratio == pytest.approx(0.7, abs=0.01)
    warm, before = found["warm cast"][inside].mean(axis=0), crops[inside].mean(axis=0)
    assert (warm / before) == pytest.approx([1.0, 0.93, 0.8], abs=0.02)


@pytest.mark.slow
def test_changes_are_measured_and_noted(calibrated: Path, tmp_path: Path, cache: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(calibrated, run)
    found = measure_changes(run, CellSource(cache=cache))
    noted = load_run(run).metrics["changes"]
    assert noted.keys() == found.keys()
    for name, change in found.items():
        assert change.cells == load_run(run).counts["test"]
        assert 0 <= change.accepted <= 1
        assert noted[name]["accepted"] == change.accepted


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
