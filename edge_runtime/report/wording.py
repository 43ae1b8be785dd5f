"""What was found, in words: of a cell, of a field and of a frame that is not counted."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from edge_runtime.cells.cutting import WHY_NOT_CUT
from edge_runtime.record.readings import AppliedGate, CellReading, FieldReading, SlideHeader, Status
from edge_runtime.report.texts import Texts

Answer = Status | Literal["suspect"]  # suspects are rejected, but shown as an answer of their own


def answer_of(cell: CellReading) -> Answer:
    """How the report calls what was said of a cell."""
    return "suspect" if cell.suspect else cell.status


def tally(field: FieldReading) -> Mapping[Answer, int]:
    """How many cells of a field have which answer."""
    return Counter(answer_of(cell) for cell in field.cells)


def label_of(cell: CellReading, texts: Texts) -> str:
    """The classifier's class of a cell, as a person reads it."""
    return texts.of_record("class", cell.label, cell.label)


def describe(cell: CellReading, header: SlideHeader, texts: Texts) -> str:
    """A cell's answer as plain text."""
    if cell.status == "not-judged":
        return texts.say("cell.not-judged", why=", ".join(whys(cell, header, texts)))
    probability = texts.probability(cell.probability)
    label = texts.say("cell.answer", label=label_of(cell, texts), probability=probability)
    if cell.status != "rejected":
        return label
    return texts.say("cell.rejected", why=", ".join(whys(cell, header, texts)), label=label)


def whys(cell: CellReading, header: SlideHeader, texts: Texts) -> list[str]:
    """Every reason why a cell was rejected, gravest first, or why it was not judged.

    A code that nobody explains stays as it is.
    """
    sentences = WHY_NOT_CUT if cell.status == "not-judged" else header.sentences
    failed = [test.reason for test in cell.failed(header.tests)]
    codes = dict.fromkeys([cell.reason, *failed])
    return [texts.of_record("reason", code, sentences.get(code, code)) for code in codes]


def stop_told(gate: AppliedGate, texts: Texts) -> str:
    """Why a frame is not counted, and what to do."""
    reason = texts.of_record("stop", gate.reason, gate.sentence)
    return texts.say("field.why", reason=reason, advice=texts.of_record("advice", gate.reason, gate.advice))


def named(field: FieldReading, texts: Texts) -> str:
    """A frame's name and, of a video or camera, its time."""
    if field.moment is None:
        return field.name
    return texts.say("field.at", name=field.name, seconds=texts.decimal(field.moment))
