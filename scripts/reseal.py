"""A sealed bundle exported again, under this version's schema, from the bundle alone: its run may be lost.

    python -m scripts.reseal --limit certainty=2.6 OLD NEW
    python -m scripts.reseal --cells ../shared/data/nih-cells.zip --refit colour --refit texture OLD NEW

Reads bundles of this schema and of the one before, whose graph lacked the gradient of the maps; limits of
tests that a bundle did not have are named on the command line, and so are tests of the picture that have been
defined anew: their limits are fitted to pictures of cells.
Network and statistics come back from the graph, the detector, the figures and the provenance from the
manifest, the reference cells from the reference vectors; then all of it is exported as any run is. The
forward pass stays bit for bit, the statistics up to a rounding.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from torch import nn

from edge_runtime.bundle.files import MANIFEST, MODEL, REFERENCE
from edge_runtime.bundle.manifest import SCHEMA, Manifest, manifest_from_json
from edge_runtime.bundle.verification import IMAGES
from edge_runtime.console import Commands
from edge_runtime.decision import table
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.errors import BundleError, SourceError
from export.sealing import seal_bundle
from scripts.recovered import fill_network, recovered_gaussian
from training.calibration_file import Calibration
from training.cells.source import CellSource, cell_source_options
from training.handover import refer
from training.networks import build_network
from training.reference import FeatureModel
from training.run import RunConfig, RunInfo
from training.trained import TrainedDetector

_BEFORE = 11  # the schema before this one: the same manifest, and no gradient of the maps in the graph
# How `export.sealing` tells what a bundle was trained on.
_TRAINED_ON = re.compile(
    r"(?P<train>\d+) cells of (?P<cells>.+), split by .+; "
    r"(?P<validation>\d+) others calibrated it, (?P<test>\d+) tested it"
)
# What the model card says of the light that cells were trained under, see `export.sealing`.
_LIGHT = {"with harsh light": "harsh", "without change of light": "paper"}


@click.group(cls=Commands, invoke_without_command=True)
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--limit", "limits", multiple=True, help="NAME=VALUE of a test that OLD does not have.")
@click.option("--refit", "refitted", multiple=True, help="A test of the picture to be fitted to --cells.")
@cell_source_options
def main(
    old: Path, new: Path, limits: tuple[str, ...], refitted: tuple[str, ...], source: CellSource
) -> None:
    """Export the bundle folder OLD again, as the bundle folder NEW."""
    manifest, model = open_any(old, read_limits(limits))
    if refitted:
        pictures = Evidence.of_pictures(source.load(manifest.input).images)
        manifest = replace(manifest, detector=fitted(manifest, pictures, refitted))
    with np.load(old / REFERENCE, allow_pickle=False) as stored:
        crops = np.asarray(stored[IMAGES], np.uint8)
    made = refer(recovered_detector(manifest, model), manifest.performance, crops)
    bundle = seal_bundle(
        made,
        new,
        perturbation="none" if manifest.perturbation == "none" else "per-layer",
        name=manifest.name,
        version=manifest.version,
    )
    click.echo(f"{new}: {bundle.title}")


def read_limits(given: Iterable[str]) -> dict[str, float]:
    """Limits as they are written on the command line, NAME=VALUE each."""
    try:
        return {name: float(value) for name, _, value in (each.partition("=") for each in given)}
    except ValueError as error:
        raise SourceError(f"--limit {' '.join(given)}: {error}; write NAME=VALUE") from error


def fitted(manifest: Manifest, pictures: Evidence, names: Sequence[str]) -> Detector:
    """A bundle's detector with the limits of tests of the picture set anew: each rejects its share of alpha.

    Args:
        manifest: of the bundle.
        pictures: of good cells.
        names: of the tests.

    Raises:
        SourceError: not a test of the picture that has a share.
    """
    tests = {test.name: test for test in table.TESTS if test.seen_by == "picture" and test.share}
    if unknown := sorted(set(names) - set(tests)):
        raise SourceError(f"--refit {unknown[0]}: not one of {', '.join(tests)}")
    detector, alpha = manifest.detector, manifest.calibrated.alpha
    high = {name: tests[name].sign * tests[name].value(pictures, detector) for name in names}
    drawn = {
        name: tests[name].sign * conformal_limit(high[name], alpha * tests[name].share) for name in names
    }
    return replace(detector, limits={**detector.limits, **drawn})


def recovered_detector(manifest: Manifest, model: onnx.ModelProto) -> TrainedDetector:
    """The trained detector that a bundle was made of."""
    network = build_network(manifest.provenance.network, len(manifest.classes))
    assert isinstance(network, nn.Module)
    fill_network(network, model)
    gaussians = {layer: recovered_gaussian(model, layer) for layer in network.layers}
    return TrainedDetector(
        run_info(manifest), FeatureModel(network.eval(), gaussians), recovered_calibration(manifest)
    )


def open_any(bundle: Path, limits: Mapping[str, float] | None = None) -> tuple[Manifest, onnx.ModelProto]:
    """Manifest, as this schema has it, and graph of a bundle of this schema or the one before.

    Args:
        bundle: its folder.
        limits: of tests that it does not have, by name.

    Raises:
        BundleError: another schema, or the graph was altered.
        SourceError: a file is missing.
    """
    raw = read_raw(bundle)
    if raw.get("schema") == _BEFORE:
        raw = {**raw, "schema": SCHEMA}
    detector = {**raw["detector"], "limits": {**raw["detector"]["limits"], **(limits or {})}}
    manifest = manifest_from_json(json.dumps({**raw, "detector": detector}))
    graph = (bundle / MODEL).read_bytes()
    check_hash(manifest, bundle / MODEL, graph)
    return manifest, onnx.load_from_string(graph)


def read_raw(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle, whatever its schema.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        raw = json.loads((bundle / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise SourceError(f"{bundle}: not a bundle that can be read ({error}); check the path") from error
    assert isinstance(raw, dict)
    return raw


def check_hash(manifest: Manifest, file: Path, data: bytes) -> None:
    """Refuse a file that is not the one that was sealed, by a BundleError."""
    if hashlib.sha256(data).hexdigest() != manifest.files[file.name]:
        raise BundleError(f"{file}: altered since the bundle was sealed; copy the bundle again")


def run_info(manifest: Manifest) -> RunInfo:
    """run.json as far as the manifest says what stood in it; of the training the numbers are 0.

    Raises:
        SourceError: the manifest tells in other words what the bundle was trained on.
    """
    provenance = manifest.provenance
    told = _TRAINED_ON.match(provenance.trained_on)
    if told is None:
        raise SourceError(f"cannot read what the bundle was trained on: {provenance.trained_on!r}")
    light = next((name for words, name in _LIGHT.items() if words in provenance.trained_on), "microscope")
    raw: dict[str, Any] = {"split": manifest.performance.split, "augmentation": light}
    config = RunConfig(
        cells=tuple(told["cells"].split(" and ")),
        network=provenance.network,
        seed=provenance.seed,
        epochs=0,
        batch_size=0,
        learning_rate=0.0,
        **raw,
    )
    return RunInfo(
        config=config,
        input=manifest.input,
        classes=manifest.classes,
        parasitized=manifest.parasitized,
        layers=manifest.detector.layers,
        cells_digest=provenance.cells_digest,
        labels_digest="",
        split_digest=provenance.split_digest,
        counts={part: int(told[part]) for part in ("train", "validation", "test")},
        git_commit=provenance.git_commit,
        torch=provenance.torch,
    )


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


if __name__ == "__main__":
    main()
