"""What an earlier try at a slide has recorded, so that the next one goes on behind it."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.record.readings import FieldReading
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.sources.items import Frame


class Past:
    """The fields of a record that was cut off, in their order, each to be met once more.

    A file shows again what it showed then: every frame is met by its name, what was skipped or remarked in
    between is skipped and remarked again, and all of it is recorded already. A camera shows other frames.
    """

    def __init__(self, record: SlideRecord, *, shown_again: bool) -> None:
        """Open a record's past.

        Args:
            record: that goes on; a new one has none.
            shown_again: whether the source begins anew, as files do.
        """
        self._fields = record.fields()
        self._next = next(self._fields, None)
        self._skipped = len(record.skipped()) if shown_again else 0
        self._notes = len(record.notes()) if shown_again else 0

    def met(self, frame: Frame) -> FieldReading | None:
        """The field that was read from a frame; None if it is not the next one."""
        found = self._next
        if found is None or (found.name, found.moment) != (frame.name, frame.moment):
            return None
        self._next = next(self._fields, None)
        return found

    def rest(self) -> Iterator[tuple[FieldReading, NDArray[np.uint8]]]:
        """All fields that were not met, with their pictures as they were kept: uint8 [H, W, 3] RGB."""
        while self._next is not None:
            yield self._next, _picture(self._next)
            self._next = next(self._fields, None)

    def skipped(self) -> bool:
        """Whether what is skipped now was skipped then; asked once for each."""
        self._skipped -= 1
        return self._skipped >= 0

    def noted(self) -> bool:
        """Whether what is remarked now was remarked then; asked once for each."""
        self._notes -= 1
        return self._notes >= 0


def _picture(field: FieldReading) -> NDArray[np.uint8]:
    kept = cv2.imdecode(np.frombuffer(field.overview, np.uint8), cv2.IMREAD_COLOR)
    assert kept is not None  # we have written it
    image = cv2.resize(kept, (field.width, field.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
