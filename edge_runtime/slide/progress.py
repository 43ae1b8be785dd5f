"""How far a reading has come towards what its preset asks for, for whoever watches it."""

from edge_runtime.slide.readings import FieldReading
from edge_runtime.statistics.stopping import Preset, missing

_MINUTE = 60.0  # seconds


class Progress:
    """Fields and cells so far, and how long the rest will take if it goes on like that.

    Cells that later turn out to be dirt are not taken back: this is to be watched, the record counts.
    """

    def __init__(self, preset: Preset, started: float) -> None:
        """Begin to watch.

        Args:
            preset: how much is to be read.
            started: seconds, of any clock that only goes forward.
        """
        self._preset, self._started = preset, started
        self._fields = self._asked = self._parasitized = 0

    def add(self, field: FieldReading) -> None:
        """Count a field, if it counts."""
        if field.reason:
            return
        self._fields += 1
        self._asked += sum(cell.asked for cell in field.cells)
        self._parasitized += sum(cell.status == "parasitized" for cell in field.cells)

    def told(self, moment: float) -> str:
        """The state in a line, at a moment of the same clock: "412 of 1,000 cells, 5 of 10 fields, …"."""
        lack = missing(self._preset, judged=self._asked, parasitized=self._parasitized, fields=self._fields)
        wanted = (
            (self._asked, lack.cells, "cells"),
            (self._fields, lack.fields, "fields"),
            (self._parasitized, lack.parasitized, "parasitized"),
        )
        parts = [f"{done:,} of {done + still:,} {what}" for done, still, what in wanted if still]
        if not parts:
            return f"{self._asked:,} cells, {self._fields} fields: enough for a verdict"
        if all(done for done, still, _ in wanted if still):
            share = max(still / done for done, still, _ in wanted if still)
            parts.append(f"{_time((moment - self._started) * share)} left")
        return ", ".join(parts)


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return "less than a minute"
    return f"about {seconds / _MINUTE:.0f} min"
