"""Labels that networks doubt which never saw the cells: confident learning, as a gallery and a list.

Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in dataset labels", Journal of
Artificial Intelligence Research 70 (2021), section 3: a cell counts for a class where the class has at least
the probability that the cells labelled so have on average; where it counts for another class than its own,
the label is doubted.
"""

import csv
import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from scipy.special import softmax

from edge_runtime.errors import SourceError
from edge_runtime.storage import write_whole
from training import distributed
from training.cells.listing import as_png
from training.cells.source import CellSet, CellSource, cell_source_options
from training.crossfit import fold_folder
from training.run import load_network, load_run, load_split
from training.statistics import predict

LIST, GALLERY = "doubtful.csv", "doubtful.html"
SHOWN = 300  # cells in the gallery; at some 20 kB each a browser still opens it
_COLUMNS = ("path", "reread_label", "label", "probability", "suggested_probability", "patient", "healthy")


@dataclass(frozen=True)
class Doubt:
    """A cell whose label is doubted.

    Attributes:
        cell: its number in the set.
        name: of the cell.
        label: the class it has.
        suggested: the class that the networks hold for right.
        probability: of its label, 0 to 1.
        suggested_probability: of the other class.
        patient: whom it was taken from; "" where nobody knows.
        healthy: the patient has no cell that is labelled as parasitized.
        picture: the cell as the network sees it, a PNG as an address.
    """

    cell: int
    name: str
    label: str
    suggested: str
    probability: float
    suggested_probability: float
    patient: str
    healthy: bool
    picture: str


def confident_classes(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class that each cell counts for; its own where it counts for none.

    Args:
        probabilities: [N, K], of networks that never saw the cells.
        labels: int64 [N]; every class occurs.

    Returns:
        int64 [N].
    """
    classes = range(probabilities.shape[1])
    usual = np.array([probabilities[labels == number, number].mean() for number in classes])
    counts = probabilities >= usual
    best = np.where(counts, probabilities, -1.0).argmax(axis=1)
    return np.where(counts.any(axis=1), best, labels)


def audit_runs(folders: Sequence[Path], source: CellSource, out: Path) -> list[Doubt]:
    """Find doubtful labels among the test cells of runs, and write the gallery and the list.

    Args:
        folders: run folders on the same cells; one that was cross-fitted stands for its parts.
        source: where the runs' cells are now, if they were moved.
        out: folder to write to.

    Returns:
        The doubted cells, the most doubted first.

    Raises:
        SourceError: no run, no test cells, too few of a class, or runs of different cells.
    """
    cells, probabilities, seen = _held_out([part for folder in folders for part in _parts(folder)], source)
    chosen = np.flatnonzero(seen)
    labels = cells.labels[chosen]
    lacking = [name for number, name in enumerate(cells.classes) if not (labels == number).any()]
    if lacking:
        raise SourceError(f"none of the {len(chosen)} test cells is {lacking[0]}; give runs that test more")
    suggested = confident_classes(probabilities[chosen], labels)
    own, other = (probabilities[chosen, of] for of in (labels, suggested))
    order = np.argsort(own - other, kind="stable")
    doubts = [
        _doubt(cells, int(chosen[at]), int(suggested[at]), float(own[at]), float(other[at]))
        for at in order
        if suggested[at] != labels[at]
    ]
    _write(doubts, len(chosen), out)
    return doubts


def _parts(folder: Path) -> list[Path]:
    """The run itself, or those that tested it where it was cross-fitted."""
    folds = load_run(folder).metrics.get("folds", 0)
    return [fold_folder(folder, number) for number in range(1, folds + 1)] or [folder]


def _held_out(
    folders: Sequence[Path], source: CellSource
) -> tuple[CellSet, NDArray[np.float64], NDArray[np.int64]]:
    """The cells, the mean probabilities [N, K] of networks that never saw them, and of how many [N]."""
    cells: CellSet | None = None
    for folder in folders:
        info = load_run(folder)
        loaded, split = load_split(info, source)
        if cells is None:
            cells = loaded
            total = np.zeros((len(cells), len(cells.classes)))
            seen = np.zeros(len(cells), np.int64)
        elif (loaded.digest, loaded.labels_digest) != (cells.digest, cells.labels_digest):
            raise SourceError(f"{folder}: of other cells than {folders[0]}; audit them one by one")
        if len(split.test):
            network = load_network(folder, info, distributed.device())
            logits, _ = predict(network, cells, split.test)
            total[split.test] += softmax(logits.astype(np.float64), axis=1)
            seen[split.test] += 1
    if cells is None or not seen.any():
        raise SourceError("no run with test cells; give runs that tested some, or one that was cross-fitted")
    return cells, total / np.maximum(seen, 1)[:, None], seen


def _doubt(cells: CellSet, cell: int, suggested: int, own: float, other: float) -> Doubt:
    return Doubt(
        cell=cell,
        name=cells.names[cell],
        label=cells.classes[cells.labels[cell]],
        suggested=cells.classes[suggested],
        probability=own,
        suggested_probability=other,
        patient=cells.patients[cell],
        healthy=bool(cells.healthy[cell]),
        picture=f"data:image/png;base64,{b64encode(as_png(cells.images[cell])).decode()}",
    )


def _write(doubts: Sequence[Doubt], cells: int, out: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for doubt in doubts:
        shares = [f"{share:.4f}" for share in (doubt.probability, doubt.suggested_probability)]
        writer.writerow(
            [doubt.name, doubt.suggested, doubt.label, *shares, doubt.patient, int(doubt.healthy)]
        )
    loader = FileSystemLoader(Path(__file__).parent)
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("audit.html")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / LIST, text.getvalue())
    write_whole(out / GALLERY, page.render(doubts=doubts, shown=doubts[:SHOWN], cells=cells, list=LIST))


@click.command()
@click.option(
    "--run",
    "folders",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="A run; of several, each is asked of its own test cells, and of a cross-fitted one its parts.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
@cell_source_options
def audit(folders: tuple[Path, ...], out: Path, source: CellSource) -> None:
    """Find labels that networks doubt which never saw the cells: a gallery, and a CSV for --reread."""
    doubts = audit_runs(folders, source, out)
    of_healthy = sum(doubt.healthy for doubt in doubts)
    click.echo(
        f"{len(doubts)} labels are doubted, {of_healthy} of them of patients without a parasitized cell"
    )
    click.echo(f"{out / GALLERY}\n{out / LIST}")
