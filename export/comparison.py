"""`verify`: does a bundle decide as its run's PyTorch reference does, from image bytes, on real cells?

Six comparisons, each with a limit that means something (the largest gradient error does not: crossing one
ReLU kink changes it at will, and PyTorch in float32 against float64 shows the same):

1. the bundle's manifest, graph and constants are those of the run;
2. its reference inputs, replayed as a device replays them;
3. logits, features and distances of the image as it is;
4. the reference's perturbed images through the graph's second pass (teacher-forced);
5. signs of the input gradient, also against PyTorch's own float32-float64 disagreement;
6. final confidences, scores and decisions.
"""

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import GRADIENT, Classifier, Provider
from edge_runtime.bundle.files import open_bundle
from edge_runtime.bundle.parity import (
    DISTANCE_LIMIT,
    EXACT_LIMIT,
    SCORE_LIMIT,
    SIGN_LIMIT,
    Check,
    all_passed,
    decision_flips,
    relative_error,
    relative_error_each,
    sign_disagreement,
    value_checks,
)
from edge_runtime.bundle.verification import replay
from edge_runtime.bundle.why import in_turn
from edge_runtime.cells.crops import decode_crop
from edge_runtime.cells.preprocessing import to_input
from edge_runtime.decision.decide import decide
from edge_runtime.decision.evidence import Evidence
from export.contents import check_graph, check_manifest, comparable
from export.sealing import named_outputs
from training.cells.layouts import list_sources, together
from training.cells.listing import CellFile
from training.reference import BLOCK, Reference, asked_gradient, perturbed_outputs, plain_outputs
from training.statistics import to_tensor
from training.trained import TrainedDetector, load_trained

BATCHES = (1, 7, 64)
FLOOR_CELLS = 32  # cells on which PyTorch is compared with itself in float64, and the second pass is forced
FLOOR_FACTOR = 3.0  # how many times PyTorch's own disagreement passes
# Where calibration chose no perturbation but the graph can make one, it is compared at this magnitude, too.
PROBE_EPSILON = 0.002

