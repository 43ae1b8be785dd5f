"""Whether the answers at a site can be relied on: are they sure and stable, and right where a cell is named?

That a site's cells are unlike the training cells says nothing about it: another microscope moves all
features, and the answers may be as good as ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.errors import CheckFailedError
from edge_runtime.statistics.control import exceeds, interval_of
from edge_runtime.statistics.rates import MeasuredRate

# Times alpha, as shares of a site's cells: between what clean cells and what spoilt ones show
# (docs/experiments/2026-11-27-evidence.md). Beyond the first the classifier fails there, or the cutting of
# cells; beyond the second too many cells are called parasitized without being surely so.
MOST_LOST, MOST_UNCERTAIN = 1.5, 3
MOST_WRONG = 0.05  # share of a class's accepted cells that may be called otherwise, where cells are named
_NORMAL = 1.645  # one-sided 95 %


@dataclass(frozen=True)
class Named:
    """What became of a site's cells of one class, as somebody named them.

    Attributes:
        label: the class.
        cells: how many were named so.
        accepted_before: how many of them the bundle accepted before it was fitted.
        accepted: how many it accepts now.
        right: how many of those that it accepts now have this class.
    """

    label: str
    cells: int
    accepted_before: int
    accepted: int
    right: int


@dataclass(frozen=True)
class FalseCalls:
    """What became of the cells of a site's known-negative slides, per cell that is accepted or suspect.

    Attributes:
        before: rate of false positives by the bundle before it was fitted.
        now: by the one that it is now.
    """

    before: MeasuredRate
    now: MeasuredRate


def failed_shares(decisions: Decisions) -> dict[str, float]:
    """Share of the cells that fail each test, by the test's name."""
    return {test.name: float(decisions.failed_by(test.name).mean()) for test in table.TESTS}


def sound(decisions: Decisions) -> NDArray[np.bool_]:
    """Which cells pass every test but that of the features: bool [N]."""
    others = np.array([test.name != table.CONFIDENCE for test in table.TESTS])
    return np.asarray(~decisions.failed[:, others].any(axis=1))


def check_answers(decisions: Decisions, alpha: float) -> None:
    """Refuse a site where the answers are not sure and stable, or cells are not whole or faint.

    What is no red cell by its size does not count.

    Args:
        decisions: of the site's cells, before anything is fitted.
        alpha: share of good cells that all tests together should reject.

    Raises:
        CheckFailedError: more of the cells fail than MOST_LOST and MOST_UNCERTAIN allow, and no new limit
            would mend it.
    """
    sized = np.array([test.name in {table.SMALL, table.LARGE} for test in table.TESTS])
    cells = ~decisions.failed[:, sized].any(axis=1)  # the others are platelets, crumbs and clumps
    if not cells.any():
        raise CheckFailedError("none of these is as large as a red cell; give red cells of ordinary slides")
    lost: dict[table.Reason, NDArray[np.bool_]] = {}
    for test in table.TESTS:
        if test.name not in {table.CONFIDENCE, table.CERTAINTY, table.SMALL, table.LARGE}:
            lost[test.reason] = decisions.failed_by(test.name)[cells] | lost.get(test.reason, False)
    share = float(np.any(list(lost.values()), axis=0).mean())
    if share > MOST_LOST * alpha:
        told = ", ".join(
            f"{failing.mean():.0%} {reason.sentence}" for reason, failing in lost.items() if failing.any()
        )
        raise CheckFailedError(
            f"{share:.0%} of these cells are rejected for what no limit mends ({told}), and "
            f"{MOST_LOST * alpha:.0%} may be: check focus, light, stain and how cells are cut, or train with "
            "cells of this site"
        )
    uncertain = float(decisions.failed_by(table.CERTAINTY)[cells].mean())
    if uncertain > MOST_UNCERTAIN * alpha:
        raise CheckFailedError(
            f"{uncertain:.0%} of these cells are called parasitized, but not surely, and "
            f"{MOST_UNCERTAIN * alpha:.0%} may be: check focus, light and stain, or train with cells of "
            "this site"
        )


