"""Looks at a slide become fields: each place counts once, and each cell."""

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.preprocessing import Box
from edge_runtime.clock import now
from edge_runtime.errors import SourceError
from edge_runtime.fields.dirt import Dirt
from edge_runtime.fields.looks import Look, look_at
from edge_runtime.fields.places import SAME_FIELD, Places
from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.slide.judging import JudgedFrame, not_judged, read_field
from edge_runtime.slide.known import KnownCell, KnownCells, counted_before
from edge_runtime.slide.maps import maps_of
from edge_runtime.slide.past import Past
from edge_runtime.slide.progress import SoFar
from edge_runtime.sources.items import Frame, SkippedFrame, SourceNote
from edge_runtime.statistics.stopping import Preset

OVERVIEW_WIDTH = 1600  # pixels; a report of fifty fields must still open on a phone
OVERVIEW_QUALITY = 80

_EMPTY = 0.01  # of the lit field lies on objects


class Looking:
    """The looks at one slide so far; every one is recorded by what it turns out to be."""

    def __init__(
        self,
        classifier: Classifier,
        record: SlideRecord,
        tell: Callable[[FieldReading | SkippedFrame | SourceNote], None],
        past: Past,
    ) -> None:
        self._so_far = SoFar()
        self.repeats = 0
        self._dropped = 0  # pictures of a live source that nobody looked at
        self._news = 0.0  # the moment of the last look that showed something new
        self._classifier = classifier
        self._record = record
        self._past = past
        self._tell = tell
        self._number = 0
        self._showed_nothing = False  # the look before
        self._names: dict[int, str] = {}
        folder = record.path.parent
        self._places, self._stopped = Places(folder), Places(folder)
        self._dirt, self._cells = Dirt(), KnownCells()

    @property
    def counted(self) -> int:
        """Number of fields that count."""
        return self._so_far.fields

    def remember(self) -> None:
        """Take over what was read from a source that will not show it again."""
        for field, image in self._past.rest():
            self._take_over(field, image)

    def look(self, frame: Frame, *, patience: float | None = None) -> None:
        """Record one look.

        Args:
            frame: as a source gave it.
            patience: seconds for which the source may show nothing new; None for ever.

        Raises:
            SourceError: it has shown nothing new for longer.
        """
        try:
            new = self._look(frame)
        except (MemoryError, cv2.error) as error:
            self.skip(SkippedFrame(frame.name, _why_not_worked_through(error, frame.image)))
            new = True
        self._dropped += frame.dropped
        moment = frame.moment or 0.0
        if new:
            self._news = moment
        elif patience is not None and moment - self._news > patience:
            raise SourceError(
                f"{frame.name}: nothing new for {patience:.0f} s; move the stage, or give more --patience; "
                "what was read before is kept"
            )

    def enough(self, preset: Preset) -> bool:
        """Whether all has been read that a preset asks for."""
        if not self._so_far.lack(preset).nothing:
            return False
        counts = self._record.counts()  # without what has turned out to be dirt
        self._so_far = SoFar(self.counted, counts.asked, counts.parasitized)
        return self._so_far.lack(preset).nothing

    def finish(self, *, whole: bool) -> None:
        """Note that the reading ended, and whether it came to its end."""
        if self._dropped:
            self._record.add_note(f"{self._dropped} pictures that came between two looks were left out")
        if whole:
            self._record.add_maps(maps_of(self._record, self._classifier))
        self._record.finish(now() if whole else None, repeats=self.repeats)

    def note(self, note: SourceNote) -> None:
        """Record what happened to the source."""
        if self._past.noted():
            return
        self._record.add_note(note.text)
        self._tell(note)

    def skip(self, skipped: SkippedFrame) -> None:
        """Record what could not be read."""
        if self._past.skipped():
            return
        self._record.add_skipped(skipped)
        self._tell(skipped)

    def _look(self, frame: Frame) -> bool:
        """Whether it showed something new."""
        if (before := self._past.met(frame)) is not None:
            self._take_over(before, frame.image)
            return True
        look = look_at(frame.image)
        overlaps = self._places.find(look)
        if overlaps and overlaps[0].share >= SAME_FIELD:
            return self._repeated(frame, overlaps[0].field)
        known = self._cells.shown_again(overlaps)
        judged = read_field(frame.image, self._classifier, why_not=partial(counted_before, known))
        showed_nothing, self._showed_nothing = self._showed_nothing, _shows_nothing(judged)
        if showed_nothing and self._showed_nothing and frame.moment is not None:
            self.repeats += 1
            return False
        if judged.reason and (earlier := self._stopped.find(look)) and earlier[0].share >= SAME_FIELD:
            return self._repeated(frame, earlier[0].field)
        self._number += 1
        height, width = frame.image.shape[:2]
        cells, withdrawn = self._without_dirt(frame.image, judged)
        field = FieldReading(
            number=self._number,
            name=frame.name,
            width=width,
            height=height,
            overview=_overview(frame.image),
            read_at=now(),
            reason=judged.reason,
            values=judged.values,
            cells=cells,
            moment=frame.moment,
        )
        self._record.add_field(field, withdrawn)
        self._keep(field, look, known)
        self._tell(field)
        return True

    def _take_over(self, field: FieldReading, image: NDArray[np.uint8]) -> None:
        """Know of a field what was known when it was read."""
        look = look_at(image)
        known = self._cells.shown_again(self._places.find(look))
        self._number = field.number
        judged = JudgedFrame(field.values, field.reason, field.cells)
        self._showed_nothing = _shows_nothing(judged)
        self._without_dirt(image, judged)
        self._keep(field, look, known)

    def _without_dirt(
        self, image: NDArray[np.uint8], judged: JudgedFrame
    ) -> tuple[tuple[CellReading, ...], set[tuple[int, Box]]]:
        """The cells of a new field, and those of earlier ones that turn out to be dirt as well."""
        if judged.reason:
            return judged.cells, set()
        cells = judged.cells
        found = self._dirt.look(self._number, image, [cell.box for cell in cells])
        withdrawn = {(field, box) for field, box in found if field != self._number}
        self._cells.withdraw(withdrawn)
        here = {box for field, box in found if field == self._number}
        left = (not_judged(cell.box, "dirt") if cell.box in here else cell for cell in cells)
        return tuple(left), withdrawn

    def _keep(self, field: FieldReading, look: Look, known: Sequence[KnownCell]) -> None:
        self._names[field.number] = field.name
        self._so_far.add(field)
        if field.reason:
            self._stopped.keep(look, field.number)
            return
        self._places.keep(look, field.number)
        self._cells.keep(field, known)

    def _repeated(self, frame: Frame, field: int) -> bool:
        """A video or a camera lingers, which is no news; a file that shows a field again is named."""
        if frame.moment is not None:
            self.repeats += 1
            return False
        self.skip(SkippedFrame(frame.name, f"shows the same field as {self._names[field]}"))
        return True


def _shows_nothing(judged: JudgedFrame) -> bool:
    """Whether a frame is too empty to tell its place from another one."""
    return bool(judged.reason) and judged.values["covered"] < _EMPTY


def _overview(image: NDArray[np.uint8]) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, OVERVIEW_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    quality = [cv2.IMWRITE_JPEG_QUALITY, OVERVIEW_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def _why_not_worked_through(error: MemoryError | cv2.error, image: NDArray[np.uint8]) -> str:
    if isinstance(error, MemoryError) or error.code == cv2.Error.StsNoMem:
        size = f"{image.shape[1]}x{image.shape[0]} pixels"
        return f"{size}, too large for this device's memory; cut it into fields of view or save it smaller"
    return f"OpenCV cannot work through it ({error.err}); save it as PNG, or leave it out"
