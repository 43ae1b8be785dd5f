"""The table of gates: a frame's cells count only if the frame passes every one of them.

A test of the decision looks at one cell; a gate looks at what would spoil all cells of a frame alike, above
all a focus in which parasites vanish. Manifest, slide record, command line, report and recalibration go
through this table. A further gate is an entry here, and a number in `view.py` if it needs one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_runtime.fields.view import FieldView


@dataclass(frozen=True)
class Gate:
    """One gate of a frame.

    Attributes:
        name: of its measure.
        reason: code of the reason why a frame is stopped, as JSON and the slide record have it.
        sentence: the same as a person reads it, after "not counted:".
        advice: what to do about it.
        measure: what a frame shows of itself to a number.
        limit: where its line is drawn (docs/experiments/2026-11-27-frames.md); bundles are sealed with it.
        side: where frames pass, seen from the limit.
    """

    name: str
    reason: str
    sentence: str
    advice: str
    measure: Callable[[FieldView], float]
    limit: float
    side: Literal["at least", "at most"] = "at least"

    def passes(self, value: float, limit: float) -> bool:
        """Whether a value lies on the right side of a limit; one that is no number does not."""
        return value >= limit if self.side == "at least" else value <= limit


def _tint(view: FieldView) -> float:
    """How green or magenta the empty film is: the training cells bear a lamp of any warmth better."""
    red, green, blue = np.log(np.maximum(view.film, 1)).tolist()
    return float(abs(green - (red + blue) / 2))


def _warmth(view: FieldView) -> float:
    red, _, blue = np.log(np.maximum(view.film, 1)).tolist()
    return float(abs(red - blue))


def _contrast(view: FieldView) -> float:
    return _absorbances(view)[1]


def _colour(view: FieldView) -> float:
    """How far the colours' absorbances lie apart, over the strongest of them; a strong stain needs less."""
    absorbances = _absorbances(view)
    strongest = max(1e-3, *absorbances)
    return float(np.ptp(absorbances)) / strongest + _STRENGTH_FOR_COLOUR * absorbances[1]


def _absorbances(view: FieldView) -> tuple[float, float, float]:
    """Of the cells against the film, natural logarithm, RGB."""
    red, green, blue = np.log(np.maximum(view.film, 1) / np.maximum(view.cell, 1)).tolist()
    return red, green, blue


_STRENGTH_FOR_COLOUR = 0.3
_THINNER = "move towards the film's thin end, where cells do not overlap"
_CAST = "a colour cast"
_WHITE_BALANCE = "set the camera's white balance on an empty place of the slide"
_NO_FILM = "not a thin film of red cells"
_THIN_FILMS_ONLY = "read thin films only; thick films, tissue and other pictures cannot be judged"

# Gravest first: where little light came in, nothing else is worth telling.
GATES: tuple[Gate, ...] = (
    Gate(
        "brightness",
        "too-dark",
        "too dark",
        "raise the lamp or the exposure",
        lambda view: max(view.film),
        85.0,
    ),
    Gate(
        "clipped",
        "overexposed",
        "overexposed",
        "lower the lamp or the exposure",
        lambda view: view.clipped,
        0.05,
        "at most",
    ),
    Gate(
        "cells",
        "no-cells",
        "too few whole cells",
        "move to where single red cells lie side by side",
        lambda view: float(view.whole),
        2.0,
    ),
    Gate(
        "sharpness",
        "out-of-focus",
        "out of focus",
        "turn the fine focus until the cells' borders are sharp",
        lambda view: view.sharpness,
        12.9,
    ),
    Gate(
        "stillness",
        "moved",
        "blurred by movement",
        "let the stage rest before the picture is taken",
        lambda view: view.softest,
        10.4,
    ),
    Gate("tint", "colour-cast", _CAST, _WHITE_BALANCE, _tint, 0.25, "at most"),
    Gate("warmth", "colour-cast", _CAST, _WHITE_BALANCE, _warmth, 1.0, "at most"),
    Gate(
        "evenness",
        "uneven-light",
        "unevenly lit",
        "centre the lamp and the condenser",
        lambda view: view.evenness,
        0.5,
    ),
    Gate(
        "contrast",
        "pale",
        "too little contrast",
        "close the condenser's aperture a little, or stain again",
        _contrast,
        0.085,
    ),
    Gate(
        "colour",
        "no-colour",
        "without the colours of a Giemsa stain",
        "check the camera's colours, or stain again",
        _colour,
        0.445,
    ),
    Gate(
        "diameter",
        "too-small",
        "cells of too few pixels",
        "use a stronger objective, or a camera with more pixels",
        lambda view: view.diameter,
        24.0,
    ),
    Gate(
        "largest",
        "too-large",
        "cells of too many pixels",
        "use a weaker objective, or save the picture smaller",
        lambda view: view.diameter,
        400.0,
        "at most",
    ),
    Gate(
        "covered",
        "crowded",
        "too crowded",
        _THINNER,
        lambda view: view.covered,
        0.7,
        "at most",
    ),
    Gate("single", "clumped", "almost all cells in clumps", _THINNER, lambda view: view.single, 0.1),
    Gate("alike", "no-thin-film", _NO_FILM, _THIN_FILMS_ONLY, lambda view: view.alike, 0.4),
    Gate("opacity", "no-thin-film", _NO_FILM, _THIN_FILMS_ONLY, _contrast, 2.0, "at most"),
)


def default_limits() -> dict[str, float]:
    """The limit of every gate, by name: what a bundle is sealed with."""
    return {gate.name: gate.limit for gate in GATES}


def measure(view: FieldView) -> dict[str, float]:
    """The value of every gate, by name."""
    return {gate.name: gate.measure(view) for gate in GATES}


def stopped_by(values: Mapping[str, float], limits: Mapping[str, float]) -> list[Gate]:
    """The gates that a frame does not pass, gravest first.

    Args:
        values: of `measure`.
        limits: of a bundle's manifest, by name.
    """
    return [gate for gate in GATES if not gate.passes(values[gate.name], limits[gate.name])]
