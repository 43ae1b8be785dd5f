"""A further test of the decision is an entry in the table: calibration, manifest and model card follow."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.files import MODEL_CARD, open_bundle
from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.table import CellTest, Reason
from edge_runtime.errors import BundleError
from export.comparison import verify_bundle
from export.sealing import seal_bundle
from training.calibration import calibrate_run
from training.calibration_file import load_calibration
from training.cells.source import CellSource
from training.handover import hand_over
from training.run import load_run
from training.testing import measure_run

pytestmark = pytest.mark.slow

ODD = Reason("odd-red", "odd in its mean red")
PALE = Reason("pale-green", "too pale in green")
ALPHA = 0.2


def mean_of(channel: int, crop: np.ndarray) -> float:
    mask = np.ascontiguousarray(crop.any(axis=2)).view(np.uint8)
    return cv2.mean(crop, mask=mask)[channel]


def evenness(evidence: Evidence, _: Detector) -> np.ndarray:
    """1 where the rounded mean red of the cell is even, 0 where it is odd."""
    return np.array([float(round(mean_of(0, crop)) % 2 == 0) for crop in evidence.crops])


def green(evidence: Evidence, _: Detector) -> np.ndarray:
    return np.array([mean_of(1, crop) for crop in evidence.crops])


def test_an_invented_test_goes_the_whole_way(
    monkeypatch: pytest.MonkeyPatch, run_folder: Path, cell_cache: Path, tmp_path: Path, built_once: None
) -> None:
    invented = (
        *table.TESTS,
        CellTest("evenness", ODD, evenness, fixed=0.5, seen_by="picture"),
        CellTest("green", PALE, green, share=0.1, side="at most", seen_by="picture"),
    )
    monkeypatch.setattr(table, "TESTS", invented)
    run = Path(shutil.copytree(run_folder, tmp_path / "run"))
    source = CellSource(cache=cell_cache)
    calibrate_run(run, source, epsilon=0.002, alpha=ALPHA)

    limits = load_calibration(run).detector.limits
    assert list(limits) == [test.name for test in invented]
    assert limits["evenness"] == 0.5
    cells = source.or_else(load_run(run).config.source()).load(load_run(run).input)
    greens = green(Evidence.of_pictures(cells.images), load_calibration(run).detector)
    assert np.quantile(greens, 0.8) < limits["green"] < 256  # above most cells

    tested = measure_run(run, source)
    assert tested.archive.rejected > 0.3  # about half of all cells are odd
    bundle = seal_bundle(hand_over(run, source, reference_cells=4), tmp_path / "bundle")
    assert bundle.manifest.detector.limits == limits
    assert json.loads((bundle.path / "manifest.json").read_text())["detector"]["limits"]["evenness"] == 0.5
    card = bundle.contents[MODEL_CARD].decode()
    assert "odd-red: odd in its mean red" in card
    assert f"| green | at most {limits['green']:.4g} | pale-green: too pale in green | 10.0% |" in card
    assert {"value of evenness", "value of green"} <= set(bundle.manifest.parity)
    found = verify_bundle(run, bundle.path, load_run(run).config.cells, limit=20, batches=(7,))
    assert found.passed
    assert "batch 7: value of evenness" in {check.name for check in found.checks}


def test_a_bundle_without_the_invented_test_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, bundle_folder: Path
) -> None:
    monkeypatch.setattr(
        table, "TESTS", (*table.TESTS, CellTest("evenness", ODD, evenness, fixed=0.5, seen_by="picture"))
    )
    with pytest.raises(BundleError, match="evenness"):
        open_bundle(bundle_folder)
