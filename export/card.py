"""The model card: what a person should know before trusting a bundle, from the manifest alone."""

from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.performance import Performance, Rate
from edge_runtime.decision import table
from edge_runtime.decision.appearance import OUTLINE
from edge_runtime.decision.detector import Detector
from edge_runtime.fields.gates import GATES


def model_card(manifest: Manifest) -> str:
    """MODEL_CARD.md for a manifest, complete but for the hashes."""
    tested, detector, made = manifest.performance, manifest.detector, manifest.provenance
    weights = ", ".join(
        f"{layer} {w:.3g}" for layer, w in zip(detector.layers, detector.weights, strict=True) if w
    )
    limits = zip(OUTLINE, detector.outline_low, detector.outline_high, strict=True)
    outline = ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, low, high in limits)
    parity = "\n".join(f"| {name} | {value:.1e} |" for name, value in manifest.parity.items())
    return f"""# {manifest.name} {manifest.version}

**{manifest.intended_use}**

Says of a cell from a Giemsa-stained thin blood film: {_answers(manifest)}

## What it is
- Network: {made.network}, trained on {made.trained_on}.
- Input: {manifest.input.size}x{manifest.input.size} RGB, black outside the cell.
- Confidence: Mahalanobis distances of the layers ({weights}), bias {detector.bias:.4g}, epsilon
  {detector.epsilon:g}.
- Outline of ordinary cells: {outline}.
- Calibrated with {"no anomaly known" if manifest.calibrated.mode == "none" else manifest.calibrated.anomaly}
  on {manifest.calibrated.fusion_cells} cells; limits on {manifest.calibrated.threshold_cells} others,
  together set to reject {manifest.calibrated.alpha:.0%} of cells like them. {manifest.calibrated.how}.

## When it rejects a cell
A cell is rejected if it fails any of these tests. The share is the part of the rejected that calibration
gave to a test.

| test | accepted | rejected as | share |
|---|---|---|---|
{_tests(detector)}

## When it does not count a frame
A frame is not counted, and nothing is said of its cells, if it fails any of these gates.

| gate | counted | otherwise |
|---|---|---|
{_gates(manifest)}

{_measured(tested)}{_ood(tested)}{_corruptions(tested)}
## Largest differences from PyTorch on the reference inputs
| output | difference |
|---|---|
{parity}

## Where it comes from
Seed {made.seed}, code {made.git_commit}, torch {made.torch}; cells {made.cells_digest[:16]},
split {made.split_digest[:16]}.

## What it has not seen
Other stains, microscopes, species and stages than those of its training cells. A rejection says "unlike the
training cells", no more; an acceptance is no diagnosis.
"""


def _tests(detector: Detector) -> str:
    """The table of tests with the detector's limits, gravest first."""
    return "\n".join(
        f"| {test.name} | {test.side} {detector.limits[test.name]:.4g} | {test.reason.code}: "
        f"{test.reason.sentence} | {f'{test.share:.1%}' if test.share else 'fixed'} |"
        for test in table.TESTS
    )


def _gates(manifest: Manifest) -> str:
    """The table of gates with the bundle's limits, gravest first."""
    return "\n".join(
        f"| {gate.name} | {gate.side} {manifest.gates[gate.name]:.4g} | {gate.reason}: {gate.sentence} |"
        for gate in GATES
    )


def _measured(tested: Performance) -> str:
    cells = tested.parasitized + tested.uninfected
    return f"""## What was measured on test cells, split by {tested.split}
| figure | value | 95 % interval | cells |
|---|---|---|---|
| accuracy | {tested.accuracy:.2%} | {_bounds(tested.accuracy_interval)} | {cells} |
| sensitivity | {tested.sensitivity:.2%} | {_bounds(tested.sensitivity_interval)} | \
{tested.parasitized} parasitized |
| false positive rate | {tested.false_positive_rate:.2%} | {_bounds(tested.false_positive_rate_interval)} | \
{tested.uninfected} uninfected |
| rejected | {tested.rejected:.2%} | {_bounds(tested.rejected_interval)} | {cells} |
| accuracy of the accepted | {tested.accuracy_of_accepted:.2%} | | |
{_agreed(tested)}
Classes are judged on every cell, rejected or not, unless the figure says "accepted". The cells are of
{tested.patients} patients, who took no part in training or calibration if the split is by patient; the
intervals draw patients, not cells.{_folds(tested)}
"""


def _agreed(tested: Performance) -> str:
    """The figures by labels that can be trusted; none where nothing is known of them."""
    if not tested.agreed:
        return ""
    parasitized, healthy = tested.called_of_parasitized, tested.called_of_healthy
    return f"""| accuracy, where all readings agree | {tested.agreed_accuracy:.2%} | | {tested.agreed} |
| the same of the accepted | {tested.agreed_accuracy_of_accepted:.2%} | | |
| parasitized and accepted: called so | {_rate(parasitized)} |
| of healthy patients and accepted: called parasitized | {_rate(healthy)} |

The last two differ between patients: cells of one patient correlate by {parasitized.correlation:.3f} and \
{healthy.correlation:.3f}. The counts per patient stand in the manifest.
"""


def _rate(rate: Rate) -> str:
    """Share, interval and number, as the rest of a row; a share of nothing is none."""
    share = f"{rate.share:.2%}" if rate.accepted else "not measured"
    return f"{share} | {_bounds(rate.interval)} | {rate.called} of {rate.accepted}"


def _folds(tested: Performance) -> str:
    if tested.folds == 1:
        return ""
    return (
        f" They were judged by {tested.folds} networks of one recipe, each on patients that it never saw; "
        "the network of this bundle, of the same recipe, learned from all of them."
    )


def _bounds(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2%} to {interval[1]:.2%}"


def _ood(tested: Performance) -> str:
    """What is no red cell: how much of it is rejected, and so how much is let through."""
    if not tested.ood_rejected:
        return ""
    rows = "\n".join(
        f"| {kind} | {share:.1%} | {1 - share:.1%} |" for kind, share in tested.ood_rejected.items()
    )
    return f"""
## What it rejects and what it lets through
| images (number) | rejected | let through |
|---|---|---|
{rows}
"""


def _corruptions(tested: Performance) -> str:
    if not tested.corruptions_accepted:
        return ""
    rows = "\n".join(
        f"| {name} | {share:.1%} | {tested.corruptions_accuracy[name]:.1%} |"
        for name, share in tested.corruptions_accepted.items()
    )
    return f"""
## Test cells under a corruption of light or focus
| corruption | accepted | accuracy of the accepted |
|---|---|---|
{rows}
"""


def _answers(manifest: Manifest) -> str:
    """The classes, and which of them count as parasitized where their names do not tell."""
    told = f"{', '.join(manifest.classes)}, or rejected."
    if manifest.parasitized == ("parasitized",):
        return told
    return f"{told}\nWhat it calls {' or '.join(manifest.parasitized)} counts as parasitized."
