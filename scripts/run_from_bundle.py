"""A run folder back from a sealed bundle whose run was lost, so that it can be exported again.

    python -m scripts.run_from_bundle BUNDLE RUN --cells nih-cells.zip

Reads bundles of this schema and of the one before. The forward pass comes back bit for bit, the statistics up
to a rounding. What a bundle does not hold stays unknown: of the training its epochs, batch size and learning
rate (0 in run.json), of the statistics their shrinkage and condition (not a number in gaussians.npz).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from edge_runtime.bundle.files import MANIFEST, MODEL
from edge_runtime.bundle.manifest import Manifest, Performance, manifest_from_json
from edge_runtime.console import Commands
from edge_runtime.errors import BundleError, SourceError
from training.calibration_file import Calibration, save_calibration
from training.cells.source import CellSet, CellSource, cell_source_options
from training.gaussians import LayerGaussian, save_gaussians
from training.networks import build_network
from training.run import GAUSSIANS, WEIGHTS, RunConfig, RunInfo, make_split, save_run, save_weights
from training.statistics import predict

# How the exporter begins the names of the network's parameters.
_NETWORK = "network."
_PARTS = ("train", "validation", "test")
# What the model card says of the light that cells were trained under, see `export.sealing`.
_LIGHT = {"with harsh light": "harsh", "without change of light": "paper"}
_OLD_LIMITS = {
    "colour": "least_colour",
    "texture": "least_texture",
    "confidence": "threshold",
    "stability": "least_steadiness",
    "margin": "least_margin",
}
_OLD_PERFORMANCE = {
    "ood_rejected": "strangers_rejected",
    "corruptions_accepted": "changes_accepted",
    "corruptions_accuracy": "changes_accuracy",
}

Constants = Mapping[str, NDArray[np.generic]]


@click.group(cls=Commands, invoke_without_command=True, context_settings={"allow_interspersed_args": True})
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("run", type=click.Path(path_type=Path))
@cell_source_options
def main(bundle: Path, run: Path, source: CellSource) -> None:
    """Write a new run folder RUN from the bundle folder BUNDLE; --cells are those it was trained on."""
    if run.exists() and any(run.iterdir()):
        raise SourceError(f"{run}: not empty; choose another folder for the run")
    manifest, model = open_any(bundle)
    loaded = source.load(manifest.input)
    config = run_config(manifest, loaded.source)
    split = make_split(config, loaded)
    if (loaded.digest, split.digest) != (manifest.provenance.cells_digest, manifest.provenance.split_digest):
        raise SourceError(f"{loaded.source}: not the cells this bundle was trained on; give the same archive")
    network = build_network(config.network, len(manifest.classes))
    assert isinstance(network, nn.Module)
    fill_network(network, model)
    network.eval()
    counts = np.bincount(loaded.labels[split.train], minlength=len(manifest.classes)).astype(np.float64)
    run.mkdir(parents=True, exist_ok=True)
    save_weights(run / WEIGHTS, network.state_dict())
    save_gaussians(
        run / GAUSSIANS, [(layer, recovered_gaussian(model, layer, counts)) for layer in network.layers]
    )
    logits, _ = predict(network, loaded, split.validation)
    right = logits.argmax(axis=1) == loaded.labels[split.validation]
    metrics = {"validation_accuracy": float(right.mean()), **recovered_metrics(manifest.performance)}
    sizes = {part: len(getattr(split, part)) for part in _PARTS}
    save_calibration(run, recovered_calibration(manifest))
    save_run(
        run, run_info(manifest, config, loaded, sizes, metrics)
    )  # last: its figures are of this calibration
    click.echo(
        f"{run}: the run of {manifest.name} {manifest.version}; export it with 'python -m export bundle'"
    )


def open_any(bundle: Path) -> tuple[Manifest, onnx.ModelProto]:
    """Manifest, as this schema has it, and graph of a bundle of this schema or the one before.

    Raises:
        BundleError: another schema, or the graph was altered.
        SourceError: a file is missing.
    """
    try:
        raw = json.loads((bundle / MANIFEST).read_text())
        graph = (bundle / MODEL).read_bytes()
    except (OSError, ValueError) as error:
        raise SourceError(f"{bundle}: not a bundle that can be read ({error}); check the path") from error
    if raw.get("schema") == 7:
        raw = from_schema_7(raw)
    manifest = manifest_from_json(json.dumps(raw))
    if hashlib.sha256(graph).hexdigest() != manifest.files[MODEL]:
        raise BundleError(f"{bundle / MODEL}: altered since the bundle was sealed; copy the bundle again")
    return manifest, onnx.load_from_string(graph)


def from_schema_7(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts as schema 8 names them: limits by their tests, and the field's words for OOD."""
    detector, performance = dict(raw["detector"]), dict(raw["performance"])
    limits = {"wholeness": 0.0, **{test: detector.pop(old) for test, old in _OLD_LIMITS.items()}}
    for new, old in _OLD_PERFORMANCE.items():
        performance[new] = performance.pop(old)
    return {
        **raw,
        "schema": 8,
        "outputs": ["logits.smoothed" if name == "logits.softened" else name for name in raw["outputs"]],
        "detector": {**detector, "limits": limits},
        "performance": performance,
    }


