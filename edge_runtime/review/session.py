"""A review in a terminal: a cell after the other, and a person's call of each."""

import os
import sys
from pathlib import Path
from typing import Literal

import click
import cv2

from edge_runtime.console import answer, tell
from edge_runtime.record.readings import Answer, SlideHeader
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.texts import ENGLISH
from edge_runtime.report.wording import describe
from edge_runtime.review.calls import call_cell
from edge_runtime.review.closeup import close_up, in_terminal
from edge_runtime.review.queue import Key
from edge_runtime.storage import write_whole

PICTURE = "review.png"  # in the slide's folder, while it is reviewed
_KEYS: dict[str, Answer | Literal["skip", "back", "quit"]] = {
    "p": "parasite",
    "n": "none",
    "c": "cannot-tell",
    "s": "skip",
    "b": "back",
    "q": "quit",
}
_ASKED = "[p]arasite, [n]one, [c]annot tell, [s]kip, [b]ack, [q]uit"


def review(record: SlideRecord, keys: list[Key], reviewer: str) -> int:
    """Show cells and record what a person says of each; what was said is kept whenever it ends.

    The classifier's answer is told only after the person's: whoever knows it sees it.

    Args:
        record: opened for calls.
        keys: of the cells, in the order in which to show them.
        reviewer: who looks.

    Returns:
        How many cells were called.
    """
    header, place, called = record.header(), 0, 0
    picture = record.path.parent / PICTURE
    try:
        while place < len(keys):
            _show(record, keys[place], picture, f"{place + 1} of {len(keys)}")
            said = _KEYS[click.prompt(_ASKED, type=click.Choice([*_KEYS]), show_choices=False, err=True)]
            if said == "quit":
                break
            if said == "skip" or said == "back":  # noqa: PLR1714 - or mypy does not see what is left
                place = max(0, place + (1 if said == "skip" else -1))
                continue
            remark = _remark() if said == "parasite" else ""
            call_cell(record, *keys[place], said, reviewer=reviewer, remark=remark)
            _compare(record, keys[place], header)
            place, called = place + 1, called + 1
    except click.Abort:  # Ctrl-C, or nothing more to read: as if one had said quit
        tell("")
    finally:
        picture.unlink(missing_ok=True)
    return called


def _show(record: SlideRecord, key: Key, picture: Path, place: str) -> None:
    seen = close_up(record, *key)
    write_whole(picture, cv2.imencode(".png", cv2.cvtColor(seen, cv2.COLOR_RGB2BGR))[1].tobytes())
    if sys.stdout.isatty() and os.environ.get("COLORTERM") in {"truecolor", "24bit"}:
        for line in in_terminal(seen):
            answer(line)
    answer(f"{place}: cell {key[1]} of field {key[0]}, in the middle of {click.format_filename(picture)}")


def _remark() -> str:
    said: str = click.prompt("species or stage, if you know", default="", show_default=False, err=True)
    return said


def _compare(record: SlideRecord, key: Key, header: SlideHeader) -> None:
    answer(f"the classifier says: {describe(record.cell(*key), header, ENGLISH)}\n")
