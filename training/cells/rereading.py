"""A second reading of cells: a CSV of paths and of the labels that somebody else gave them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge_runtime.console import tell
from edge_runtime.errors import SourceError
from edge_runtime.sources.rows import read_rows
from training.cells.classes import class_name


def reread_labels(
    path: Path, names: Sequence[str], classes: tuple[str, ...], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The labels of a second reading.

    Args:
        path: a CSV with the columns path and reread_label; others are not read. It may list all cells, or
            those that differ; paths are compared with names by their last folder and file, or by the file
            alone where a path is no more than that.
        names: of the N cells.
        classes: names of the classes, by label.
        labels: int64 [N], for cells that the CSV does not list.

    Returns:
        int64 [N].

    Raises:
        SourceError: the CSV cannot be read, lists no cell of these, one twice, or an unknown class.
    """
    index: dict[tuple[str, ...], list[int]] = {}
    for number, name in enumerate(names):
        for key in {_parts(name)[-2:], _parts(name)[-1:]}:
            index.setdefault(key, []).append(number)
    found, reread, unknown = np.zeros(len(names), bool), labels.copy(), []
    for row in read_rows(path, ("path", "reread_label"))[0]:
        where, label = row.values["path"], class_name(row.values["reread_label"])
        if label not in classes:
            raise SourceError(
                f"{path}, line {row.line}: no class '{label}'; expected one of {', '.join(classes)}"
            )
        cells = index.get(_parts(where)[-2:], [])
        if len(cells) > 1:  # of several sources: the whole path may tell
            cells = [number for number in cells if names[number] == where] or cells
        if not cells:
            unknown.append(where)
        elif len(cells) > 1 or (found[cells[0]] and reread[cells[0]] != classes.index(label)):
            what = "stands for several cells" if len(cells) > 1 else "was listed before with another label"
            raise SourceError(f"{path}, line {row.line}: {where} {what}; name each cell once")
        else:
            found[cells[0]], reread[cells[0]] = True, classes.index(label)
    if not found.any():
        raise SourceError(f"{path}: lists none of the {len(names)} cells; give the list of these cells")
    if unknown:
        tell(f"note: {path}: {len(unknown)} of its paths are no cells of these, {unknown[0]} the first")
    return reread


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path.replace("\\", "/")).parts
