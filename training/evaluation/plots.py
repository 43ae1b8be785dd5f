"""The evaluation in pictures: counterparts of the paper's figures, and those that a clinic needs."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation.counting import SHIPPED, Evaluation
from training.evaluation.kept import Kept
from training.evaluation.metrics import rates
from training.evaluation.rows import PAPER_PROTOCOL, UNSUPERVISED, Row, heading

_PAPER = ("softmax margin", "ODIN", heading("Mahalanobis", PAPER_PROTOCOL))
# Told apart also without colour vision (Okabe and Ito's palette).
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_GALLERY = 24


def _figure(width: float = 7.0, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _outside(made: Evaluation) -> list[Kept]:
    """The sets that should be rejected, with enough images to draw."""
    return [kept for kept in made.sets if kept.set.group != "corruptions" and len(kept.set) > 1]


def _inputs(made: Evaluation) -> Figure:
    worst = [kept for kept in made.sets if kept.set.group == "corruptions" and kept.set.name.endswith(" 5")]
    sets = [made.clean, *_outside(made), *worst]
    return _pictures([kept.set.images[0] for kept in sets], [kept.set.name for kept in sets])


def _bars(made: Evaluation, label: str, value: Callable[[Row], float]) -> Figure | None:
    rows = [row for row in made.rows if row.group == "paper" and row.title in _PAPER]
    if not rows:
        return None
    sets = list(dict.fromkeys(row.images for row in rows))
    figure, axes = _figure()
    for number, title in enumerate(_PAPER):
        found = [value(row) for row in rows if row.title == title]
        places = np.arange(len(found)) + (number - 1) * 0.27
        bars = axes.bar(places, 100 * np.array(found), 0.25, label=title, color=_COLOURS[number])
        axes.bar_label(bars, fmt="%.1f", fontsize=8)
    axes.set_xticks(range(len(sets)), sets)
    axes.set_ylabel(f"{label}, %")
    axes.set_ylim(0, 110)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _roc(made: Evaluation) -> Figure | None:
    sets = _outside(made)
    if not sets:
        return None
    figure, axes = _figure(8, 5)
    colours = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, len(sets)))
    for colour, kept in zip(colours, sets, strict=True):
        tpr, tnr = rates(made.clean.scores[SHIPPED], kept.scores[SHIPPED])
        axes.plot(1 - tnr, tpr, color=colour, label=kept.set.name, linewidth=1.2)
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.set_xlabel("share of the others accepted")
    axes.set_ylabel("share of cells accepted")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7)
    return figure


def _scores(made: Evaluation) -> Figure | None:
    sets = [made.clean, *_outside(made)]
    figure = Figure(figsize=(7, 0.42 * len(sets) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    low = min(np.quantile(kept.scores[SHIPPED], 0.05) for kept in sets)
    # Far below the threshold, distances grow without end: drawn on a scale of powers.
    bins = np.concatenate([-np.geomspace(max(-low, 10), 1, 40), np.linspace(-0.95, 2.5, 50)])
    for place, kept in enumerate(reversed(sets)):
        counts, edges = np.histogram(np.clip(kept.scores[SHIPPED], bins[0], bins[-1]), bins)
        height = 0.85 * counts / max(counts.max(), 1)
        colour = _COLOURS[0] if kept is made.clean else _COLOURS[4]
        axes.stairs(height + place, edges, baseline=place, fill=True, color=colour, alpha=0.7)
    axes.axvline(made.thresholds[SHIPPED], color="black", linewidth=1, label="threshold")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yticks(range(len(sets)), [kept.set.name for kept in reversed(sets)], fontsize=7)
    axes.set_xlabel("score (1 is as far above the median as the strictest share lies below)")
    axes.legend(loc="upper left", fontsize=7)
    return figure


def _coverage(made: Evaluation) -> Figure:
    """Cells are dropped from the lowest score on; what is left should be right more often."""
    figure, axes = _figure()
    right = made.clean.right
    for colour, title in zip(
        _COLOURS, (SHIPPED, "softmax margin", heading("Mahalanobis", UNSUPERVISED)), strict=False
    ):
        order = np.argsort(-made.clean.scores[title], kind="stable")
        share = np.arange(1, len(right) + 1) / len(right)
        axes.plot(share, np.cumsum(right[order]) / np.arange(1, len(right) + 1), color=colour, label=title)
    axes.set_xlim(0.2, 1)
    axes.set_xlabel("share of cells answered")
    axes.set_ylabel("accuracy of these")
    axes.legend()
    return figure


def _corruptions(made: Evaluation) -> Figure | None:
    if not made.corruptions:
        return None
    names = list(dict.fromkeys(row.corruption for row in made.corruptions))
    figure = Figure(figsize=(10, 6), layout="constrained")
    for number, name in enumerate(names):
        axes = figure.add_subplot(3, 5, number + 1)
        rows = [row for row in made.corruptions if row.corruption == name]
        severity = [row.severity for row in rows]
        axes.plot(severity, [row.accepted for row in rows], color=_COLOURS[0], marker="o", label="accepted")
        axes.plot(severity, [row.accuracy for row in rows], color=_COLOURS[1], marker="s", label="accuracy")
        accepted = [row.accuracy_of_accepted for row in rows]
        axes.plot(severity, accepted, color=_COLOURS[2], marker="^", label="accuracy of accepted")
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 1.03)
        axes.set_xticks(severity)
        if number == 0:
            axes.legend(fontsize=6, loc="lower left")
    figure.supxlabel("severity", fontsize=9)
    figure.supylabel("share of cells", fontsize=9)
    return figure


def _adaptive(made: Evaluation) -> Figure | None:
    curve = made.curve
    if curve is None:
        return None
    figure, axes = _figure()
    for colour, label, shares in (
        (_COLOURS[4], "class turned", curve.classifier),
        (_COLOURS[0], "turned and accepted, attack on the class", curve.unnoticed),
        (_COLOURS[2], "turned and accepted, attack on the whole decision", curve.adaptive),
    ):
        axes.plot(curve.levels, 100 * np.array(shares), marker="o", color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(curve.levels, [f"{level:g}" for level in curve.levels])
    axes.set_xlabel("strength in grey levels (L-infinity)")
    axes.set_ylabel(f"% of {curve.cells} cells")
    axes.legend(fontsize=8)
    return figure


def _wrong(made: Evaluation) -> Figure:
    clean = made.clean
    wrong = np.flatnonzero(~clean.right & clean.accepted(made.thresholds, SHIPPED))
    order = wrong[np.argsort(-clean.scores["softmax margin"][wrong])][:_GALLERY]
    titles = [f"labelled {made.classes[clean.set.labels[i]]}" for i in order]
    return _pictures([clean.set.images[i] for i in order], titles)


def _rejected(made: Evaluation) -> Figure:
    clean = made.clean
    rejected = np.flatnonzero(~clean.accepted(made.thresholds, SHIPPED))
    order = rejected[np.argsort(clean.scores[SHIPPED][rejected])][:_GALLERY]
    titles = [f"{made.classes[clean.set.labels[i]]}, {clean.scores[SHIPPED][i]:.1f}" for i in order]
    return _pictures([clean.set.images[i] for i in order], titles)


def _pictures(images: Sequence[NDArray[np.generic]], titles: Sequence[str]) -> Figure:
    if not images:
        figure, axes = _figure(4, 1.5)
        axes.text(0.5, 0.5, "none", ha="center")
        axes.axis("off")
        return figure
    columns = min(8, len(images))
    lines = -(-len(images) // columns)
    figure = Figure(figsize=(1.45 * columns, 1.65 * lines + 0.4), layout="constrained")
    for number, (image, title) in enumerate(zip(images, titles, strict=True)):
        axes = figure.add_subplot(lines, columns, number + 1)
        axes.imshow(image)
        axes.set_title("\n".join(_wrapped(title)), fontsize=6)
        axes.axis("off")
    return figure


def _wrapped(title: str) -> list[str]:
    return title.split(", ") if len(title) > 18 else [title]


Plot = Callable[[Evaluation], Figure | None]

# By file name: the title, and what draws it.
FIGURES: Mapping[str, tuple[str, Plot]] = {
    "figure-1-inputs": ("One image of every kind of input", _inputs),
    "figure-2-tnr": (
        "TNR at 95 % TPR on the paper's second set",
        lambda m: _bars(m, "TNR at 95 % TPR", lambda row: row.separation.tnr),
    ),
    "figure-3-auroc": (
        "AUROC on the paper's second set",
        lambda m: _bars(m, "AUROC", lambda row: row.separation.auroc),
    ),
    "figure-4-detection-accuracy": (
        "Detection accuracy on the paper's second set",
        lambda m: _bars(m, "detection accuracy", lambda row: row.separation.detection_accuracy),
    ),
    "figure-5-aupr": (
        "AUPR (in-distribution positive) on the paper's second set",
        lambda m: _bars(m, "AUPR in", lambda row: row.separation.aupr_in),
    ),
    "roc": ("ROC of the shipped detector", _roc),
    "scores": ("Scores of the shipped detector", _scores),
    "coverage": ("Accuracy against coverage", _coverage),
    "corruptions": ("Corruptions by the microscope", _corruptions),
    "adaptive": ("An attacker who knows the decision", _adaptive),
    "gallery-wrong": ("Wrong, and surest of it", _wrong),
    "gallery-rejected": ("Rejected test cells, farthest first", _rejected),
}


def draw_all(made: Evaluation, folder: Path) -> list[Path]:
    """Draw every figure whose data there is, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        for name, (title, plot) in FIGURES.items():
            figure = plot(made)
            if figure is not None:
                figure.suptitle(title)
                paths.append(folder / f"{name}.png")
                figure.savefig(paths[-1], dpi=120)
    return paths
