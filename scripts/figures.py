"""The figures of the default bundle in README.md and docs/results.md, written from its manifest.

    python -m scripts.figures            # write them
    python -m scripts.figures --check    # exit code 1 if a page has others

What was measured stands in the manifest alone, so pages and model card cannot disagree. A page has the
table between the lines `<!-- figures -->` and `<!-- /figures -->`.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from edge_runtime.bundle.files import default_bundle, open_bundle
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.performance import Performance, Rate
from edge_runtime.console import Commands
from edge_runtime.errors import CheckFailedError

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/results.md")
START, END = "<!-- figures -->", "<!-- /figures -->"

# Kinds of OOD images by what their names hold. The same objects with their surroundings are left out.
SAME_SLIDES, WITH_SURROUNDINGS = "nih_native_ood/masked/", "nih_native_ood/context/"


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if a page has other figures.")
def main(check: bool) -> None:
    """Write the default bundle's figures into the pages that show them."""
    table = figures(open_bundle(default_bundle()).manifest)
    stale = [page for page in PAGES if not is_written(ROOT / page, table)]
    if check:
        for page in stale:
            click.echo(f"{page}: other figures than the bundle's; run 'python -m scripts.figures'", err=True)
        sys.exit(1 if stale else 0)
    for page in stale:
        text = (ROOT / page).read_text(encoding="utf-8")
        (ROOT / page).write_text(with_table(text, table, page), encoding="utf-8")
    click.echo(f"written: {', '.join(stale) or 'nothing, all pages agree'}")


def is_written(page: Path, table: str) -> bool:
    """Whether a page has just this table between its markers."""
    text = page.read_text(encoding="utf-8")
    return with_table(text, table, page.name) == text


def with_table(text: str, table: str, page: str) -> str:
    """A page's text with the table between its markers.

    Raises:
        CheckFailedError: the page has no such markers, or several.
    """
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise CheckFailedError(f"{page}: expected one line {START} and, below it, one line {END}")
    (before, _), (_, after) = text.split(START), text.split(END)
    return f"{before}{START}\n\n{table}\n{END}{after}"


def figures(manifest: Manifest) -> str:
    """The table of what a bundle was measured to do, as Markdown with a line break at its end."""
    tested = manifest.performance
    cells = tested.parasitized + tested.uninfected
    rows = [*_cells(tested), *_ood(tested.ood_rejected), *_corruptions(tested)]
    lines = [f"| {what} | {value} | `{command}` |" for what, value, command in rows]
    bundle = f"{manifest.name} {manifest.version}"
    title = f"The bundle {bundle}, tested on {cells:,} cells of {tested.patients} patients:"
    return "\n".join([title, "", "| what | value | command |", "|---|---|---|", *lines, ""])


def _cells(tested: Performance) -> Iterable[tuple[str, str, str]]:
    low, high = tested.accuracy_interval
    accuracy = (
        f"{_percent(tested.accuracy)} (95 % interval over patients: {100 * low:.1f} to {100 * high:.1f})"
    )
    measured = {
        "accuracy": accuracy,
        "parasitized cells called so (sensitivity)": _percent(tested.sensitivity),
        "uninfected cells called so (specificity)": _percent(1 - tested.false_positive_rate),
        "cells rejected": _percent(tested.rejected),
        "accuracy of the accepted cells": _percent(tested.accuracy_of_accepted),
        **_agreed(tested),
    }
    return [(what, value, _command(tested)) for what, value in measured.items()]


def _command(tested: Performance) -> str:
    return "training test" if tested.folds == 1 else "training crossfit"


def _agreed(tested: Performance) -> Mapping[str, str]:
    """What was measured by labels that can be trusted."""
    measured = {}
    if tested.agreed:
        measured["the same where both readings of a cell agree"] = _percent(
            tested.agreed_accuracy_of_accepted
        )
    if tested.called_of_parasitized.accepted:
        measured["accepted parasitized cells, called so"] = _rate(tested.called_of_parasitized)
    if tested.called_of_healthy.accepted:
        measured["accepted cells of healthy patients, called parasitized"] = _rate(tested.called_of_healthy)
    return measured


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.called:,} of {rate.accepted:,} ({100 * low:.1f} to {100 * high:.1f} % over patients)"


def _ood(rejected: Mapping[str, float]) -> Iterable[tuple[str, str, str]]:
    same = {kind: share for kind, share in rejected.items() if SAME_SLIDES in kind}
    other = {
        kind: share
        for kind, share in rejected.items()
        if SAME_SLIDES not in kind and WITH_SURROUNDINGS not in kind
    }
    named = {
        "white cells, platelets and debris of the same slides, rejected": same,
        "white cells of other laboratories and other images, rejected": other,
    }
    return [(what, _counted(kinds), "training test --ood") for what, kinds in named.items() if kinds]


def _counted(kinds: Mapping[str, float]) -> str:
    """Shares by "kind (number)" as a count of images."""
    numbers = {kind: int(re.search(r"\((\d+)\)$", kind)[1]) for kind in kinds}  # type: ignore[index]
    rejected = sum(round(share * numbers[kind]) for kind, share in kinds.items())
    return f"{rejected} of {sum(numbers.values())}"


def _corruptions(tested: Performance) -> Iterable[tuple[str, str, str]]:
    if not tested.corruptions_accepted:
        return []
    accepted, right = min(tested.corruptions_accepted.values()), min(tested.corruptions_accuracy.values())
    what = "cells accepted when light, colour or focus is a little off"
    value = f"at least {_percent(accepted)}, of these right at least {_percent(right)}"
    return [(what, value, f"{_command(tested)}{' --corruptions' if tested.folds == 1 else ''}")]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
