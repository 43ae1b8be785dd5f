"""The evaluation as two tables in Markdown: as in the paper, and honest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from training.evaluation.counting import BOTH, SHIPPED, Evaluation
from training.evaluation.rows import (
    NO_FUSION,
    OTHER_ANOMALY,
    PAPER_PROTOCOL,
    UNSUPERVISED,
    Row,
    heading,
)
from training.evaluation.scorers import FUSED, OWN
from training.evaluation.standings import GROUPS, standings

PAPER = ("softmax margin", "ODIN", "LID", "Mahalanobis", OWN, BOTH)
Key = TypeVar("Key")

_HEADER = """\
Positive is in-distribution: test cells, wrongly classified ones among them. A high score means
in-distribution. TNR is the largest at a TPR of at least 95 %; AUROC counts ties half; detection accuracy is
the best mean of TPR and TNR; AUPR depends on the prevalence (share of in-distribution images), which stands
beside it. Intervals are 95 % bootstrap intervals over patients. Every row has passed the bounds that no score
can break.
"""


def paper_table(made: Evaluation) -> str:
    """The paper's table: its inputs and systems, each fusion fitted on the very anomaly."""
    rows = [
        row
        for row in made.rows
        if row.detector in PAPER
        and row.mode in (PAPER_PROTOCOL, NO_FUSION)
        and (row.group == "paper" or "whole frame, float" in row.images)
    ]
    head = ["images", "n", "prevalence", "detector", "TNR", "AUROC (95 %)", "detection accuracy"]
    head += ["AUPR in", "AUPR out"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        found = row.separation
        shares = (found.detection_accuracy, found.aupr_in, found.aupr_out)
        lines.append(
            _line(
                [
                    row.images,
                    f"{row.inside} + {row.outside}",
                    f"{row.prevalence:.2f}",
                    row.detector,
                    _percent(found.tnr),
                    _with_interval(row),
                    *map(_percent, shares),
                ]
            )
        )
    told = (
        f"The last two detectors, {OWN} and their fusion with what the tests of the answer see, are ours. "
        "Fusions are fitted on one half of the very images whose other half they are tested on, as the "
        f"paper's are ({PAPER_PROTOCOL}): an upper bound, not what a device can have."
    )
    return "\n\n".join(["# As in the paper", made.subject, _HEADER, told, "\n".join(lines)]) + "\n"


def honest_table(made: Evaluation) -> str:
    """Every set with every detector that has seen no anomaly, or another; corruptions; thresholds."""
    rows = [row for row in made.rows if row.mode != PAPER_PROTOCOL]
    titles = _ordered(row.title for row in rows)
    sets = _ordered((row.group, row.images) for row in rows)
    by_key = {(row.images, row.title): row for row in made.rows}
    parts = [
        "# Honest",
        f"{made.subject}. The classifier is right on {made.clean_accuracy:.2%} of the in-distribution cells.",
        _HEADER,
        "## Where no anomaly is known: means over the sets",
        _standings(made),
        "## AUROC, in per cent",
        _grid(sets, titles, by_key, _with_interval),
        "## TNR at a TPR of 95 %",
        _grid(sets, titles, by_key, lambda row: _percent(row.separation.tnr)),
        "## Rejected: by the shipped detector's own limits, by others at a threshold set on validation cells",
        _grid(sets, titles, by_key, lambda row: _percent(row.refused)),
        "## Clean cells at these thresholds",
        _thresholds(made, titles),
        "## Attacks",
        _attacks(made),
        "## What knowing the anomaly would gain",
        _known(sets, by_key),
        "## Corruptions by the microscope, as the shipped detector decides",
        _corruptions(made),
        "## An attacker who knows the decision",
        _adaptive(made),
    ]
    return "\n\n".join(parts) + "\n"


def _standings(made: Evaluation) -> str:
    head = ["detector", *(f"AUROC, {group}" for group in GROUPS), "mean (95 %)"]
    head += ["attacks rejected", "clean cells rejected", "accepted under harmless corruptions"]
    lines = [_line(head), _line(["---"] * len(head))]
    for one in standings(made):
        mean = f"{_percent(one.mean)} ({_percent(one.interval[0])}-{_percent(one.interval[1])})"
        shares = (one.refused, one.clean, one.harmless)
        lines.append(_line([one.title, *map(_percent, one.aurocs), mean, *map(_percent, shares)]))
    told = "Attacks are successful ones by BIM within 2, 4 and 8 grey levels, on the cell only, in 8 bit."
    return "\n".join([told, "", *lines])


def _attacks(made: Evaluation) -> str:
    lines = [
        "| attack | cells attacked | turned | of these rejected by the shipped detector |",
        "|---|---|---|---|",
    ]
    for kept in made.sets:
        if kept.set.group == "attacks":
            turned = len(kept.set)
            refused = 1 - kept.accepted(made.thresholds, SHIPPED).mean() if turned else float("nan")
            share = turned / kept.set.attempts if kept.set.attempts else float("nan")
            lines.append(
                _line(
                    [kept.set.name, str(kept.set.attempts), f"{_percent(share)} %", f"{_percent(refused)} %"]
                )
            )
    return "\n".join(lines)


def _known(sets: Sequence[tuple[str, str]], by_key: Mapping[tuple[str, str], Row]) -> str:
    modes = (PAPER_PROTOCOL, OTHER_ANOMALY, UNSUPERVISED)
    titles = [SHIPPED, heading(BOTH, PAPER_PROTOCOL)]
    titles += [heading(name, mode) for name in FUSED for mode in modes]
    titles.remove(heading("LID", OTHER_ANOMALY))  # its bank of training cells knows no anomaly
    lines = [_line(["images", *titles]), _line(["---"] * (1 + len(titles)))]
    for _, images in sets:
        found = [by_key.get((images, title)) for title in titles]
        lines.append(
            _line([images, *("" if row is None else _percent(row.separation.auroc) for row in found)])
        )
    return "\n".join(lines)


def _grid(
    sets: Sequence[tuple[str, str]],
    detectors: Sequence[str],
    by_key: Mapping[tuple[str, str], Row],
    show: Callable[[Row], str],
) -> str:
    head = ["images", "n", *detectors]
    lines = [_line(head), _line(["---"] * len(head))]
    for _, images in sets:
        some = next(row for key, row in by_key.items() if key[0] == images)
        values = [show(by_key[images, d]) if (images, d) in by_key else "" for d in detectors]
        lines.append(_line([images, str(some.outside), *values]))
    return "\n".join(lines)


def _thresholds(made: Evaluation, titles: Sequence[str]) -> str:
    lines = [
        "| detector | clean test cells rejected | accepted under harmless corruptions, mean |",
        "|---|---|---|",
    ]
    for title in titles:
        rejected = 1 - made.clean.accepted(made.thresholds, title).mean()
        harmless = made.harmless_accepted.get(title, float("nan"))
        lines.append(_line([title, _percent(rejected), _percent(harmless)]))
    return "\n".join(lines)


def _corruptions(made: Evaluation) -> str:
    lines = [
        "| corruption | severity | n | accuracy | cost | accepted | accuracy of the accepted | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.corruption} | {row.severity} | {row.cells} "
        f"| {_percent(row.accuracy)} | {100 * row.cost:+.1f} "
        f"| {_percent(row.accepted)} | {_percent(row.accuracy_of_accepted)} | {row.verdict} |"
        for row in made.corruptions
    ]
    return "\n".join(lines)


def _adaptive(made: Evaluation) -> str:
    curve = made.curve
    if curve is None:
        return "Not attacked."
    lines = [
        f"On {curve.cells} cells, right and accepted when clean; the cell only, 8 bit, BIM.",
        "",
        "| grey levels | class turned | turned and accepted | the same, by an attack on the whole decision |",
        "|---|---|---|---|",
    ]
    columns = zip(curve.levels, curve.classifier, curve.unnoticed, curve.adaptive, strict=True)
    lines += [_line([f"{level:g}", *map(_percent, shares)]) for level, *shares in columns]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _ordered(values: Iterable[Key]) -> list[Key]:
    """Each once, in the order of their first appearance."""
    return list(dict.fromkeys(values))


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}"


def _with_interval(row: Row) -> str:
    low, high = row.auroc_interval
    return f"{_percent(row.separation.auroc)} ({_percent(low)}-{_percent(high)})"
