"""How far a reading has come towards what its preset asks for, for whoever watches it."""

from dataclasses import dataclass

from edge_runtime.record.readings import FieldReading
from edge_runtime.statistics.stopping import Missing, Preset, missing

_MINUTE = 60.0  # seconds


@dataclass
class SoFar:
    """What has been read. Cells that later turn out to be dirt are not taken back: the record counts.

    Attributes:
        fields: that count.
        asked: cells on them that were asked for a parasite.
        parasitized: of these called parasitized.
    """

    fields: int = 0
    asked: int = 0
    parasitized: int = 0

    def add(self, field: FieldReading) -> None:
        """Count a field, if it counts."""
        if field.reason:
            return
        self.fields += 1
        self.asked += sum(cell.asked for cell in field.cells)
        self.parasitized += sum(cell.status == "parasitized" for cell in field.cells)

    def lack(self, preset: Preset) -> Missing:
        """What a preset still asks for."""
        return missing(preset, judged=self.asked, parasitized=self.parasitized, fields=self.fields)


class Progress:
    """Fields and cells so far, and how long the rest will take if it goes on like that."""

    def __init__(self, preset: Preset, started: float) -> None:
        """Begin to watch.

        Args:
            preset: how much is to be read.
            started: seconds, of any clock that only goes forward.
        """
        self._preset, self._started = preset, started
        self._so_far = SoFar()

    def add(self, field: FieldReading) -> None:
        """Count a field, if it counts."""
        self._so_far.add(field)

    def told(self, moment: float) -> str:
        """The state in a line, at a moment of the same clock: "412 of 1,000 cells, 5 of 10 fields, …"."""
        done, lack = self._so_far, self._so_far.lack(self._preset)
        wanted = (
            (done.asked, lack.cells, "cells"),
            (done.fields, lack.fields, "fields"),
            (done.parasitized, lack.parasitized, "parasitized"),
        )
        parts = [f"{read:,} of {read + still:,} {what}" for read, still, what in wanted if still]
        if not parts:
            return f"{done.asked:,} cells, {done.fields} fields: enough for a verdict"
        if all(read for read, still, _ in wanted if still):
            share = max(still / read for read, still, _ in wanted if still)
            parts.append(f"{_time((moment - self._started) * share)} left")
        return ", ".join(parts)


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return "less than a minute"
    return f"about {seconds / _MINUTE:.0f} min"
