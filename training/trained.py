"""The trained detector: what a fitted and calibrated run has made, for export and evaluation to work with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.decision.decide import Decisions
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from training.calibration_file import Calibration, load_calibration
from training.networks import Network
from training.reference import FeatureModel, reference_decisions, reference_evidence
from training.run import RunInfo, load_model, load_run


@dataclass(frozen=True)
class TrainedDetector:
    """A finished run, ready to decide.

    Attributes:
        info: run.json; it says what the network is fed.
        model: the network and the statistics of its features.
        calibration: calibration.json; it holds the detector.
    """

    info: RunInfo
    model: FeatureModel
    calibration: Calibration

    @property
    def network(self) -> Network:
        """The network, in evaluation mode."""
        return self.model.network

    @property
    def detector(self) -> Detector:
        """Layer weights, epsilon and limits."""
        return self.calibration.detector

    def decide(self, crops: NDArray[np.uint8]) -> Decisions:
        """What the device must decide, by the PyTorch reference: crops uint8 [N, size, size, 3] RGB."""
        return reference_decisions(self.model, self.detector, crops)

    def evidence(self, crops: NDArray[np.uint8]) -> Evidence:
        """What that decision is made of: crops uint8 [N, size, size, 3] RGB."""
        return reference_evidence(self.model, crops, self.detector.epsilon)


def load_trained(folder: Path, device: torch.device | None = None) -> TrainedDetector:
    """Read a finished run folder.

    Args:
        folder: the run folder.
        device: where the network computes, as `distributed.device()` says; the CPU if None, where export
            must trace it.

    Raises:
        SourceError: a step is missing; the message names the command that makes it.
    """
    info = load_run(folder)
    return TrainedDetector(info, load_model(folder, info, device), load_calibration(folder))
