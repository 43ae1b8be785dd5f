"""How well a score separates cells that should be accepted from what should not be.

Positive is in-distribution, and a high score means in-distribution. TPR is the share of in-distribution
images at or above a threshold, TNR the share of the others below it. Ties count half (AUROC), and a threshold
cannot part them (everything else).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

Array = NDArray[np.floating]

TPR = 0.95


@dataclass(frozen=True)
class Separation:
    """The figures of one row, each 0 to 1.

    Attributes:
        tnr: largest TNR over the thresholds with TPR of at least 95 %.
        auroc: probability that an in-distribution image scores higher than another; half where equal.
        detection_accuracy: largest mean of TPR and TNR over all thresholds.
        aupr_in: average precision with in-distribution as positive; it depends on the prevalence.
        aupr_out: average precision with the others as positive.
    """

    tnr: float
    auroc: float
    detection_accuracy: float
    aupr_in: float
    aupr_out: float


def separation(inside: Array, outside: Array) -> Separation:
    """Measure a score.

    Args:
        inside: [N] scores of in-distribution images, N of at least 1.
        outside: [M] scores of the others, M of at least 1.

    Raises:
        ValueError: no scores, or scores that are no numbers.
    """
    scores = np.concatenate([inside, outside]).astype(np.float64)
    if not (len(inside) and len(outside)) or np.isnan(scores).any():
        raise ValueError("scores of both kinds are needed, and every one must be a number")
    # Infinities keep their rank, which is all that is measured; scikit-learn refuses them.
    scores = np.nan_to_num(scores, posinf=np.finfo(np.float64).max, neginf=np.finfo(np.float64).min)
    labels = np.repeat([1, 0], [len(inside), len(outside)])
    tpr, tnr = rates(inside, outside)
    return Separation(
        tnr=float(tnr[tpr >= TPR].max()),
        auroc=float(roc_auc_score(labels, scores)),
        detection_accuracy=float(((tpr + tnr) / 2).max()),
        aupr_in=float(average_precision_score(labels, scores)),
        aupr_out=float(average_precision_score(1 - labels, -scores)),
    )


def rates(inside: Array, outside: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """TPR and TNR at every threshold that differs, from one that accepts all to one that accepts none."""
    cuts = np.append(np.unique(np.concatenate([inside, outside])), np.nan)  # nan: above everything
    known, others = np.sort(inside), np.sort(outside)
    tpr = 1 - np.searchsorted(known, cuts, side="left") / len(known)
    tnr = np.searchsorted(others, cuts, side="left") / len(others)
    return np.asarray(tpr), np.asarray(tnr)


def separation_of_lee(inside: Array, outside: Array) -> Separation:
    """The same figures as Lee et al. (2018) compute them, for comparison with printed tables only.

    It walks down the sorted scores one image at a time, in-distribution first among equals (so constant
    scores have an AUROC of 0); takes the threshold whose TPR is nearest to 95 %, and the worst TNR among
    those; and integrates precision by trapezoids between invented end points.
    """
    tp, fp = _walk(inside, outside)
    n, m = len(inside), len(outside)
    tpr, fpr = tp / n, fp / m
    nearest = np.abs(tpr - TPR)
    tnr = 1 - fpr[np.flatnonzero(nearest == nearest.min())[0]]
    # Where nothing is accepted (or rejected), the invented end point: no precision at all.
    precision_in = tp / np.maximum(tp + fp, 1)
    rejected = (n - tp) + (m - fp)
    precision_out = (m - fp) / np.maximum(rejected, 1)
    return Separation(
        tnr=float(tnr),
        auroc=float(_area(1 - fpr, tpr)),
        detection_accuracy=float(((tpr + 1 - fpr) / 2).max()),
        aupr_in=float(_area(tpr[::-1], precision_in[::-1])),
        aupr_out=float(_area(1 - fpr, precision_out)),
    )


def _walk(inside: Array, outside: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images of each kind still accepted, from all to none, dropping one image after another."""
    scores = np.concatenate([inside, outside])
    known = np.repeat([True, False], [len(inside), len(outside)])
    order = np.lexsort((~known, scores))  # ascending; in-distribution first among equals
    dropped = np.concatenate([[0], np.cumsum(known[order])])
    others = np.arange(len(scores) + 1) - dropped
    return (len(inside) - dropped).astype(np.float64), (len(outside) - others).astype(np.float64)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.trapezoid(y, x))
