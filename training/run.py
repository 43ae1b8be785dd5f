"""The run folder, which hands a trained detector from training to export. Plain files, no pickle.

`run.json` (configuration, split, metrics), `weights.pt` (state dict), `gaussians.npz`, `calibration.json`;
while training goes on also `checkpoint.pt`.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from edge_runtime.bundle.strict import MisfitError, read_strictly
from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import SourceError
from edge_runtime.storage import whole_file, write_whole
from training.augmentation import Augmentation
from training.cells.source import CellSet, CellSource
from training.cells.splits import THIRTY, Split, SplitBy, split_cells
from training.gaussians import LayerGaussian, load_gaussians
from training.networks import Network, build_network
from training.reference import FeatureModel

RUN_FILE, WEIGHTS, GAUSSIANS, CALIBRATION, CHECKPOINT = (
    "run.json",
    "weights.pt",
    "gaussians.npz",
    "calibration.json",
    "checkpoint.pt",
)
SCHEMA = 2

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run makes.

    Attributes:
        cells: sources of the cells (see `CellSource.where`).
        network: one of `networks.NETWORKS`.
        split: "image" or "patient".
        seed: of the split, the weights, the order of cells and the augmentation.
        epochs: passes over the training cells.
        batch_size: cells per step, over all processes.
        learning_rate: the peak of the one-cycle schedule.
        pretrained: file of weights to start from, or None.
        precision: of the forward and backward pass; weights are float32 always. Processors with bfloat16
            (AVX512-BF16, AMX, GPUs) train in about half the time with it, others more slowly.
        augmentation: "microscope", "harsh", or "paper" without light, stain, focus and segmentation.
        reread: CSV of a second reading's labels, or None.
        parasitized: the classes that count as parasitized.
        test: which cells test (see `splits.split_cells`).
        healthy_weight: what a cell of a patient without a parasite weighs in the loss; all others weigh 1.
        overlays: share of the cells without a parasite on which platelets and specks are laid (`overlays`).
        patients: see `CellSource.patients`.
        patience: epochs without a better validation accuracy after which training stops, and keeps the
            weights of the best one; None to train to the end and keep the last weights.
    """

    cells: tuple[str, ...]
    network: str
    split: SplitBy
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    pretrained: str | None = None
    precision: Precision = "float32"
    augmentation: Augmentation = "microscope"
    reread: str | None = None
    parasitized: tuple[str, ...] = ()
    test: str = THIRTY
    healthy_weight: float = 1.0
    overlays: float = 0.0
    patients: str | None = None
    patience: int | None = None

    def source(self, cache: Path | None = None) -> CellSource:
        """Where the cells are and what is said of them, as a source."""
        reread = Path(self.reread) if self.reread else None
        return CellSource(self.cells, cache, reread, self.parasitized, self.patients)


@dataclass(frozen=True)
class RunInfo:
    """The content of run.json.

    Attributes:
        config: what was asked for.
        input: what the network is fed.
        classes: names of the logits, in order.
        parasitized: those of them that count as parasitized.
        layers: names of the feature layers, in order.
        cells_digest: sha256 over the cells.
        labels_digest: sha256 over what was said of them (see `CellSet.labels_digest`).
        split_digest: sha256 over the split.
        counts: cells per part of the split.
        git_commit: of the code, or "unknown".
        torch: version that trained.
        metrics: figures by name, as they come to be known.
        schema: version of this file.
    """

    config: RunConfig
    input: InputSpec
    classes: tuple[str, ...]
    parasitized: tuple[str, ...]
    layers: tuple[str, ...]
    cells_digest: str
    labels_digest: str
    split_digest: str
    counts: Mapping[str, int]
    git_commit: str
    torch: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA


def new_run(config: RunConfig, cells: CellSet, split: Split, layers: tuple[str, ...]) -> RunInfo:
    """Describe a run that is about to start."""
    counts = {part: len(getattr(split, part)) for part in ("train", "validation", "test")}
    return RunInfo(
        config=config,
        input=InputSpec(),
        classes=cells.classes,
        parasitized=cells.parasitized,
        layers=layers,
        cells_digest=cells.digest,
        labels_digest=cells.labels_digest,
        split_digest=split.digest,
        counts=counts,
        git_commit=_git_commit(),
        torch=torch.__version__,
    )


