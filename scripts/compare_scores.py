"""Does the device decide as PyTorch does? Compares what `cellgate score --json` printed, cell by cell.

    cellgate score cells.zip --bundle bundle --json > scores.jsonl      on the device, without torch
    python -m scripts.compare_scores --run run --cells cells.zip --scores scores.jsonl

The reference starts from the same image bytes. Exit code 1 if a cell is missing, if the two classify or
reject a cell differently (but for borderline cells, which are counted), or if the scores drift apart.
"""

import json
import sys
from dataclasses import fields
from pathlib import Path, PurePosixPath

import click
import numpy as np

from edge_runtime.bundle.parity import (
    SCORE_LIMIT,
    Check,
    all_passed,
    decision_flips,
    relative_error_each,
    value_checks,
)
from edge_runtime.cells.crops import decode_crop
from edge_runtime.console import Commands
from edge_runtime.decision import table
from edge_runtime.decision.decide import Decisions
from edge_runtime.errors import CheckFailedError, SourceError
from training.cells.folders import list_folders
from training.cells.listing import CellFile
from training.reference import BLOCK
from training.trained import TrainedDetector, load_trained


@click.group(cls=Commands, invoke_without_command=True)
@click.option(
    "--run", type=click.Path(path_type=Path), required=True, help="The run the bundle was made from."
)
@click.option("--cells", type=click.Path(path_type=Path), required=True, help="The archive that was scored.")
@click.option("--scores", type=click.Path(path_type=Path), required=True, help="Output of score --json.")
def main(run: Path, cells: Path, scores: Path) -> None:
    """Compare the device's decisions with the reference's."""
    trained = load_trained(run)
    told = _read_scores(scores)
    archive = list(list_folders(cells).files)
    files = [file for file in archive if _key(file.name) in told]
    if not files:
        raise SourceError(f"{scores}: scores no cell of {cells}; score this archive")
    theirs = _decide(trained, files)
    ours = _as_decisions([told[_key(file.name)] for file in files], trained.info.classes)
    beyond, borderline = decision_flips(ours, theirs, SCORE_LIMIT)
    checks = [
        Check("cells that only one side has", len({_key(file.name) for file in archive} ^ set(told)), 0),
        Check("probabilities", relative_error_each(ours.probabilities, theirs.probabilities), SCORE_LIMIT),
        *value_checks(ours, theirs),
        Check("decisions that differ", beyond, 0),
    ]
    for check in checks:
        click.echo(str(check))
    same = int(((ours.label == theirs.label) & (ours.rejected == theirs.rejected)).sum())
    click.echo(
        f"{len(files)} cells: {same} decided the same, {beyond} differently, {borderline} borderline; "
        f"{int(theirs.rejected.sum())} rejected by the reference, {int(ours.rejected.sum())} by the device"
    )
    sys.exit(0 if all_passed(checks) else 1)


def _key(path: str) -> str:
    """Folder and file name: what a path inside the archive and one on disk have in common."""
    return "/".join(PurePosixPath(path).parts[-2:])


def _read_scores(path: Path) -> dict[str, dict[str, object]]:
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return {_key(row["path"]): row for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: not the output of 'cellgate score --json' ({error})") from error


def _decide(trained: TrainedDetector, files: list[CellFile]) -> Decisions:
    size = trained.info.input.size
    parts: list[Decisions] = []
    starts = range(0, len(files), BLOCK)
    with click.progressbar(starts, label="PyTorch", file=sys.stderr) as bar:
        for start in bar:
            some = files[start : start + BLOCK]
            crops = [decode_crop(file.read(), file.name, size) for file in some]
            parts.append(trained.decide(np.stack(crops)))
    return Decisions(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Decisions)
            if field.name != "limits"
        },
        limits=parts[0].limits,
    )


def _as_decisions(rows: list[dict[str, object]], classes: tuple[str, ...]) -> Decisions:
    """What rows of one bundle say; their reasons must follow from their numbers."""

    def column(name: str) -> list[dict[str, float]]:
        return [row[name] for row in rows]  # type: ignore[misc]

    names = [test.name for test in table.TESTS]
    limits = column("limits")[0]
    for row in rows:
        if row["limits"] != limits:
            raise CheckFailedError(
                f"{row['path']}: scored with other limits; score all cells with one bundle"
            )
    told = Decisions(
        label=np.array([classes.index(str(row["label"])) for row in rows], np.int64),
        probabilities=np.array([[row[name] for name in classes] for row in column("probabilities")]),
        confidences=np.array([list(row.values()) for row in column("confidences")]),
        appearance=np.array([list(row.values()) for row in column("appearance")]),
        # A test that is not for a cell has no value of it.
        values=np.array(
            [[row.get(test.name, test.sign * np.inf) for test in table.TESTS] for row in column("values")]
        ),
        limits=np.array([limits[name] for name in names]),
    )
    for number, row in enumerate(rows):
        if (told.reason(number), told.reasons(number)) != (row["reason"], row["reasons"]):
            raise CheckFailedError(
                f"{row['path']}: '{row['reason']}' of {row['reasons']} does not follow from its numbers"
            )
    return told


if __name__ == "__main__":
    main()
