"""The report's colours: how each answer is drawn, in one table. The style sheet takes them from here."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.report.wording import Answer


@dataclass(frozen=True)
class Pen:
    """How the cells of one answer are drawn.

    Attributes:
        colour: "#rrggbb"; also of the answer's figure, so it is dark enough to be read on white.
        width: of the line, in pixels of the page.
        dashes: lengths of line and gap, as SVG has them; "none" is a whole line.
    """

    colour: str
    width: float
    dashes: str


# Gravest first. The answers differ in dashes and width as well as in colour, and rejected is never green: it
# must not pass for a good cell at a glance. In words they stand in the texts, as "pen.…".
PENS: Mapping[Answer, Pen] = {
    "parasitized": Pen("#b3121d", 3.5, "none"),
    "suspect": Pen("#8a4a00", 3.0, "9 3"),
    "rejected": Pen("#33383d", 2.5, "6 4"),
    "uninfected": Pen("#17753a", 1.5, "none"),
    "not-judged": Pen("#4a4f55", 1.5, "1.5 3"),
}
