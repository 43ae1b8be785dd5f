"""`verify`: does a bundle decide as its run's PyTorch reference does, from image bytes, on real cells?

Five comparisons, each with a limit that means something (the largest gradient error does not: crossing one
ReLU kink changes it at will, and PyTorch in float32 against float64 shows the same):

1. the bundle's constants and detector are those of the run;
2. logits, features and distances of the image as it is;
3. the reference's perturbed images through the graph's second pass (teacher-forced);
4. signs of the input gradient, also against PyTorch's own float32-float64 disagreement;
5. final confidences and decisions.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge_runtime.bundle import MODEL, open_bundle
from edge_runtime.classifier import Classifier, Provider
from edge_runtime.decision import decide
from edge_runtime.images import decode_image
from edge_runtime.parity import (
    EXACT_LIMIT,
    SCORE_LIMIT,
    SIGN_LIMIT,
    Check,
    all_passed,
    decision_flips,
    relative_error,
    relative_error_each,
    sign_disagreement,
)
from edge_runtime.preprocessing import resize_crop, to_input
from export.graph import Perturbation, build_graph
from export.sealing import Trained, load_trained, named_outputs
from training.archive import CellFile, list_cells
from training.reference import score_images, score_plain
from training.statistics import BLOCK, to_tensor

BATCHES = (1, 7, 64)
FLOOR_CELLS = 32  # cells on which PyTorch is compared with itself in float64, and the second pass is forced
FLOOR_FACTOR = 3.0  # how many times PyTorch's own disagreement passes
# Where calibration chose no perturbation but the graph can make one, it is still compared, at this magnitude.
PROBE_EPSILON = 0.002
CONSTANTS_LIMIT = 1e-6  # the same numbers, but for another machine's rounding when batch norm was folded


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        checks: every comparison with its limit.
        cells: number of cells compared.
        borderline: decisions that differ within the tolerance of a threshold; counted, not failed.
        provider: execution provider that ran the graph.
    """

    checks: tuple[Check, ...]
    cells: int
    borderline: int
    provider: str

    @property
    def passed(self) -> bool:
        """Whether every check keeps to its limit."""
        return all_passed(self.checks)


