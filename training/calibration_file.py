"""calibration.json: what calibration fitted, and on what."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edge_runtime.bundle.strict import MisfitError, read_strictly
from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.errors import SourceError
from edge_runtime.storage import write_whole
from training.run import CALIBRATION, read_json

Mode = Literal["none", "known"]
_SCHEMA = 9


@dataclass(frozen=True)
class Calibration:
    """The content of calibration.json.

    Attributes:
        detector: what the device decides by.
        mode: "none" (no anomaly was known) or "known" (logistic regression against one, as in the paper).
        anomaly: what the known anomaly was, or "".
        alpha: share of in-distribution cells that all tests together were set to reject.
        fusion_cells: in-distribution cells that fitted the weights.
        anomaly_cells: anomalies that fitted the weights.
        threshold_cells: in-distribution cells that set the thresholds, seen by no network that measured them.
        correlation: of rejection among the validation cells of one patient (see `edge_runtime.group`).
        how: how epsilon, weights and thresholds were chosen, in words.
        auroc: of the fused score against the known anomaly, on the cells it was fitted on; None without one.
        schema: version of this file.
    """

    detector: Detector
    mode: Mode
    anomaly: str
    alpha: float
    fusion_cells: int
    anomaly_cells: int
    threshold_cells: int
    correlation: float
    how: str
    auroc: float | None
    schema: int = _SCHEMA


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write calibration.json."""
    write_whole(folder / CALIBRATION, json.dumps(asdict(calibration), indent=2) + "\n")


def load_calibration(folder: Path) -> Calibration:
    """Read calibration.json.

    Raises:
        SourceError: absent, unreadable, of another version or of other tests than those of the table.
    """
    path = folder / CALIBRATION
    raw = read_json(path, f"{path}: missing; run 'python -m training calibrate --run {folder}'")
    other = "written by another version of cellgate; calibrate again"
    if not isinstance(raw, dict) or raw.get("schema") != _SCHEMA:
        raise SourceError(f"{path}: {other}")
    try:
        found: Calibration = read_strictly(Calibration, raw, str(path))
    except MisfitError as error:
        raise SourceError(f"{error}; {other}") from error
    limits, tests = set(found.detector.limits), {test.name for test in table.TESTS}
    if limits != tests:
        raise SourceError(
            f"{path}: limits of {sorted(limits)}, but this cellgate tests {sorted(tests)}; calibrate again"
        )
    return found
