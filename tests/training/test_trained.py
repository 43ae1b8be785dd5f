"""The trained detector of a run folder decides by its own parts, and says which of them is missing."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.decision.decide import decide
from edge_runtime.errors import SourceError
from training.calibration_file import load_calibration
from training.cells.source import CellSet
from training.reference import reference_evidence
from training.run import load_run
from training.trained import load_trained


@pytest.mark.slow
def test_it_is_what_the_run_folder_holds(calibrated: Path) -> None:
    found = load_trained(calibrated)
    assert found.info == load_run(calibrated)
    assert found.calibration == load_calibration(calibrated)
    assert found.detector == found.calibration.detector
    assert not found.network.training
    assert found.info.layers == found.network.layers == tuple(found.model.gaussians)
    assert found.model.parameter.device.type == "cpu"


@pytest.mark.slow
def test_it_decides_by_its_evidence_at_its_own_epsilon(run: Path, cells: CellSet) -> None:
    found, crops = load_trained(run), np.ascontiguousarray(cells.images[:70])  # more than a block
    evidence = found.evidence(crops)
    expected = reference_evidence(found.model, crops, found.detector.epsilon)
    np.testing.assert_array_equal(evidence.confidences, expected.confidences)
    decided, again = found.decide(crops), decide(found.detector, evidence)
    np.testing.assert_array_equal(decided.values, again.values)
    np.testing.assert_array_equal(decided.rejected, again.rejected)
    assert len(decided) == 70


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("run.json", "make one with fit"),
        ("weights.pt", "go on with fit --resume"),
        ("gaussians.npz", "run fit again with --resume"),
        ("calibration.json", "run 'python -m training calibrate"),
    ],
)
def test_a_missing_part_is_named_with_the_command_that_makes_it(
    calibrated: Path, tmp_path: Path, name: str, told: str
) -> None:
    copied = Path(shutil.copytree(calibrated, tmp_path / "run"))
    (copied / name).unlink()
    with pytest.raises(SourceError, match=told) as caught:
        load_trained(copied)
    assert name in str(caught.value)
