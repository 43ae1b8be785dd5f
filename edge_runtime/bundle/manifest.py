"""The manifest: what a bundle says about itself. An unknown key or version is an error, never a default."""

import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from edge_runtime.bundle.performance import Performance
from edge_runtime.bundle.strict import MisfitError, read_strictly
from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.decision import table
from edge_runtime.decision.appearance import OUTLINE
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import OUTPUTS
from edge_runtime.errors import BundleError
from edge_runtime.fields.gates import GATES

SCHEMA = 12
PERTURBATIONS = {"per-layer", "none"}
INTENDED_USE = "Research use only. Not for use in diagnostic procedures."


@dataclass(frozen=True)
class Calibrated:
    """What the detector was calibrated on.

    Attributes:
        mode: "none" (no anomaly known) or "known".
        anomaly: the known anomaly, or "".
        alpha: share of in-distribution cells that all tests together were set to reject.
        fusion_cells: cells that fitted the layer weights.
        threshold_cells: cells that set the thresholds.
        correlation: of rejection among the cells of one patient, 0 to below 1 (see `report/group.py`).
        how: the choices in words.
    """

    mode: str
    anomaly: str
    alpha: float
    fusion_cells: int
    threshold_cells: int
    correlation: float
    how: str


@dataclass(frozen=True)
class Requires:
    """What a device needs to run the graph.

    Attributes:
        opset: of the default ONNX operator set.
        ir_version: of the ONNX file format.
        onnxruntime: lowest version.
    """

    opset: int
    ir_version: int
    onnxruntime: str


@dataclass(frozen=True)
class Provenance:
    """Where the bundle came from.

    Attributes:
        network: name of the architecture.
        trained_on: the cells it learned from, in words.
        cells_digest: sha256 over the cells.
        split_digest: sha256 over the split.
        seed: of the training run.
        git_commit: of the code that trained.
        torch: version that trained.
    """

    network: str
    trained_on: str
    cells_digest: str
    split_digest: str
    seed: int
    git_commit: str
    torch: str


@dataclass(frozen=True)
class Manifest:
    """The content of manifest.json.

    Attributes:
        schema: version of this format.
        name: of the bundle.
        version: of the bundle.
        classes: names of the logits, in order.
        input: what the graph is fed.
        perturbation: "per-layer" (the graph holds eq. 3) or "none".
        outputs: names of the graph's outputs.
        detector: layer weights, epsilon and thresholds.
        gates: limit of every gate of a frame, by name (see `fields/gates.py`).
        orientation: which side of the threshold is in-distribution.
        calibrated: what the detector was calibrated on.
        performance: per-cell figures.
        requires: what a device needs.
        parity: measured differences from the PyTorch reference, by name.
        provenance: where the bundle came from.
        intended_use: the label.
        files: sha256 of every other file of the bundle, by name.
    """

    schema: int
    name: str
    version: str
    classes: tuple[str, ...]
    input: InputSpec
    perturbation: str
    outputs: tuple[str, ...]
    detector: Detector
    gates: Mapping[str, float]
    orientation: str
    calibrated: Calibrated
    performance: Performance
    requires: Requires
    parity: Mapping[str, float]
    provenance: Provenance
    intended_use: str
    files: Mapping[str, str]

    @property
    def parasitized(self) -> tuple[str, ...]:
        """Names of the classes that count as parasitized."""
        return tuple(self.classes[index] for index in self.detector.parasitized)


def manifest_to_json(manifest: Manifest) -> str:
    """The text of manifest.json."""
    return json.dumps(asdict(manifest), indent=2) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """Read manifest.json, strictly.

    Raises:
        BundleError: not JSON, another schema, a key missing or unknown, a value of the wrong type or one that
            this runtime does not know.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"manifest.json: not JSON ({error}); copy the bundle again") from error
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        found = raw.get("schema") if isinstance(raw, dict) else None
        raise BundleError(
            f"manifest.json: schema {reprlib.repr(found)}, but this cellgate reads schema {SCHEMA}; "
            "export the bundle again, or install the cellgate that it was made for"
        )
    try:
        manifest = read_strictly(Manifest, raw, "manifest.json")
    except MisfitError as error:
        raise BundleError(f"{error}; the bundle was made by another cellgate, export it again") from error
    _check_supported(manifest)
    return manifest


def _check_supported(manifest: Manifest) -> None:
    """Refuse what is well-formed, but would make this runtime guess."""
    detector, expected = manifest.detector, InputSpec(size=manifest.input.size)
    numbers = (detector.epsilon, *detector.weights, detector.bias, *detector.limits.values())
    numbers += (*detector.outline_low, *detector.outline_high, *manifest.gates.values())
    ranges = list(zip(detector.outline_low, detector.outline_high, strict=False))
    tests, gates = [test.name for test in table.TESTS], [gate.name for gate in GATES]
    for right, wrong in (
        (manifest.input == expected, f"input {manifest.input}; this cellgate only makes {expected}"),
        (manifest.input.size > 0, f"input of {manifest.input.size} pixels"),
        (
            len(set(manifest.classes)) == len(manifest.classes) > 1,
            f"classes {manifest.classes}; expected two or more names",
        ),
        (
            0 < len(set(detector.parasitized)) == len(detector.parasitized) < len(manifest.classes)
            and set(detector.parasitized) <= set(range(len(manifest.classes))),
            f"classes {detector.parasitized} of {len(manifest.classes)} count as parasitized; expected some",
        ),
        (manifest.perturbation in PERTURBATIONS, f"unknown perturbation {manifest.perturbation!r}"),
        (
            set(OUTPUTS) <= set(manifest.outputs),
            f"outputs {manifest.outputs}; {', '.join(OUTPUTS)} are needed",
        ),
        (
            set(detector.limits) == set(tests),
            f"limits of {sorted(detector.limits)}; this cellgate tests {sorted(tests)}",
        ),
        (
            set(manifest.gates) == set(gates),
            f"gates {sorted(manifest.gates)}; this cellgate has {sorted(gates)}",
        ),
        (len(detector.layers) == len(detector.weights), "as many layer weights as layers are needed"),
        (all(map(math.isfinite, numbers)), "a weight or limit that is no finite number"),
        (
            len(detector.outline_low) == len(detector.outline_high) == len(OUTLINE)
            and all(low < high for low, high in ranges),
            f"ranges of the outline {ranges}; expected {len(OUTLINE)}, each from low to high",
        ),
        (0 < manifest.calibrated.alpha < 1, f"alpha {manifest.calibrated.alpha}; expected a share"),
        (
            0 <= manifest.calibrated.correlation < 1,
            f"a correlation of {manifest.calibrated.correlation}; expected 0 to below 1",
        ),
        (
            manifest.orientation == "high-is-in-distribution",
            f"unknown orientation {manifest.orientation!r}",
        ),
    ):
        if not right:
            raise BundleError(f"manifest.json: {wrong}; export the bundle again")