Images = NDArray[np.uint8]
NamedOutputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        checks: every comparison with its limit.
        cells: number of cells compared; 0 if the bundle cannot be compared with this run at all.
        borderline: cells whose decision differs, but within the tolerance of a threshold, at the batch size
            that has most of them; counted, not failed.
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
    cells: tuple[str, ...],
    *,
    limit: int | None = None,
    provider: Provider = "cpu",
    batches: Sequence[int] = BATCHES,
) -> Verification:
    """Compare a bundle with its run.

    Args:
        run: the run folder the bundle was exported from.
        bundle: the bundle folder.
        cells: as `CellSource.where`; their image bytes are read anew, without the cache.
        limit: at most so many cells, spread evenly over the archive; None for all.
        provider: where to run the graph.
        batches: batch sizes to run all cells at.

    Raises:
        SourceError: the run or the cells cannot be read.
        BundleError: the bundle cannot be opened.
    """
    trained = load_trained(run)
    classifier = Classifier.open(open_bundle(bundle), provider=provider)
    checks = list(check_manifest(trained, classifier.bundle.manifest))
    if not comparable(trained, classifier.bundle.manifest):
        return Verification(tuple(checks), 0, 0, classifier.provider)
    checks += check_graph(trained, classifier.bundle)
    checks += [replace(check, name=f"reference: {check.name}") for check in replay(classifier)]
    files = _spread(list(together(list_sources(cells)).files), limit)
    tallies = {batch: _Tally() for batch in batches}
    blocks = [files[start : start + BLOCK] for start in range(0, len(files), BLOCK)]
    with click.progressbar(blocks, label="comparing", file=sys.stderr) as bar:
        for block in bar:
            images = _read(block, trained.info.input.size)
            expected = _expected(trained, classifier, images)
            theirs = Evidence.of(expected, images)
            for batch, tally in tallies.items():
                tally.add(trained, classifier, _run(classifier, images, batch), expected, theirs)
    for batch, tally in tallies.items():
        checks += tally.checks(batch)
    if _perturbs(classifier):
        some = files[:: max(1, len(files) // FLOOR_CELLS)][:FLOOR_CELLS]
        checks += _check_perturbation(trained, classifier, _read(some, trained.info.input.size))
    borderline = max(tally.borderline for tally in tallies.values())
    return Verification(tuple(checks), len(files), borderline, classifier.provider)


def _spread(files: list[CellFile], limit: int | None) -> list[CellFile]:
    if limit is None or limit >= len(files):
        return files
    return [files[i] for i in np.linspace(0, len(files) - 1, limit).astype(int)]


def _read(files: Sequence[CellFile], size: int) -> Images:
    return np.stack([decode_crop(file.read(), file.name, size) for file in files])


def _perturbs(classifier: Classifier) -> bool:
    return classifier.bundle.manifest.perturbation != "none"


def _expected(trained: TrainedDetector, classifier: Classifier, images: Images) -> NamedOutputs:
    """What the reference says of a block, under the names of the graph's outputs."""
    tensor = to_tensor(images)
    if _perturbs(classifier):
        epsilon = trained.detector.epsilon
        reference = perturbed_outputs(trained.model, tensor, epsilon)
    else:
        reference = plain_outputs(trained.model, tensor)
    named = named_outputs(reference, trained.network.layers)
    named[GRADIENT] = asked_gradient(
        trained.model, tensor, torch.from_numpy(_asked(classifier, images))
    ).numpy()
    return {name: named[name] for name in classifier.bundle.manifest.outputs}


def _run(classifier: Classifier, images: Images, batch: int, epsilon: float | None = None) -> NamedOutputs:
    """What the graph says of the block, fed in batches of one size."""
    names, asked = classifier.bundle.manifest.outputs, _asked(classifier, images)
    parts = [
        classifier.run(
            to_input(images[start : start + batch]),
            names,
            asked=asked[start : start + batch],
            epsilon=epsilon,
        )
        for start in range(0, len(images), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _asked(classifier: Classifier, images: Images) -> NDArray[np.float32]:
    """What the gradient of a block is asked of, whatever the size of its batches."""
    manifest = classifier.bundle.manifest
    return in_turn(len(images), len(manifest.classes), manifest.detector)


@dataclass
class _Tally:
    """The worst differences so far at one batch size."""

    worst: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    signs: dict[str, float] = field(default_factory=dict)
    cells: int = 0
    beyond: int = 0
    borderline: int = 0

    def add(
        self,
        trained: TrainedDetector,
        classifier: Classifier,
        ours: NamedOutputs,
        expected: NamedOutputs,
        theirs: Evidence,
    ) -> None:
        for name, value in ours.items():
            if name.startswith("gradient."):
                differing = sign_disagreement(value, expected[name]) * len(value)
                self.signs[name] = self.signs.get(name, 0.0) + differing
            else:
                measure = relative_error_each if name in ("distances", "confidences") else relative_error
                limit = {"confidences": SCORE_LIMIT, "distances": DISTANCE_LIMIT}.get(name, EXACT_LIMIT)
                self._note(name, measure(value, expected[name]), limit)
        decided = decide(
            classifier.bundle.manifest.detector, Evidence.of(ours, theirs.crops, theirs.appearance)
        )
        reference = decide(trained.detector, theirs)
        for check in value_checks(decided, reference):
            self._note(check.name, check.value, check.limit)
        beyond, borderline = decision_flips(decided, reference, SCORE_LIMIT)
        self.beyond, self.borderline = self.beyond + beyond, self.borderline + borderline
        self.cells += len(reference.label)

    def checks(self, batch: int) -> Iterator[Check]:
        for name, value in self.worst.items():
            yield Check(f"batch {batch}: {name}", value, self.limits[name])
        for name, value in self.signs.items():
            yield Check(f"batch {batch}: {name}, signs", value / self.cells, SIGN_LIMIT)
        yield Check(f"batch {batch}: decisions that differ", self.beyond, 0)

    def _note(self, name: str, value: float, limit: float) -> None:
        self.limits[name] = limit
        # Not "max": it would drop a value that is no number.
        self.worst[name] = float(np.maximum(self.worst.get(name, 0.0), value))


def _check_perturbation(trained: TrainedDetector, classifier: Classifier, images: Images) -> Iterator[Check]:
    """Gradient and second pass apart, on a few cells: signs against float64, and the second pass forced."""
    epsilon = trained.detector.epsilon or PROBE_EPSILON
    tensor = to_tensor(images)
    double = replace(trained.model, network=copy.deepcopy(trained.network).double())
    single = perturbed_outputs(trained.model, tensor, epsilon)
    exact = perturbed_outputs(double, tensor.double(), epsilon)
    ours = _run(classifier, images, len(images), epsilon)
    error = relative_error_each(ours["confidences"], single.confidences.numpy())
    yield Check(f"perturbed by {epsilon:g}: confidences", error, SCORE_LIMIT)
    for number, layer in enumerate(trained.network.layers):
        forced = classifier.run(single.perturbed[:, number].numpy(), ["confidences"], epsilon=0.0)
        error = relative_error_each(forced["confidences"][:, number], single.confidences[:, number].numpy())
        yield Check(f"second pass, forced: {layer}", error, EXACT_LIMIT)
        yield _against_float64(layer, ours[f"gradient.{layer}"], single, exact, number)


def _against_float64(
    layer: str, ours: NDArray[np.float32], single: Reference, exact: Reference, number: int
) -> Check:
    true = exact.gradients[:, number].numpy()
    floor = sign_disagreement(single.gradients[:, number].numpy(), true)
    # One sign in the whole sample is the resolution of this measurement.
    limit = FLOOR_FACTOR * max(floor, 1 / true.size)
    return Check(f"signs against float64: {layer}", sign_disagreement(ours, true), limit)
