"""When enough of a slide has been read: presets of those who count by hand, and enough for a number."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.errors import SourceError

WITHIN = 0.25  # of the number, in 95 of 100 slides: what WHO asks of those who count
# Parasitized cells that are needed for it, where they lie by chance: the square of 1.96 / WITHIN.
ENOUGH_PARASITIZED = math.ceil((1.959964 / WITHIN) ** 2)
_RARE = 0.01  # parasitaemia below which CDC asks for more cells


@dataclass(frozen=True)
class Preset:
    """How much of a slide is to be read.

    Attributes:
        name: as `--until` takes it.
        cells: judged cells that are needed.
        cells_if_rare: the same where less than 1 % of them are parasitized.
        quantify: whether to go on until the number of parasitized cells is known within a quarter.
        source: who asks for it.
        fields: accepted fields that are needed; fewer may all lie on an odd spot of the film.
    """

    name: str
    cells: int
    cells_if_rare: int
    quantify: bool
    source: str
    fields: int = 10


_SURVEY = "survey of protocols, Malaria Journal 20, 2021, article 3889"
PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("quick", 1000, 1000, quantify=False, source=f"British Society for Haematology; {_SURVEY}"),
        Preset("cdc", 500, 2000, quantify=False, source=f"CDC; {_SURVEY}"),
        Preset("who", 5000, 5000, quantify=False, source=f"WHO; {_SURVEY}"),
        Preset("nvp", 10_000, 10_000, quantify=False, source=f"NVP; {_SURVEY}"),
        Preset("count", 5000, 5000, quantify=True, source="counts within a quarter, as WHO grades readers"),
    )
}
DEFAULT = "quick"


def preset_named(name: str) -> Preset:
    """A preset by its name.

    Raises:
        SourceError: there is none of that name.
    """
    if name not in PRESETS:
        raise SourceError(f"{name}: no such preset; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


@dataclass(frozen=True)
class Missing:
    """What a reading still lacks; nothing where all are 0.

    Attributes:
        cells: judged cells.
        fields: accepted fields.
        parasitized: parasitized cells.
    """

    cells: int
    fields: int
    parasitized: int

    @property
    def nothing(self) -> bool:
        """Whether enough has been read."""
        return not (self.cells or self.fields or self.parasitized)


def missing(preset: Preset, *, judged: int, parasitized: int, fields: int) -> Missing:
    """What a reading of so many cells and fields still lacks.

    Args:
        preset: how much is to be read.
        judged: cells judged.
        parasitized: of these called parasitized.
        fields: fields accepted.
    """
    rare = parasitized < _RARE * judged
    return Missing(
        cells=max(0, (preset.cells_if_rare if rare else preset.cells) - judged),
        fields=max(0, preset.fields - fields),
        parasitized=max(0, ENOUGH_PARASITIZED - parasitized) if preset.quantify else 0,
    )


def share_where_stopped(parasitized: int, judged: int, *, by_parasitized: bool) -> float:
    """The apparent share of parasitized cells of a reading that has ended.

    Who stops at a certain number of parasitized cells stops just after one: without it and its own cell the
    share is right on average (Haldane, Biometrika 33, 1945, 222-225).

    Args:
        parasitized: cells called parasitized.
        judged: cells judged, at least 1.
        by_parasitized: whether the number of parasitized cells ended the reading.
    """
    if by_parasitized and parasitized > 1:
        return (parasitized - 1) / (judged - 1)
    return parasitized / judged
