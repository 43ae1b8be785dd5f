"""Makes tests/edge_runtime/tiny-bundle, the bundle with which the runtime is tested where there is no torch.

    python -m tests.make_tiny_bundle

A real bundle in small: a ResNet of a few channels, trained for a minute on 64x64 cells of the simulator,
with real statistics, calibration, gradients and reference vectors. Run it again, and commit what it makes,
when the schema of the manifest, the names or meaning of the graph's outputs, the preprocessing or the
simulator's looks have changed.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge_runtime.cells.preprocessing import InputSpec
from export.sealing import seal_bundle
from training.augmentation import Strength, augment, draw
from training.calibration import calibrate
from training.cells.simulated import Simulation
from training.cells.source import CellSet, CellSource
from training.cells.splits import Split, calibration_halves
from training.gaussians import Moments, fit_gaussian, relative_activations
from training.handover import performance_of, refer
from training.networks import ResNet
from training.reference import FeatureModel
from training.run import RunConfig, make_split, new_run
from training.statistics import as_images, predict
from training.testing import CellFigures, measure
from training.trained import TrainedDetector

OUT = Path(__file__).parent / "edge_runtime" / "tiny-bundle"
WIDTHS = (4, 8, 12, 16)
SIZE = 64  # pixels; a quarter of the work and of the reference vectors' bytes
ALPHA = 0.2  # so few channels tell less apart: strict enough that the simulator's platelets are rejected
# Less than a real network learns to bear, for the same reason.
LIGHT = Strength(gain=(0.6, 1.15))
EPSILON = 0.002  # half a grey level: small enough that the rejection works, and eq. 3 is computed
REFERENCE_CELLS = 4
CONFIG = RunConfig(
    cells=(str(Simulation(slides=30, fields=1, seed=3000)),),
    network="tiny",
    split="patient",
    seed=0,
    epochs=30,
    batch_size=64,
    learning_rate=0.01,
)


def main() -> None:
    """Train, export, compare and seal."""
    torch.set_num_threads(1)  # sums in one order: the same bundle on every machine of a kind
    torch.manual_seed(CONFIG.seed)
    with TemporaryDirectory() as cache:
        trained, cells, split = _train(Path(cache))
    images = np.ascontiguousarray(cells.images[split.test[_alternating(cells.labels[split.test])]])
    made = refer(trained, performance_of(trained.info, _figures(trained, cells, split)), images)
    shutil.rmtree(OUT, ignore_errors=True)
    bundle = seal_bundle(made, OUT, perturbation="per-layer", name="tiny")
    print(*(f"{name:<34} {value:.2e}" for name, value in bundle.manifest.parity.items()), sep="\n")
    print(bundle.title, f"{sum(f.stat().st_size for f in OUT.iterdir()) / 1000:.0f} kB")


def _train(cache: Path) -> tuple[TrainedDetector, CellSet, Split]:
    cells = CellSource(CONFIG.cells, cache).load(InputSpec(size=SIZE))
    split = make_split(CONFIG, cells)
    network = ResNet(WIDTHS, 2)
    _fit(network, cells, split)
    # Of the cells as they are: those of augmented ones are too wide for so few channels to reject by.
    _, features = predict(network, cells, split.train)
    labels = cells.labels[split.train]
    gaussians = {
        layer: fit_gaussian(Moments.of(relative_activations(found), labels, 2), layer, relative=True)
        for layer, found in zip(network.layers, features, strict=True)
    }
    halves = calibration_halves(split.validation, cells.labels, seed=CONFIG.seed)
    model = FeatureModel(network, gaussians)
    calibration = calibrate(model, cells, halves, split.train, epsilon=EPSILON, alpha=ALPHA)
    info = replace(new_run(CONFIG, cells, split, network.layers), input=InputSpec(size=SIZE))
    return TrainedDetector(info, model, calibration), cells, split


def _fit(network: ResNet, cells: CellSet, split: Split) -> None:
    """A training loop without what a long run needs."""
    steps = len(split.train) // CONFIG.batch_size * CONFIG.epochs
    optimiser = torch.optim.AdamW(network.parameters(), CONFIG.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, CONFIG.learning_rate, total_steps=steps + 1)
    network.train()
    for epoch in range(CONFIG.epochs):
        uniform = draw(len(cells), seed=CONFIG.seed, epoch=epoch)
        order = np.random.default_rng([CONFIG.seed, epoch]).permutation(split.train)
        for start in range(0, len(order) - CONFIG.batch_size + 1, CONFIG.batch_size):
            chosen = order[start : start + CONFIG.batch_size]
            images = augment(as_images(cells, chosen), uniform[chosen], LIGHT)
            loss = _loss(network, images, torch.from_numpy(cells.labels[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{CONFIG.epochs}  loss {loss.item():.3f}", flush=True)
    network.eval()


def _loss(network: ResNet, images: Tensor, labels: Tensor) -> Tensor:
    logits, _ = network(images)
    return F.cross_entropy(logits, labels, label_smoothing=0.05)


def _figures(trained: TrainedDetector, cells: CellSet, split: Split) -> CellFigures:
    figures = measure(trained, cells, split.test)
    found = figures.archive
    print(f"accuracy {found.accuracy:.3f}, rejected {found.rejected:.3f} of {len(split.test)} test cells")
    return figures


def _alternating(labels: np.ndarray) -> np.ndarray:
    """The first few cells of each class."""
    per_class = REFERENCE_CELLS // 2
    return np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in (0, 1)])


if __name__ == "__main__":
    main()