def verify_bundle(
    run: Path,
    bundle: Path,
    cells: Path,
    *,
    limit: int | None = None,
    provider: Provider = "cpu",
    batches: Sequence[int] = BATCHES,
) -> Verification:
    """Compare a bundle with its run.

    Args:
        run: the run folder the bundle was exported from.
        bundle: the bundle folder.
        cells: NIH archive (zip or folder); its image bytes are read anew, no cache is used.
        limit: at most so many cells, spread evenly over the archive; None for all.
        provider: where to run the graph.
        batches: batch sizes to run all cells at.

    Raises:
        SourceError: the run or the cells cannot be read.
        BundleError: the bundle cannot be opened.
    """
    trained = load_trained(run)
    classifier = Classifier.open(open_bundle(bundle), provider=provider)
    files = _spread(list_cells(cells), limit)
    size = trained.info.input.size
    images = np.stack([resize_crop(decode_image(f.read(), f.name), size, f.name) for f in files])
    epsilon = trained.calibration.detector.epsilon
    perturbed = classifier.bundle.manifest.perturbation != "none"
    if perturbed and epsilon == 0:
        epsilon = PROBE_EPSILON
    checks = [*_check_constants(trained, classifier), _check_detector(trained, classifier)]
    tallies = {batch: _Tally() for batch in batches}
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    with click.progressbar(blocks, label="comparing", file=click.get_text_stream("stderr")) as bar:
        for block in bar:
            expected = _expected(trained, block, epsilon, perturbed=perturbed)
            for batch, tally in tallies.items():
                tally.add(trained, _run(classifier, block, batch, epsilon), expected)
    for batch, tally in tallies.items():
        checks += tally.checks(batch)
    if perturbed:
        some = images[:: max(1, len(images) // FLOOR_CELLS)][:FLOOR_CELLS]
        checks += _check_perturbation(trained, classifier, some, epsilon)
    borderline = sum(tally.borderline for tally in tallies.values())
    return Verification(tuple(checks), len(images), borderline, classifier.provider)


def _spread(files: list[CellFile], limit: int | None) -> list[CellFile]:
    if limit is None or limit >= len(files):
        return files
    return [files[i] for i in np.linspace(0, len(files) - 1, limit).astype(int)]


def _check_constants(trained: Trained, classifier: Classifier) -> Iterator[Check]:
    """Build the graph again and compare every constant: one altered weight among millions shows."""
    manifest = classifier.bundle.manifest
    perturbation: Perturbation = "none" if manifest.perturbation == "none" else "per-layer"
    built = build_graph(
        trained.network, trained.gaussians, size=manifest.input.size, perturbation=perturbation
    )
    sealed = onnx.load_from_string(classifier.bundle.contents[MODEL])
    ours = {t.name: numpy_helper.to_array(t) for t in sealed.graph.initializer}
    theirs = {t.name: numpy_helper.to_array(t) for t in built.graph.initializer}
    yield Check("constants missing or added", len(set(ours) ^ set(theirs)), 0)
    steps = [[(n.op_type, *n.input, *n.output) for n in m.graph.node] for m in (sealed, built)]
    yield Check("graph differs from the run's", float(steps[0] != steps[1]), 0)
    both = set(ours) & set(theirs)
    worst = max((_constant_difference(ours[name], theirs[name]) for name in both), default=0.0)
    yield Check("largest difference of a constant", worst, CONSTANTS_LIMIT)


def _constant_difference(ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> float:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    scale = np.abs(theirs.astype(np.float64)).max(initial=1e-12)
    return float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0) / scale)


def _check_detector(trained: Trained, classifier: Classifier) -> Check:
    same = classifier.bundle.manifest.detector == trained.calibration.detector
    return Check("threshold or layer weights differ", float(not same), 0)


Outputs = dict[str, NDArray[np.float32]]


def _expected(trained: Trained, images: NDArray[np.uint8], epsilon: float, *, perturbed: bool) -> Outputs:
    """What the reference says of a block, under the names of the graph's outputs."""
    if perturbed:
        reference = score_images(trained.network, trained.gaussians, to_tensor(images), epsilon)
    else:
        reference = score_plain(trained.network, trained.gaussians, to_tensor(images))
    named = named_outputs(reference, trained.network.layers)
    return {name: value.numpy() for name, value in named.items()}


def _run(classifier: Classifier, images: NDArray[np.uint8], batch: int, epsilon: float) -> Outputs:
    """What the graph says of the block, fed in batches of one size."""
    names = classifier.bundle.manifest.outputs
    parts = [
        classifier.run(to_input(images[start : start + batch]), names, epsilon=epsilon)
        for start in range(0, len(images), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


@dataclass
class _Tally:
    """The worst differences so far at one batch size."""

    worst: dict[str, float] = field(default_factory=dict)
    signs: list[float] = field(default_factory=list)
    beyond: int = 0
    borderline: int = 0

    def add(self, trained: Trained, ours: Outputs, theirs: Outputs) -> None:
        for name, value in ours.items():
            if name.startswith("gradient."):
                self.signs.append(sign_disagreement(value, theirs[name]))
            else:
                measure = relative_error_each if name in ("distances", "confidences") else relative_error
                self.worst[name] = max(self.worst.get(name, 0.0), measure(value, theirs[name]))
        detector = trained.calibration.detector
        beyond, borderline = decision_flips(
            decide(detector, ours["logits"], ours["confidences"]),
            decide(detector, theirs["logits"], theirs["confidences"]),
            detector.threshold,
            SCORE_LIMIT,
        )
        self.beyond, self.borderline = self.beyond + beyond, self.borderline + borderline

    def checks(self, batch: int) -> Iterator[Check]:
        for name, value in self.worst.items():
            limit = SCORE_LIMIT if name == "confidences" else EXACT_LIMIT
            yield Check(f"batch {batch}: {name}", value, limit)
        if self.signs:
            yield Check(f"batch {batch}: gradient signs", float(np.mean(self.signs)), SIGN_LIMIT)
        yield Check(f"batch {batch}: decisions that differ", self.beyond, 0)


def _check_perturbation(
    trained: Trained, classifier: Classifier, images: NDArray[np.uint8], epsilon: float
) -> Iterator[Check]:
    """Second pass on the reference's own perturbed images, and signs against PyTorch's own disagreement."""
    single = score_images(trained.network, trained.gaussians, to_tensor(images), epsilon)
    double = score_images(
        copy.deepcopy(trained.network).double(),
        trained.gaussians,
        to_tensor(images).double(),
        epsilon,
    )
    ours = _run(classifier, images, len(images), epsilon)
    for number, layer in enumerate(trained.network.layers):
        forced = classifier.run(single.perturbed[:, number].numpy(), ["confidences"], epsilon=0.0)
        error = relative_error_each(forced["confidences"][:, number], single.confidences[:, number].numpy())
        yield Check(f"second pass, forced: {layer}", error, EXACT_LIMIT)
        exact = double.gradients[:, number].numpy()
        floor = sign_disagreement(single.gradients[:, number].numpy(), exact)
        disagreement = sign_disagreement(ours[f"gradient.{layer}"], exact)
        # One sign in the whole sample is the resolution of this measurement.
        yield Check(
            f"signs against float64: {layer}",
            disagreement,
            FLOOR_FACTOR * max(floor, 1 / exact.size),
        )