def fill_network(network: nn.Module, model: onnx.ModelProto) -> None:
    """Copy a graph's weights into a network of the same shape, so that exporting it gives them again.

    The exporter folded each batch norm into the convolution before it. Here the convolution takes the folded
    kernel, and its batch norm adds the bias and nothing else: a variance of 1 - eps divides by exactly 1.

    Args:
        network: changed in place.
        model: the graph of a bundle.

    Raises:
        SourceError: the graph lacks a weight of the network, or has it in another shape.
    """
    constants = _constants(model)
    biases = {node.input[1]: node.input[2] for node in model.graph.node if len(node.input) > 2}
    with torch.no_grad():
        for name, layer, norm in _layers(network):
            weight = f"{_NETWORK}{name}.weight"
            bias = constants.get(biases.get(weight, ""))
            if bias is None or constants[weight].shape != tuple(layer.weight.shape):
                raise SourceError(
                    f"{name}: not in this graph, or in another shape; give the bundle's network"
                )
            layer.weight.copy_(torch.from_numpy(constants[weight].copy()))
            if norm is None:
                assert layer.bias is not None
                layer.bias.copy_(torch.from_numpy(bias.copy()))
                continue
            if layer.bias is not None:
                layer.bias.zero_()
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.weight.fill_(1.0)
            norm.bias.copy_(torch.from_numpy(bias.copy()))
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)


def _layers(
    network: nn.Module,
) -> Iterator[tuple[str, nn.Conv2d | nn.Linear, nn.BatchNorm2d | None]]:
    """Name and module of every layer with weights, and the batch norm that follows it in the network."""
    modules = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
    ]
    for (name, module), (_, after) in zip(modules, [*modules[1:], ("", None)], strict=True):
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module, after if isinstance(after, nn.BatchNorm2d) else None


def recovered_gaussian(model: onnx.ModelProto, layer: str, counts: NDArray[np.float64]) -> LayerGaussian:
    """The statistics of a layer, from the float32 constants that `export.graph` made of them.

    Args:
        model: the graph of a bundle.
        layer: name of the layer.
        counts: [K], training cells per class, each counted once.
    """
    constants = _constants(model)
    origin, whitening, centres = (
        constants[f"{name}.{layer}"].astype(np.float64) for name in ("origin", "whitening", "centres")
    )
    relative = any(f"plain.relative.{layer}" in node.output for node in model.graph.node)
    # centres = (means - origin) @ whitening. Of relative activations nothing lies along (1, ..., 1), which
    # the whitening takes off: one more equation says so.
    extra = np.full((1 if relative else 0, len(whitening)), np.abs(whitening).max())
    system = np.concatenate([whitening.T, extra])
    wanted = np.concatenate([centres.T, np.zeros((len(extra), len(centres)))])
    moved = np.linalg.lstsq(system, wanted, rcond=None)[0].T
    means = origin + moved - moved.mean(axis=0)
    unknown = float("nan")
    return LayerGaussian(
        means,
        np.ascontiguousarray(whitening.T),
        counts,
        shrinkage=unknown,
        condition=unknown,
        relative=relative,
    )


def run_config(manifest: Manifest, cells: str) -> RunConfig:
    """How the bundle's run was made, as far as the manifest says; numbers that it does not say are 0."""
    provenance, light = manifest.provenance, "microscope"
    for words, augmentation in _LIGHT.items():
        light = augmentation if words in provenance.trained_on else light
    raw: dict[str, Any] = {"split": manifest.performance.split, "augmentation": light}
    return RunConfig(
        cells=cells,
        network=provenance.network,
        seed=provenance.seed,
        epochs=0,
        batch_size=0,
        learning_rate=0.0,
        **raw,
    )


def run_info(
    manifest: Manifest,
    config: RunConfig,
    cells: CellSet,
    counts: Mapping[str, int],
    metrics: Mapping[str, Any],
) -> RunInfo:
    """The content of run.json."""
    provenance = manifest.provenance
    return RunInfo(
        config=config,
        input=manifest.input,
        classes=manifest.classes,
        layers=manifest.detector.layers,
        cells_digest=cells.digest,
        split_digest=provenance.split_digest,
        counts=counts,
        git_commit=provenance.git_commit,
        torch=provenance.torch,
        metrics=metrics,
    )


def recovered_metrics(performance: Performance) -> dict[str, Any]:
    """The figures of run.json that stand in the manifest; those of single patients do not."""
    ood = {}
    for told, rejected in performance.ood_rejected.items():
        found = re.fullmatch(r"(.*) \((\d+)\)", told)
        assert found is not None
        ood[found[1]] = {"images": int(found[2]), "rejected": rejected}
    corruptions = {
        name: {"accepted": accepted, "accuracy_of_accepted": performance.corruptions_accuracy[name]}
        for name, accepted in performance.corruptions_accepted.items()
    }
    return {"corruptions": corruptions, "ood": ood}


def recovered_calibration(manifest: Manifest) -> Calibration:
    """The content of calibration.json; how many anomalies were known, the manifest does not say."""
    calibrated = manifest.calibrated
    raw: dict[str, Any] = {"mode": calibrated.mode}
    return Calibration(
        detector=manifest.detector,
        anomaly=calibrated.anomaly,
        alpha=calibrated.alpha,
        fusion_cells=calibrated.fusion_cells,
        anomaly_cells=0,
        threshold_cells=calibrated.threshold_cells,
        correlation=calibrated.correlation,
        how=calibrated.how,
        auroc=None,
        **raw,
    )


def _constants(model: onnx.ModelProto) -> Constants:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


if __name__ == "__main__":
    main()
