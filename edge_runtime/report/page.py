"""The report of a slide: one HTML file that needs no network and no JavaScript to be read.

It depends on the record and the language alone: the same record gives the same report, byte for byte. The
page is page.html, with the other .html files and page.css beside it; Jinja2 escapes whatever they are given.
"""

from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from edge_runtime.cells.cutting import WHY_NOT_CUT
from edge_runtime.clock import doubt
from edge_runtime.decision.table import SUSPECT
from edge_runtime.record.readings import Status, by_class
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.colours import PENS
from edge_runtime.report.estimate import red_cells_told
from edge_runtime.report.pictures import data_uri
from edge_runtime.report.scale import scale_of
from edge_runtime.report.shown import gather, pages
from edge_runtime.report.summary import SlideSummary, summarise
from edge_runtime.report.texts import DEFAULT, Texts, texts_in
from edge_runtime.storage import whole_file

_PIECES = 500  # of the page are written at once
_MOST_OF_CODE = 60  # characters of the slide's code, in the margin of a printed page


def write_report(record: SlideRecord, path: str | Path, language: str = DEFAULT) -> SlideSummary:
    """Write the report of a slide, whole or not at all.

    Args:
        record: of the slide.
        path: of the file.
        language: of the report, one of `texts.LANGUAGES`.

    Returns:
        The numbers that it shows; the verdict says why in the same language.

    Raises:
        SourceError: there are no texts in this language.
        StorageError: the file cannot be written; a report that was there before is untouched.
    """
    path, texts = Path(path), texts_in(language)
    summary = summarise(record, texts)

    def otherwise(reason: str) -> str:
        return (
            f"the report cannot be written ({reason}); the record is kept, free some space "
            f"and run 'cellgate report {path.parent}'"
        )

    with whole_file(path, otherwise=otherwise) as file:
        for piece in _pieces(record, summary, texts):
            file.write(piece.encode())
    return summary


def render_report(record: SlideRecord, language: str = DEFAULT) -> str:
    """The report of a slide as one HTML page.

    Args:
        record: of the slide.
        language: of the report, one of `texts.LANGUAGES`.

    Raises:
        SourceError: there are no texts in this language.
    """
    texts = texts_in(language)
    return "".join(_pieces(record, summarise(record, texts), texts))


def _pieces(record: SlideRecord, summary: SlideSummary, texts: Texts) -> Iterator[str]:
    """The page from its beginning to its end."""
    header, found = summary.header, summary.estimate
    stream = (
        _environment(texts)
        .get_template("page.html")
        .stream(
            header=header,
            counts=summary.counts,
            verdict=summary.verdict,
            final=summary.last_verdict,
            estimate=found,
            scale=found and scale_of(found),
            red_cells=found and red_cells_told(found.red_cells, texts),
            notes_of=_notes_of(summary, texts),
            shown=gather(record, header, summary.counts, texts),
            reviewed=summary.reviewed,
            calls=record.latest_calls(),
            skipped=record.skipped(),
            notes=record.notes(),
            pens=PENS,
            seal=record.seal(),
        )
    )
    stream.enable_buffering(_PIECES)
    yield from stream


def _notes_of(summary: SlideSummary, texts: Texts) -> dict[str, str]:
    """What is said of the numbers of each answer: of which classes they are, or why."""
    header, counts = summary.header, summary.counts

    def accepted(status: Status) -> str:
        classes = by_class(header, counts, status)
        named = (f"{texts.number(number)} {texts.of_record('class', name, name)}" for number, name in classes)
        listed = ", ".join(named)
        return (
            texts.say("numbers.accepted-classes", classes=listed) if listed else texts.say("numbers.accepted")
        )

    reasons = {code: texts.of_record("reason", code, own) for code, own in header.sentences.items()}
    suspect = reasons.pop(SUSPECT.code, "")
    return {
        "parasitized": accepted("parasitized"),
        "suspect": suspect,
        "uninfected": accepted("uninfected"),
        "rejected": texts.either(reasons.values()),
        "not-judged": texts.either(texts.of_record("reason", code, own) for code, own in WHY_NOT_CUT.items()),
    }


def _environment(texts: Texts) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"say": texts.say, "texts": texts, "pages": pages}
    environment.filters |= {
        "css_string": css_string,
        "data_uri": data_uri,
        "density": texts.density,
        "doubt": doubt,
        "number": texts.number,
        "percent": texts.percent,
        "time": texts.time,
    }
    return environment


def css_string(text: str) -> str:
    """A text between the quotes of a CSS string, where HTML's escapes mean nothing: digits and letters alone.

    Anything else is written by its number (CSS Syntax Module Level 3, section 4.3.7).
    """
    short = text if len(text) <= _MOST_OF_CODE else f"{text[:_MOST_OF_CODE]}…"
    return "".join(
        letter if letter.isascii() and letter.isalnum() else f"\\{ord(letter):x} " for letter in short
    )
