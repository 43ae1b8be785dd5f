"""Cells of a site whose class somebody has named: a CSV and the crops that it lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.crops import decode_crop
from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.sources.rows import read_rows


@dataclass(frozen=True)
class NamedCells:
    """Cells with their classes.

    Attributes:
        crops: uint8 [N, size, size, 3] RGB, as `preprocessing.resize_crop` makes them.
        labels: int64 [N], indices into the bundle's classes.
    """

    crops: NDArray[np.uint8]
    labels: NDArray[np.int64]


def named_cells(path: Path, size: int, classes: Sequence[str]) -> tuple[NamedCells, list[SkippedFrame]]:
    """Read the cells that a CSV with the columns path and label lists.

    Args:
        path: the CSV; its paths begin in its own folder.
        size: side of the network's input.
        classes: the bundle's.

    Returns:
        The cells, and those that cannot be judged, with the reason.

    Raises:
        SourceError: the CSV cannot be read, names another class, a file that is not there, or no cell that
            can be judged.
    """
    crops, labels, skipped = [], [], []
    for row in read_rows(path, ("path", "label"))[0]:
        label, file = row.values["label"].lower(), path.parent / row.values["path"]
        if label not in classes:
            raise SourceError(
                f"{path}, line {row.line}: no class '{label}'; expected one of {', '.join(classes)}"
            )
        try:
            crops.append(decode_crop(file.read_bytes(), str(file), size))
            labels.append(list(classes).index(label))
        except ImageError as error:
            skipped.append(SkippedFrame.of(str(file), error))
        except OSError as error:
            raise SourceError(
                f"{path}, line {row.line}: {file} cannot be read ({error.strerror}); paths begin in the "
                "folder of the CSV"
            ) from error
    if not crops:
        raise SourceError(f"{path}: none of its {len(skipped)} cells can be judged; {skipped[0]}")
    return NamedCells(np.stack(crops), np.array(labels, np.int64)), skipped
