"""Fitting a detector to another site, whose stain, lamp or camera moves the features, from unlabelled cells.

Only the test of the features ("confidence") is fitted. All other limits stay: how sure the classifier must be
does not depend on the site, and cells without labels cannot tell where it is right; a stain or lamp does not
change an outline; and what is fainter was never measured. Whether a site can be trusted is judged by these
(see `trust`), and by cells that somebody has named, where there are some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import MODEL_CARD, Bundle, save_bundle
from edge_runtime.decision import table
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.device.labels import NamedCells
from edge_runtime.device.trust import (
    FalseCalls,
    Named,
    check_answers,
    check_false,
    check_named,
    compare_named,
    failed_shares,
    false_rate,
    sound,
    tell_failed,
    tell_false,
    tell_named,
)
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.report.estimate import rates_of

Array = NDArray[np.float64]

FEWEST_CELLS = 100
_TRIMMED = 0.025  # share of the lowest confidences that do not widen a layer's spread: they may be no cells


@dataclass(frozen=True)
class Recalibration:
    """What became of a detector.

    Attributes:
        detector: fitted to the site.
        cells: number of the site's cells that it was fitted on.
        failed: share of these that failed each test before, by the test's name.
        rejected_before: share of these that were rejected before.
        rejected_after: share that is rejected now.
        named: what is said of the cells that somebody has named, a class each.
        false: what is said of the cells of known-negative slides; None where there are none.
    """

    detector: Detector
    cells: int
    failed: Mapping[str, float]
    rejected_before: float
    rejected_after: float
    named: tuple[Named, ...] = ()
    false: FalseCalls | None = None


def recalibrate(detector: Detector, evidence: Evidence, *, alpha: float) -> Recalibration:
    """Fit the test of the features to the cells of a site.

    Each layer's confidence is standardised on the site's cells, as calibration without a known anomaly does,
    so that no layer which the site has moved or widened outweighs the others; the limit is where this test's
    share of alpha lies below. A few OOD objects among the cells only make it reject fewer of them.

    Args:
        detector: of the bundle.
        evidence: of at least FEWEST_CELLS cells of the site, without labels: red cells of ordinary slides.
        alpha: share of good cells that all tests together should reject.

    Raises:
        SourceError: too few cells.
        CheckFailedError: too many of them fail the other tests: what the classifier says of them may be
            wrong, and without labels nobody would know. Or too few of them for an alpha this small.
    """
    if len(evidence) < FEWEST_CELLS:
        raise SourceError(
            f"{len(evidence)} cells; give at least {FEWEST_CELLS} of this site, or all of a slide"
        )
    before = decide(detector, evidence)
    check_answers(before, alpha)
    # What is no cell, or cannot be judged, does not say what cells of this site look like.
    confidences = before.confidences[sound(before)]
    spread = np.maximum(confidences, np.quantile(confidences, _TRIMMED, axis=0)).std(axis=0)
    if not (np.isfinite(spread) & (spread > 0)).all():
        raise CheckFailedError("the confidences of these cells do not vary; give different cells")
    used = np.array(detector.weights) != 0
    weights = np.where(used, 1 / (spread * used.sum()), 0.0)
    bias = -float((weights * np.median(confidences, axis=0)).sum())
    here = replace(detector, weights=tuple(weights.tolist()), bias=bias)
    share = next(test.share for test in table.TESTS if test.name == table.CONFIDENCE)
    limit = conformal_limit(here.overall(confidences), alpha * share)
    fitted = replace(here, limits={**here.limits, table.CONFIDENCE: limit})
    return Recalibration(
        detector=fitted,
        cells=len(evidence),
        failed=failed_shares(before),
        rejected_before=float(before.rejected.mean()),
        rejected_after=float(decide(fitted, evidence).rejected.mean()),
    )


def recalibrate_bundle(
    classifier: Classifier,
    resized: NDArray[np.uint8],
    site: str,
    out: str | Path,
    named: NamedCells | None = None,
    negative: Sequence[NDArray[np.uint8]] = (),
) -> Recalibration:
    """Write a bundle for a site: the same graph, with the detector fitted to the site's cells.

    Args:
        classifier: with the bundle to start from.
        resized: uint8 [N, size, size, 3] RGB, as `preprocessing.resize_crop` makes them.
        site: name of the site; it becomes part of the bundle's name.
        out: folder to make; it must not exist, or be empty.
        named: cells of the site whose class somebody has named; None if nobody has.
        negative: cells of known-negative slides, as `resized`, an array for each slide.

    Raises:
        SourceError: `out` holds something, or there are too few cells.
        CheckFailedError: see `recalibrate`, `check_named` and `check_false`.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise SourceError(f"{out}: not empty; choose another folder for the bundle")
    bundle = classifier.bundle
    manifest = bundle.manifest
    made = recalibrate(manifest.detector, classifier.evidence(resized), alpha=manifest.calibrated.alpha)
    if named is not None:
        seen = classifier.evidence(named.crops)
        before, after = (decide(detector, seen) for detector in (manifest.detector, made.detector))
        made = replace(made, named=compare_named(before, after, named.labels, manifest.classes))
        check_named(made.named)
    if negative:
        made = replace(made, false=_false_calls(classifier, made.detector, negative))
    told = f"recalibrated on {made.cells} unlabelled cells of {site}, from {bundle.title}"
    save_bundle(
        out,
        replace(
            manifest,
            name=f"{manifest.name}-{site}",
            detector=made.detector,
            calibrated=replace(manifest.calibrated, how=f"{manifest.calibrated.how}; {told}"),
        ),
        {**bundle.contents, MODEL_CARD: _card(bundle, made, site)},
    )
    return made


def _false_calls(
    classifier: Classifier, fitted: Detector, negative: Sequence[NDArray[np.uint8]]
) -> FalseCalls:
    manifest = classifier.bundle.manifest
    seen = [classifier.evidence(crops) for crops in negative]
    before, now = (
        false_rate([decide(detector, slide) for slide in seen], detector.parasitized)
        for detector in (manifest.detector, fitted)
    )
    calls = FalseCalls(before, now)
    check_false(calls, rates_of(manifest.performance.counts)[1])
    return calls


def _card(bundle: Bundle, made: Recalibration, site: str) -> bytes:
    """The model card, which tells first that its figures are those of another threshold."""
    card = bundle.contents[MODEL_CARD].decode("utf-8", errors="replace")
    told = [f"Cells that somebody has named: {tell_named(made.named)}."] if made.named else []
    told += [f"Known-negative slides: {tell_false(made.false)}."] if made.false else []
    known = " ".join(told) or "No label was used, so nothing is known of the accuracy at this site."
    return f"""# {bundle.manifest.name}-{site}

Recalibrated from {bundle.title} on {made.cells} unlabelled cells of {site}: of these
{made.rejected_before:.1%} were rejected before and {made.rejected_after:.1%} are now. Shares that failed each
test before: {tell_failed(made.failed)}. The limit of the confidence is
{made.detector.limits[table.CONFIDENCE]:.4g}; all others are unchanged. {known} All that follows was written
of the bundle before.

{card}""".encode()
