"""What limits the accuracy: do two networks err on the same test cells, and are these cells cut open?

    python -m scripts.compare_errors --run runs/resnet18 --other runs/edge

Both runs must have the same test cells. What unlike networks get wrong alike is in the labels or the crops:
in the NIH archive a segmentation has often cut the parasite out of its cell, and left a notch. A crop's
solidity is its area over that of its convex hull; a cell without notches has one near 1.
"""

from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.console import Commands
from edge_runtime.errors import SourceError
from training.cells.source import CellSource, cell_source_options
from training.run import load_network, load_run, load_split
from training.statistics import predict

SOLIDITIES = (0.9, 0.92, 0.94)


@dataclass(frozen=True)
class Errors:
    """Errors of two networks on the same cells.

    Attributes:
        cells: number of test cells.
        wrong: of each network.
        shared: of both.
        missed: of the shared ones, parasitized cells called uninfected.
    """

    cells: int
    wrong: tuple[int, int]
    shared: int
    missed: int


@dataclass(frozen=True)
class Notched:
    """Cells of a solidity below a limit.

    Attributes:
        limit: of solidity.
        share: of all test cells that lie below.
        missed: of the parasitized cells that both networks miss, how many lie below.
        rest: accuracy of each network on the cells that do not.
    """

    limit: float
    share: float
    missed: int
    rest: tuple[float, float]


def solidity(crop: NDArray[np.uint8]) -> float:
    """Area of the largest piece that is not black, over that of its convex hull; 1 for an empty crop."""
    mask = np.ascontiguousarray(crop.any(axis=2)).view(np.uint8)
    pieces, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not pieces:
        return 1.0
    largest = max(pieces, key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(largest))
    return cv2.contourArea(largest) / hull if hull else 1.0


def compare(
    labels: NDArray[np.int64],
    called: tuple[NDArray[np.int64], NDArray[np.int64]],
    solid: NDArray[np.float64],
) -> tuple[Errors, list[Notched]]:
    """Count.

    Args:
        labels: [N], 1 for parasitized.
        called: what each network says, [N].
        solid: solidity of each cell, [N].
    """
    one, other = (says != labels for says in called)
    shared = one & other
    missed = shared & (labels == 1)
    wrong = int(one.sum()), int(other.sum())
    errors = Errors(len(labels), wrong, int(shared.sum()), int(missed.sum()))
    notched = []
    for limit in SOLIDITIES:
        below = solid < limit
        rest = _accuracy(one[~below]), _accuracy(other[~below])
        notched.append(Notched(limit, float(below.mean()), int((missed & below).sum()), rest))
    return errors, notched


def _accuracy(wrong: NDArray[np.bool_]) -> float:
    return float((~wrong).mean()) if len(wrong) else float("nan")


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--run", type=click.Path(path_type=Path), required=True, help="A fitted run.")
@click.option("--other", type=click.Path(path_type=Path), required=True, help="One of the same split.")
@cell_source_options
def main(run: Path, other: Path, source: CellSource) -> None:
    """Compare the errors of two networks on the same test cells."""
    infos = [load_run(folder) for folder in (run, other)]
    if infos[0].split_digest != infos[1].split_digest:
        raise SourceError(f"{run} and {other}: not the same test cells; give two runs of one split and seed")
    cells, split = load_split(infos[0], source)
    says = [
        predict(load_network(folder, info), cells, split.test)[0].argmax(axis=1)
        for folder, info in zip((run, other), infos, strict=True)
    ]
    solid = np.array([solidity(cells.images[index]) for index in split.test])
    errors, notched = compare(cells.labels[split.test], (says[0], says[1]), solid)
    click.echo(
        f"{errors.cells} cells: {errors.wrong[0]} and {errors.wrong[1]} wrong, "
        f"{errors.shared} of them the same, {errors.missed} of these parasitized"
    )
    for row in notched:
        click.echo(
            f"solidity below {row.limit}: {row.share:.1%} of the cells, {row.missed} of the {errors.missed} "
            f"missed by both; accuracy of the others {row.rest[0]:.2%} and {row.rest[1]:.2%}"
        )


if __name__ == "__main__":
    main()
