"""The cells of a site that a bundle is fitted to: crops, a slide, or slides that a device's history names."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.cells.crops import read_crops
from edge_runtime.device.charts import DISTANCE, FOCUS, REJECTION, ordinary, tells
from edge_runtime.device.entries import Entry, History
from edge_runtime.device.history import HISTORY, read_history
from edge_runtime.device.watch import watch
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.fields.gates import stopped_by
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import ImageFile, SkippedFrame

# Of all slides together, and the last ones: more tell nothing new, and a small board needs minutes for them.
MOST_CELLS, MOST_SLIDES = 5000, 20
_FITTED = {REJECTION, DISTANCE}  # charts whose alarm a new fit can answer

Crops = NDArray[np.uint8]


def site_cells(
    source: str | Path, size: int, limits: Mapping[str, float]
) -> tuple[Crops, list[SkippedFrame]]:
    """The cells of a site: crops (an image, folder or zip), or the whole cells of slides that were read.

    Args:
        source: of crops, the folder that `cellgate read` wrote, or the one that holds such folders and the
            device's history, which tells the slides to take (see `slides_to_fit`).
        size: side of the network's input.
        limits: of the gates, by name: what the fields of a slide must pass.

    Returns:
        uint8 [N, size, size, 3] RGB; and the crops that cannot be judged and the fields that do not pass the
        gates, with the reason.

    Raises:
        SourceError: there is nothing to read.
        CheckFailedError: the pictures are less sharp than they were.
    """
    source = Path(source)
    if (source / RECORD).exists():
        return _slide_cells(source, size, limits)
    if not (source / HISTORY).exists():
        return read_crops(list_images(source), size)
    slides = slides_to_fit(read_history(source))
    read = [
        _slide_cells(source / slide.folder, size, limits, most=MOST_CELLS // len(slides)) for slide in slides
    ]
    return np.concatenate([crops for crops, _ in read]), [one for _, skipped in read for one in skipped]


def negative_cells(source: str | Path, size: int, limits: Mapping[str, float]) -> list[Crops]:
    """The cells of a site's known-negative slides, slide by slide; none where it has no history."""
    source = Path(source)
    if not (source / HISTORY).exists():
        return []
    slides = {entry.slide: entry for entry in read_history(source).entries if entry.kind == "known-negative"}
    read = (_slide_cells(source / entry.folder, size, limits)[0] for entry in slides.values())
    return [crops for crops in read if len(crops)]


def slides_to_fit(history: History) -> list[Entry]:
    """The slides that show a site as it is now.

    The ordinary slides of patients since the last recalibration; but if they have drifted away, those since
    the drift began, also where it makes them unusual: fitted to the others, a bundle would fit the past.

    Raises:
        SourceError: there are none.
        CheckFailedError: the alarm of the focus is on. No fit mends that.
    """
    charts = watch(history).charts
    for chart in charts:
        if chart.name == FOCUS and chart.state == "alarm":
            raise CheckFailedError(
                f"{chart.sentence}, told on slide {chart.alarm}, and no fit mends that: {chart.advice}"
            )
    drifted = [chart.onset for chart in charts if chart.name in _FITTED and chart.state == "alarm"]
    told = tells if drifted else ordinary
    found = [
        entry
        for entry in history.since_recalibration
        if entry.kind == "patient" and told(entry) and entry.number >= max(drifted, default=0)
    ]
    if not found:
        raise SourceError(
            "no patient's slide since the last recalibration can be fitted to; read some ordinary slides "
            "first, or give the folder of one slide"
        )
    return found[-MOST_SLIDES:]


def _slide_cells(
    slide: Path, size: int, limits: Mapping[str, float], most: int | None = None
) -> tuple[Crops, list[SkippedFrame]]:
    """The cells of one slide, at most so many, evenly spread over its fields."""
    with SlideRecord.open(slide / RECORD) as record:
        stopped: list[SkippedFrame] = []
        files: Sequence[ImageFile] = list(_cells_of(record, slide, limits, stopped))
        crops, skipped = read_crops(files[:: -(-len(files) // most)] if most and files else files, size)
    return crops, stopped + skipped


def _cells_of(
    record: SlideRecord, source: Path, limits: Mapping[str, float], stopped: list[SkippedFrame]
) -> Iterator[ImageFile]:
    """The judged cells of the fields that pass the gates, but those that were no whole cells.

    The fields that do not pass go to `stopped`.
    """
    no_cells = {test.reason for test in record.header().tests if not test.whole}
    for field in record.fields():
        name = f"{source}, field {field.number}"
        if gates := stopped_by(field.values, limits):
            stopped.append(SkippedFrame(name, f"{gates[0].sentence}; {gates[0].advice}"))
            continue
        yield from (
            ImageFile(name, partial(bytes, cell.crop))
            for cell in field.cells
            if cell.crop and cell.reason not in no_cells
        )
