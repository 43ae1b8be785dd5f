"""From image bytes to decisions: what the device says of a cell is what the PyTorch reference says of it."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detectors import any_limits
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import open_bundle
from edge_runtime.bundle.scoring import CellScore, score_images
from edge_runtime.cells.preprocessing import InputSpec, resize_crop
from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.sources.decoding import decode_image
from training.cells.folders import list_folders
from training.cells.listing import CellFile
from training.cells.source import CellSource
from training.trained import load_trained

pytestmark = pytest.mark.slow

NIH = Path(__file__).parents[2].parent / "shared" / "data" / "nih-cells.zip"
BORDER = 5e-3  # of the score: two float32 implementations may fall on either side of the threshold


def resized(files: list[CellFile]) -> NDArray[np.uint8]:
    return np.stack([resize_crop(decode_image(file.read(), file.name), 125) for file in files])


def zipped(files: list[CellFile], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.writestr(f"cell_images/{file.name}", file.read())
    return path


def by_device(archive: Path, bundle: Path, threshold: float | None = None) -> dict[str, CellScore]:
    """Decisions by the name of the file."""
    opened = open_bundle(bundle)
    if threshold is not None:
        detector = replace(opened.manifest.detector, limits=only_confidence(threshold))
        opened = replace(opened, manifest=replace(opened.manifest, detector=detector))
    told = list(score_images(archive, Classifier.open(opened)))
    assert all(isinstance(score, CellScore) for score in told)
    return {Path(score.path).name: score for score in told if isinstance(score, CellScore)}


def only_confidence(limit: float) -> dict[str, float]:
    """Limits that every cell keeps to, but for the confidence."""
    return any_limits() | {table.CONFIDENCE: limit}


def by_reference(files: list[CellFile], run: Path) -> Decisions:
    return load_trained(run).decide(resized(files))


def assert_same(device: dict[str, CellScore], files: list[CellFile], reference: Decisions) -> None:
    """Cell by cell; both answers and both classes of images occur."""
    assert len(device) == len(files)
    for index, file in enumerate(files):
        score = device[Path(file.name).name]
        np.testing.assert_allclose(list(score.confidences.values()), reference.confidences[index], rtol=5e-3)
        np.testing.assert_allclose(
            list(score.probabilities.values()), reference.probabilities[index], atol=1e-4
        )
        expected = reference.values_of(index)
        assert list(score.values) == list(expected)
        np.testing.assert_allclose(
            list(score.values.values()), list(expected.values()), rtol=BORDER, atol=BORDER
        )
        assert list(score.limits.values()) == reference.limits.tolist()
        assert score.label == ("uninfected", "parasitized")[reference.label[index]]
        away = np.abs(reference.values[index] - reference.limits)
        if (away > BORDER * np.maximum(np.abs(reference.values[index]), 1)).all():
            assert score.rejected == reference.rejected[index], file.name
            assert score.reasons == reference.reasons(index), file.name
    assert {file.label for file in files} == {"uninfected", "parasitized"}
    assert {score.rejected for score in device.values()} == {False, True}


def test_of_simulated_cells(cell_folder: Path, run_folder: Path, bundle_folder: Path, tmp_path: Path) -> None:
    files = list(list_folders(cell_folder).files)[::3]
    device = by_device(zipped(files, tmp_path / "cells.zip"), bundle_folder)
    assert_same(device, files, by_reference(files, run_folder))


def test_training_sees_the_very_pixels_that_the_device_sees(cell_folder: Path, cell_cache: Path) -> None:
    cells = CellSource((str(cell_folder),), cell_cache).load(InputSpec())
    files = {file.name: file for file in list_folders(cell_folder).files}
    np.testing.assert_array_equal(cells.images, resized([files[name] for name in cells.names]))


@pytest.mark.real
@pytest.mark.skipif(not NIH.exists(), reason=f"{NIH} is not there")
def test_of_real_cells(run_folder: Path, bundle_folder: Path, tmp_path: Path) -> None:
    """Sixty crops of the NIH archive, through a network that never saw one: any weights must agree."""
    every = list(list_folders(NIH).files)
    files = [every[i] for i in np.linspace(0, len(every) - 1, 60).astype(int)]
    # All of them are far from the simulated cells it was calibrated on: a threshold among them says more.
    reference = by_reference(files, run_folder)
    threshold = float(np.median(reference.value(table.CONFIDENCE)))
    device = by_device(zipped(files, tmp_path / "cells.zip"), bundle_folder, threshold)
    limits = only_confidence(threshold)
    assert_same(
        device, files, replace(reference, limits=np.array([limits[test.name] for test in table.TESTS]))
    )
