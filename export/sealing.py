"""Sealing a bundle: graph, reference vectors, model card and the manifest that names and hashes them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import GRADIENT, Classifier
from edge_runtime.bundle.files import MODEL, MODEL_CARD, REFERENCE, Bundle, open_bundle, save_bundle
from edge_runtime.bundle.manifest import (
    INTENDED_USE,
    SCHEMA,
    Calibrated,
    Manifest,
    Provenance,
    Requires,
)
from edge_runtime.bundle.parity import all_passed
from edge_runtime.bundle.verification import pack_reference, replay
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.fields.gates import default_limits
from export.card import model_card
from export.forward import IR_VERSION, OPSET, feature_name
from export.graph import Perturbation, build_graph, output_names
from export.identity import identity_of
from training.cells.simulated import is_simulated
from training.handover import Handover
from training.reference import Reference
from training.run import RunInfo

ONNXRUNTIME_LOWEST = "1.20"


def seal_bundle(
    made: Handover,
    out: Path,
    *,
    perturbation: Perturbation | None = None,
    name: str = "cellgate",
    version: str = "1",
) -> Bundle:
    """Export what a run has handed over, compare it with PyTorch on its reference inputs and seal it.

    Args:
        made: see `handover.hand_over`.
        out: folder to make; it must not exist, or be empty.
        perturbation: whether the graph holds eq. 3; None: if calibration chose an epsilon above 0.
        name: of the bundle.
        version: of the bundle.

    Raises:
        SourceError: `out` holds something, or the graph would lack a perturbation that the detector has.
        CheckFailedError: the graph does not say what PyTorch says.
    """
    if out.exists() and any(out.iterdir()):
        raise SourceError(f"{out}: not empty; choose another folder for the bundle")
    trained, epsilon = made.trained, made.trained.detector.epsilon
    chosen: Perturbation = perturbation or ("per-layer" if epsilon else "none")
    if chosen == "none" and epsilon:
        raise SourceError(
            f"the run was calibrated with epsilon {epsilon}; calibrate with --epsilon 0 before exporting "
            "without the perturbation"
        )
    manifest = _manifest(made, chosen, name, version)
    model = build_graph(trained.model, identity=identity_of(manifest), perturbation=chosen)
    layers = trained.network.layers
    said, frame_said = (named_outputs(of, layers) for of in (made.said, made.frame_said))
    said[GRADIENT] = made.asked
    files = {
        MODEL: model.SerializeToString(),
        REFERENCE: pack_reference(
            made.crops, {output: said[output] for output in manifest.outputs}, made.frame, frame_said
        ),
    }
    checks = replay(Classifier.open(Bundle(out, manifest, "", files)))
    if not all_passed(checks):
        raise CheckFailedError("the graph does not say what PyTorch says:\n" + "\n".join(map(str, checks)))
    measured = replace(manifest, parity={check.name: check.value for check in checks})
    save_bundle(out, measured, {**files, MODEL_CARD: model_card(measured).encode()})
    return open_bundle(out)


def named_outputs(reference: Reference, layers: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
    """The reference's values under the names of the graph's outputs; without gradients if it has none."""
    tensors = {
        **reference.by_name(),
        **dict(zip(map(feature_name, layers), reference.features, strict=True)),
        **{f"gradient.{layer}": g for layer, g in zip(layers, reference.gradients.unbind(1), strict=False)},
    }
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _manifest(made: Handover, perturbation: Perturbation, name: str, version: str) -> Manifest:
    info, calibration = made.trained.info, made.trained.calibration
    return Manifest(
        schema=SCHEMA,
        name=name,
        version=version,
        classes=info.classes,
        input=info.input,
        perturbation=perturbation,
        outputs=output_names(made.trained.network, perturbation),
        detector=calibration.detector,
        gates=default_limits(),
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
        performance=made.performance,
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
    source = " and ".join(where if is_simulated(where) else Path(where).name for where in info.config.cells)
    counts = info.counts
    light = _LIGHT[info.config.augmentation]
    return (
        f"{counts['train']} cells of {source}, split by {info.config.split}{light}; "
        f"{counts['validation']} others calibrated it, {counts['test']} tested it"
    )