def save_run(folder: Path, info: RunInfo) -> None:
    """Write run.json, whole or not at all."""
    write_whole(folder / RUN_FILE, json.dumps(asdict(info), indent=2) + "\n")


def load_run(folder: Path) -> RunInfo:
    """Read run.json.

    Raises:
        SourceError: absent, unreadable, of another schema, a key missing or unknown, or a value of the wrong
            type.
    """
    path = folder / RUN_FILE
    raw = read_json(path, f"{folder}: no run folder ({RUN_FILE} is missing); make one with fit")
    other = "written by another version of cellgate; fit again"
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise SourceError(f"{path}: {other}")
    try:
        return read_strictly(RunInfo, raw, str(path))
    except MisfitError as error:
        raise SourceError(f"{error}; {other}") from error


def read_json(path: Path, missing: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read one of a run's JSON files.

    Args:
        path: of the file.
        missing: what to tell where it is not there.

    Raises:
        SourceError: absent, or unreadable.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise SourceError(missing) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from error


def add_metrics(folder: Path, **metrics: object) -> None:
    """Add figures to run.json, replacing those of the same name."""
    info = load_run(folder)
    save_run(folder, replace(info, metrics={**info.metrics, **metrics}))


def load_network(folder: Path, info: RunInfo, device: torch.device | None = None) -> Network:
    """The trained network of a run, in evaluation mode.

    Args:
        folder: the run folder.
        info: its run.json.
        device: where to, as `distributed.device()` says; the CPU if None, where export must trace it.

    Raises:
        SourceError: no weights yet, damaged ones, or those of another network.
    """
    path = folder / WEIGHTS
    network = build_network(info.config.network, len(info.classes))
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError as error:
        raise SourceError(f"{path}: training has not ended; go on with fit --resume") from error
    except Exception as error:  # torch raises half a dozen unrelated types here
        raise SourceError(
            f"{path}: damaged, or not the weights of {info.config.network}; fit again"
        ) from error
    return network.eval().to(device or "cpu")


def load_model(folder: Path, info: RunInfo, device: torch.device | None = None) -> FeatureModel:
    """The trained network of a run with the statistics of its features (see `load_network`).

    Raises:
        SourceError: one of the two is absent or damaged.
    """
    return FeatureModel(load_network(folder, info, device), load_statistics(folder))


def load_statistics(folder: Path) -> dict[str, LayerGaussian]:
    """The Gaussian statistics of a run, per layer in order."""
    return load_gaussians(folder / GAUSSIANS)


def load_split(info: RunInfo, source: CellSource) -> tuple[CellSet, Split]:
    """The cells of a run and their split, checked against the hashes in run.json.

    Args:
        info: the run.
        source: where the same cells are now, if they were moved.

    Raises:
        SourceError: the cells or the split are no longer the same.
    """
    cells = source.or_else(info.config.source()).load(info.input)
    split = make_split(info.config, cells)
    if cells.digest != info.cells_digest or split.digest != info.split_digest:
        raise SourceError(f"{cells.source}: not the cells this run was trained on; give the same archive")
    if cells.labels_digest != info.labels_digest:
        raise SourceError(
            f"{cells.source}: the labels are not those this run was trained on; give the same lists of "
            f"labels and the same second reading ({info.config.reread or 'none'})"
        )
    return cells, split


def make_split(config: RunConfig, cells: CellSet) -> Split:
    """Split the cells as the configuration says.

    Cells on which two readings disagree fit nothing, but for those of healthy patients: whatever was seen in
    them, it was no parasite, and what was taken for one is the best example of what is none.
    """
    split = split_cells(
        cells.names,
        cells.labels,
        cells.patients,
        by=config.split,
        seed=config.seed,
        test=config.test,
        kinds=np.where(cells.healthy, len(cells.classes), cells.labels),
    )
    return split.trusting(cells.agreed | cells.healthy)


def save_weights(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of tensors, whole or not at all."""
    with whole_file(path) as file:
        torch.save(content, file)


def parameter_count(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in network.parameters())


def _git_commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - whichever git is there
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
