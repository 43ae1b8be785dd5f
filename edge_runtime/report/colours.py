"""The report's colours: how each answer is drawn, in one table. The style sheet takes them from here."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.record.readings import Status


@dataclass(frozen=True)
class Pen:
    """How the cells of one answer are drawn.

    Attributes:
        colour: "#rrggbb"; also of the answer's figure, so it is dark enough to be read on white.
        width: of the line, in pixels of the page.
        dashes: lengths of line and gap, as SVG has them; "none" is a whole line.
        look: the same in words, for the legend.
    """

    colour: str
    width: float
    dashes: str
    look: str


# Gravest first. The answers differ in dashes and width as well as in colour, and rejected is never green: it
# must not pass for a good cell at a glance.
PENS: Mapping[Status, Pen] = {
    "parasitized": Pen("#b3121d", 3.5, "none", "thick red line"),
    "rejected": Pen("#33383d", 2.5, "6 4", "dashed grey line"),
    "uninfected": Pen("#17753a", 1.5, "none", "thin green line"),
    "not-judged": Pen("#4a4f55", 1.5, "1.5 3", "dotted grey line"),
}
