"""Sealing a bundle: graph, reference vectors, model card and the manifest that names and hashes them."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import MODEL, MODEL_CARD, REFERENCE, Bundle, open_bundle, save_bundle
from edge_runtime.bundle.manifest import (
    INTENDED_USE,
    SCHEMA,
    Calibrated,
    Manifest,
    Performance,
    Provenance,
    Requires,
)
from edge_runtime.bundle.parity import all_passed
from edge_runtime.bundle.verification import (
    FRAME,
    FRAME_APPEARANCE,
    FRAME_BOXES,
    FRAME_OUTPUTS,
    IMAGES,
    IMAGES_APPEARANCE,
    replay,
    stored_name,
)
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.decision.appearance import describe
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.simulator import simulate_field
from export.card import model_card
from export.forward import IR_VERSION, OPSET, feature_name
from export.graph import Perturbation, build_graph, output_names
from training.cells.simulated import is_simulated
from training.cells.source import CellSource
from training.reference import Reference, perturbed_outputs, reference_outputs
from training.run import RunInfo, load_split
from training.statistics import to_tensor
from training.testing import CellFigures, measure_run
from training.trained import TrainedDetector, load_trained

REFERENCE_CELLS = 16
# Of the simulator; small, as every device carries it. This seed has parasites of all stages, platelets and a
# white cell.
_FRAME_SEED, _FRAME_SIZE, _FRAME_CELLS = 17, (480, 400), 14
ONNXRUNTIME_LOWEST = "1.20"


def seal_bundle(
    run: Path,
    out: Path,
    source: CellSource,
    *,
    perturbation: Perturbation | None = None,
    name: str = "cellgate",
    version: str = "1",
) -> Bundle:
    """Export a run, compare it with PyTorch on its reference inputs and seal it.

    Args:
        run: a run folder that was fitted, calibrated and tested.
        out: folder to make; it must not exist, or be empty.
        source: where the run's cells are now, if they were moved.
        perturbation: whether the graph holds eq. 3; None: if calibration chose an epsilon above 0.
        name: of the bundle.
        version: of the bundle.

    Raises:
        SourceError: the run is not finished, or `out` holds something.
        CheckFailedError: the graph does not say what PyTorch says.
    """
    if out.exists() and any(out.iterdir()):
        raise SourceError(f"{out}: not empty; choose another folder for the bundle")
    trained = load_trained(run)
    chosen: Perturbation = perturbation or ("per-layer" if trained.detector.epsilon else "none")
    if chosen == "none" and trained.detector.epsilon:
        raise SourceError(
            f"{run}: calibrated with epsilon {trained.detector.epsilon}; "
            "calibrate with --epsilon 0 before exporting without the perturbation"
        )
    size = trained.info.input.size
    model = build_graph(trained.model, size=size, perturbation=chosen)
    files = {
        MODEL: model.SerializeToString(),
        REFERENCE: _reference_vectors(trained, _reference_images(trained.info, source), chosen),
    }
    manifest = _manifest(trained, chosen, name, version, measure_run(run, source))
    checks = replay(Classifier.open(Bundle(out, manifest, "", files)))
    if not all_passed(checks):
        raise CheckFailedError("the graph does not say what PyTorch says:\n" + "\n".join(map(str, checks)))
    _write(out, replace(manifest, parity={check.name: check.value for check in checks}), files)
    return open_bundle(out)


def _write(out: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    save_bundle(out, manifest, {**files, MODEL_CARD: model_card(manifest).encode()})


def _reference_images(info: RunInfo, source: CellSource) -> NDArray[np.uint8]:
    """Test cells, as many of one class as of the other: uint8 [N, size, size, 3]."""
    cells, split = load_split(info, source)
    rng = np.random.default_rng(info.config.seed)
    per_class = REFERENCE_CELLS // len(info.classes)
    chosen = [
        rng.permutation(split.test[cells.labels[split.test] == label])[:per_class]
        for label in range(len(info.classes))
    ]
    return np.ascontiguousarray(cells.images[np.concatenate(chosen)])


def _reference_vectors(
    trained: TrainedDetector, images: NDArray[np.uint8], perturbation: Perturbation
) -> bytes:
    """The bytes of reference.npz: the images and everything the PyTorch reference says of them."""
    reference = perturbed_outputs(trained.model, to_tensor(images), trained.detector.epsilon)
    outputs = named_outputs(reference, trained.network.layers)
    vectors: dict[str, NDArray[np.generic]] = {IMAGES: images, IMAGES_APPEARANCE: describe(images)}
    for name in output_names(trained.network, perturbation):
        value = outputs[name].numpy()
        vectors[stored_name(name)] = np.sign(value).astype(np.int8) if name.startswith("gradient.") else value
    vectors |= _reference_frame(trained)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **vectors)
    return buffer.getvalue()


def _reference_frame(trained: TrainedDetector) -> dict[str, NDArray[np.generic]]:
    """A simulated frame, the cells that are found in it and what the PyTorch reference says of them."""
    width, height = _FRAME_SIZE
    field = simulate_field(
        _FRAME_SEED, width=width, height=height, cells=_FRAME_CELLS, parasitized_fraction=0.3
    )
    cut, _ = cut_cells(field.frame, trained.info.input.size)
    resized = np.stack([cell.resized for cell in cut])
    said = reference_outputs(trained.model, to_tensor(resized), trained.detector.epsilon)
    named = named_outputs(said, trained.network.layers)
    return {
        FRAME: field.frame,
        FRAME_BOXES: np.array([cell.box for cell in cut], np.int64),
        FRAME_APPEARANCE: describe(resized),
        **{stored: named[name].numpy() for name, stored in FRAME_OUTPUTS.items()},
    }


def named_outputs(reference: Reference, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """The reference's values under the names of the graph's outputs; without gradients if it has none."""
    return {
        **reference.by_name(),
        **dict(zip(map(feature_name, layers), reference.features, strict=True)),
        **{f"gradient.{layer}": g for layer, g in zip(layers, reference.gradients.unbind(1), strict=False)},
    }


def _manifest(
    trained: TrainedDetector, perturbation: Perturbation, name: str, version: str, tested: CellFigures
) -> Manifest:
    info, calibration = trained.info, trained.calibration
    return Manifest(
        schema=SCHEMA,
        name=name,
        version=version,
        classes=info.classes,
        input=info.input,
        perturbation=perturbation,
        outputs=output_names(trained.network, perturbation),
        detector=calibration.detector,
        orientation="high-is-in-distribution",
        calibrated=Calibrated(
            mode=calibration.mode,
            anomaly=calibration.anomaly,
            alpha=calibration.alpha,
            fusion_cells=calibration.fusion_cells,
            threshold_cells=calibration.threshold_cells,
            correlation=calibration.correlation,
            how=calibration.how,
        ),
        performance=_performance(info, tested),
        requires=Requires(opset=OPSET, ir_version=IR_VERSION, onnxruntime=ONNXRUNTIME_LOWEST),
        parity={},
        provenance=Provenance(
            network=info.config.network,
            trained_on=_trained_on(info),
            cells_digest=info.cells_digest,
            split_digest=info.split_digest,
            seed=info.config.seed,
            git_commit=info.git_commit,
            torch=info.torch,
        ),
        intended_use=INTENDED_USE,
        files={},
    )


_LIGHT = {
    "microscope": "",
    "harsh": " with harsh light, fading and dust",
    "paper": " without change of light or focus",
}


def _trained_on(info: RunInfo) -> str:
    source = info.config.cells if is_simulated(info.config.cells) else Path(info.config.cells).name
    counts = info.counts
    light = _LIGHT[info.config.augmentation]
    return (
        f"{counts['train']} cells of {source}, split by {info.config.split}{light}; "
        f"{counts['validation']} others calibrated it, {counts['test']} tested it"
    )


def _performance(info: RunInfo, tested: CellFigures) -> Performance:
    low, high = tested.intervals["specificity"]
    corruptions, ood = info.metrics.get("corruptions", {}), info.metrics.get("ood", {})
    return Performance(
        split=info.config.split,
        patients=len(tested.patients),
        parasitized=tested.parasitized,
        uninfected=tested.uninfected,
        accuracy=tested.accuracy,
        accuracy_interval=tested.intervals["accuracy"],
        sensitivity=tested.sensitivity,
        sensitivity_interval=tested.intervals["sensitivity"],
        false_positive_rate=1 - tested.specificity,
        false_positive_rate_interval=(1 - high, 1 - low),
        rejected=tested.rejected,
        rejected_interval=tested.intervals["rejected"],
        accuracy_of_accepted=tested.accuracy_of_accepted,
        ood_rejected={f"{kind} ({of['images']})": of["rejected"] for kind, of in ood.items()},
        corruptions_accepted={name: of["accepted"] for name, of in corruptions.items()},
        corruptions_accuracy={name: of["accuracy_of_accepted"] for name, of in corruptions.items()},
    )
