"""Fitting a detector to another site, whose stain, lamp or camera moves the features, from unlabelled cells.

Only the test of the features ("confidence") is fitted. All other limits stay: how sure the classifier must be
does not depend on the site, and cells without labels cannot tell where it is right; a stain or lamp does not
change an outline; and what is fainter was never measured. Whether a site can be trusted is judged by these
(see `trust`), and by cells that somebody has named, where there are some.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import MODEL_CARD, Bundle, save_bundle
from edge_runtime.cells.crops import read_crops
from edge_runtime.decision import table
from edge_runtime.decision.conformal import conformal_limit
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.device.labels import NamedCells
from edge_runtime.device.trust import (
    Named,
    check_answers,
    check_named,
    compare_named,
    failed_shares,
    sound,
    tell_failed,
    tell_named,
)
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.fields.gates import stopped_by
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import ImageFile, SkippedFrame

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
    """

    detector: Detector
    cells: int
    failed: Mapping[str, float]
    rejected_before: float
    rejected_after: float
    named: tuple[Named, ...] = ()


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


def site_cells(
    source: str | Path, size: int, limits: Mapping[str, float]
) -> tuple[NDArray[np.uint8], list[SkippedFrame]]:
    """The cells of a site: crops (an image, folder or zip), or the whole cells of a slide that was read.

    Args:
        source: of crops, or the folder that `cellgate read` wrote.
        size: side of the network's input.
        limits: of the gates, by name: what the fields of a slide must pass.

    Returns:
        uint8 [N, size, size, 3] RGB; and the crops that cannot be judged and the fields that do not pass the
        gates, with the reason.

    Raises:
        SourceError: there is nothing to read.
    """
    source = Path(source)
    if not (source / RECORD).exists():
        return read_crops(list_images(source), size)
    with SlideRecord.open(source / RECORD) as record:
        stopped: list[SkippedFrame] = []
        crops, skipped = read_crops(_cells_of(record, source, limits, stopped), size)
    return crops, stopped + skipped


def _cells_of(
    record: SlideRecord, source: Path, limits: Mapping[str, float], stopped: list[SkippedFrame]
) -> Iterator[ImageFile]:
    """The judged cells of the fields that pass the gates, but those that were no whole cells.

    The fields that do not pass go to `stopped`.
    """
    no_cells = {test.reason for test in record.header().tests if not test.whole}
    for field in record.fields():
        name = f"{source}, field {field.number}"
        if gates := stopped_by(field.values, limits):
            stopped.append(SkippedFrame(name, f"{gates[0].sentence}; {gates[0].advice}"))
            continue
        yield from (
            ImageFile(name, partial(bytes, cell.crop))
            for cell in field.cells
            if cell.crop and cell.reason not in no_cells
        )


def recalibrate_bundle(
    classifier: Classifier,
    resized: NDArray[np.uint8],
    site: str,
    out: str | Path,
    named: NamedCells | None = None,
) -> Recalibration:
    """Write a bundle for a site: the same graph, with the detector fitted to the site's cells.

    Args:
        classifier: with the bundle to start from.
        resized: uint8 [N, size, size, 3] RGB, as `preprocessing.resize_crop` makes them.
        site: name of the site; it becomes part of the bundle's name.
        out: folder to make; it must not exist, or be empty.
        named: cells of the site whose class somebody has named; None if nobody has.

    Raises:
        SourceError: `out` holds something, or there are too few cells.
        CheckFailedError: see `recalibrate` and `check_named`.
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


def _card(bundle: Bundle, made: Recalibration, site: str) -> bytes:
    """The model card, which tells first that its figures are those of another threshold."""
    card = bundle.contents[MODEL_CARD].decode("utf-8", errors="replace")
    known = (
        f"Cells that somebody has named: {tell_named(made.named)}."
        if made.named
        else "No label was used, so nothing is known of the accuracy at this site."
    )
    return f"""# {bundle.manifest.name}-{site}

Recalibrated from {bundle.title} on {made.cells} unlabelled cells of {site}: of these
{made.rejected_before:.1%} were rejected before and {made.rejected_after:.1%} are now. Shares that failed each
test before: {tell_failed(made.failed)}. The limit of the confidence is
{made.detector.limits[table.CONFIDENCE]:.4g}; all others are unchanged. {known} All that follows was written
of the bundle before.

{card}""".encode()
