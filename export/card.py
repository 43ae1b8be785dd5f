"""The model card: what a person should know before trusting a bundle, from the manifest alone."""

from edge_runtime.manifest import Manifest


def model_card(manifest: Manifest) -> str:
    """MODEL_CARD.md for a manifest, complete but for the hashes."""
    tested, detector, made = manifest.performance, manifest.detector, manifest.provenance
    weights = ", ".join(
        f"{layer} {w:.3g}" for layer, w in zip(detector.layers, detector.weights, strict=True)
    )
    parity = "\n".join(f"| {name} | {value:.1e} |" for name, value in manifest.parity.items())
    return f"""# {manifest.name} {manifest.version}

**{manifest.intended_use}**

Says of a cell from a Giemsa-stained thin blood film: {", ".join(manifest.classes)}, or rejected.

## What it is
- Network: {made.network}, {manifest.input.size}x{manifest.input.size} RGB, black outside the cell.
- Rejection: Mahalanobis confidence over {len(detector.layers)} layers ({weights}), bias {detector.bias:.4g},
  epsilon {detector.epsilon:g}, accepted at {detector.threshold:.4g} or above.
- Calibrated with {"no anomaly known" if manifest.calibrated.mode == "none" else manifest.calibrated.anomaly}
  on {manifest.calibrated.fusion_cells} cells; threshold on {manifest.calibrated.threshold_cells} others,
  set to reject {manifest.calibrated.alpha:.0%} of cells like them. {manifest.calibrated.how}.

## What was measured on test cells, split by {tested.split}
| figure | value | cells |
|---|---|---|
| sensitivity | {tested.sensitivity:.2%} | {tested.parasitized} parasitized |
| false positive rate | {tested.false_positive_rate:.2%} | {tested.uninfected} uninfected |
| rejected | {tested.rejected:.2%} | {tested.parasitized + tested.uninfected} |

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