def compare_named(
    before: Decisions, after: Decisions, labels: NDArray[np.int64], classes: Sequence[str]
) -> tuple[Named, ...]:
    """What is said of named cells, class by class; of classes that nobody named, nothing.

    Args:
        before: decisions by the bundle as it was.
        after: and as it was fitted.
        labels: int64 [N], the classes as they were named.
        classes: their names.
    """
    right = after.label == labels
    return tuple(
        Named(
            label=name,
            cells=int(of.sum()),
            accepted_before=int((of & ~before.rejected).sum()),
            accepted=int((of & ~after.rejected).sum()),
            right=int((of & ~after.rejected & right).sum()),
        )
        for number, name in enumerate(classes)
        if (of := labels == number).any()
    )


def check_named(named: Sequence[Named]) -> None:
    """Refuse a site where named cells show that the answers are wrong.

    Raises:
        CheckFailedError: of a class, more than MOST_WRONG of the accepted cells are called otherwise, also
            where chance is allowed for (the one-sided 95 % bound of Wilson 1927).
    """
    for one in named:
        wrong = one.accepted - one.right
        if _lower_bound(wrong, one.accepted) > MOST_WRONG:
            raise CheckFailedError(
                f"of {one.accepted} accepted cells named {one.label}, {wrong} are called otherwise: the "
                "classifier errs at this site; check the labels, or train with cells of this site"
            )


def tell_named(named: Sequence[Named]) -> str:
    """Named cells in words."""
    return "; ".join(
        f"of {one.cells} cells named {one.label} {one.accepted_before} were accepted before and "
        f"{one.accepted} are now, {one.right} of these rightly"
        for one in named
    )


def false_rate(slides: Sequence[Decisions], parasitized: Sequence[int]) -> MeasuredRate:
    """Rate of false positives on known-negative slides, and how much these differ.

    Args:
        slides: decisions of the cells of each.
        parasitized: indices of the classes that count so.
    """
    others = np.array([test.reason != table.SUSPECT for test in table.TESTS])
    return MeasuredRate.of_patients(
        [int((~seen.rejected & np.isin(seen.label, parasitized)).sum()) for seen in slides],
        [int((~seen.failed[:, others].any(axis=1)).sum()) for seen in slides],
    )


def check_false(calls: FalseCalls, stated: MeasuredRate) -> None:
    """Refuse a site whose known-negative slides have more false positives than the bundle states.

    Args:
        calls: on these slides.
        stated: by the bundle's manifest.

    Raises:
        CheckFailedError: they have, beyond the doubts of both rates.
    """
    if exceeds(calls.now, stated):
        most = interval_of(stated).high
        raise CheckFailedError(
            f"{tell_false(calls)}, and the bundle states at most {most:.2%}: the classifier "
            "errs at this site; look at the called cells in the reports of these slides, or train with cells "
            "of this site"
        )


def tell_false(calls: FalseCalls) -> str:
    """False calls in words."""
    before, now = calls.before, calls.now
    return (
        f"of {now.cells} cells of {now.patients} known-negative slides {now.hits} are called parasitized, "
        f"and of {before.cells} {before.hits} were before"
    )


def tell_failed(failed: Mapping[str, float]) -> str:
    """Shares by test in words."""
    return ", ".join(f"{name} {share:.1%}" for name, share in failed.items())


def _lower_bound(hits: int, total: int) -> float:
    """Lower bound of a share by Wilson's score interval; 0 of nothing."""
    if not total:
        return 0.0
    share, square = hits / total, _NORMAL**2
    middle = share + square / (2 * total)
    half = _NORMAL * float(np.sqrt(share * (1 - share) / total + square / (4 * total**2)))
    return (middle - half) / (1 + square / total)
