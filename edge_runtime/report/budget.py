"""How many bytes each picture of a report may have, so that the report of a long slide opens on a phone, too.

Every parasitized and every suspect cell is shown, and every field. The more there are, the smaller and
coarser their pictures: of few, as sharp as the frame; of sixteen thousand, as small as still shows a ring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.record.readings import Counts

MOST_BYTES = 15_000_000  # of a report; the parts below leave 1.5 million for everything that is text
FLAGGED_BYTES = 7_000_000  # of parasitized and suspect cells
REJECTED_BYTES = 1_000_000  # of cells that were rejected for another reason
FIELDS_BYTES = 5_500_000

PAGE = 60  # cells or fields in sight at once
MOST_REJECTED = 480  # cells rejected for another reason up to which all of them are shown
MOST_BOXES = 20_000  # cells up to which each one has a box on its field
MOST_LARGE = 60  # fields up to which each one is shown as wide as the page

_TEXT_OF_CELL = 190  # bytes around a picture: its caption, link and description
_TEXT_OF_FIELD = 600
_TEXT_OF_BOX = 130
_BASE64 = 4 / 3


@dataclass(frozen=True)
class Size:
    """One size in which pictures are made.

    Attributes:
        side: of the longer side, in pixels, at most.
        quality: of WebP, 0 to 100.
        usual: bytes of such a picture, measured on simulated fields; where it begins to be tried.
    """

    side: int
    quality: int
    usual: int


# Largest first. A picture that does not fit its allowance in one size is made in the next.
CELL_SIZES = (
    Size(256, 82, 2600),
    Size(192, 80, 1600),
    Size(160, 75, 1000),
    Size(128, 70, 650),
    Size(96, 65, 340),
    Size(80, 55, 215),
    Size(64, 50, 158),
    Size(64, 20, 125),
    Size(48, 10, 90),
)
FIELD_SIZES = (
    Size(1280, 75, 34_000),
    Size(960, 70, 23_000),
    Size(640, 70, 15_500),
    Size(480, 65, 10_500),
    Size(320, 60, 6500),
    Size(240, 50, 4300),
    Size(160, 50, 2900),
    Size(160, 20, 1800),
    Size(120, 20, 1300),
    Size(96, 10, 700),
)


@dataclass(frozen=True)
class Allowances:
    """What a report can afford.

    Attributes:
        flagged: bytes for the picture of a parasitized or suspect cell.
        rejected: bytes for that of a cell which was rejected for another reason.
        field: bytes for that of a field.
        roomy: whether cells are shown large, with whole words below them.
        context: side of a cell's picture, in units of the cell's longer side.
        large: whether fields are shown as wide as the page.
        every_box: whether every cell has a box on its field, and not only parasitized and suspect ones.
    """

    flagged: int
    rejected: int
    field: int
    roomy: bool
    context: float
    large: bool
    every_box: bool


def allowances(counts: Counts) -> Allowances:
    """Share the bytes of a report out among what a slide has to show.

    Args:
        counts: of the slide.
    """
    fields, cells = counts.fields + counts.stopped, counts.judged + counts.not_judged
    every_box = cells <= MOST_BOXES
    boxes = _TEXT_OF_BOX * cells if every_box else 0
    flagged = _each(FLAGGED_BYTES, counts.parasitized + counts.suspect, _TEXT_OF_CELL)
    side = from_usual(CELL_SIZES, flagged)[0].side
    return Allowances(
        flagged=flagged,
        rejected=_each(REJECTED_BYTES, min(counts.rejected - counts.suspect, MOST_REJECTED), _TEXT_OF_CELL),
        field=_each(FIELDS_BYTES - boxes, fields, _TEXT_OF_FIELD),
        roomy=side >= 128,
        # The smaller the picture, the more of it is the cell: a ring must stay some pixels wide.
        context=2.4 if side >= 160 else 1.8 if side >= 96 else 1.45,
        large=fields <= MOST_LARGE,
        every_box=every_box,
    )


def from_usual(sizes: Sequence[Size], allowance: int) -> Sequence[Size]:
    """The sizes worth trying, largest first; the smallest one, whatever is allowed."""
    return [size for size in sizes if size.usual <= allowance] or sizes[-1:]


def _each(total: int, number: int, text: int) -> int:
    """Bytes for each of `number` pictures, before they are written as base64."""
    return max(0, int((total / max(1, number) - text) / _BASE64))
