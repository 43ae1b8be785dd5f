"""Replay: the cells that a record keeps, judged once more by its bundle, and its report written once more."""

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.errors import BundleError
from edge_runtime.record.readings import CellReading, SlideHeader
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.report.page import render_report
from edge_runtime.report.texts import LANGUAGES
from edge_runtime.slide.judging import cut_again, judge
from edge_runtime.slide.reading import REPORT


@dataclass(frozen=True)
class Replayed:
    """How a slide is judged the second time.

    Attributes:
        cells: number of judged cells in the record.
        differing: each cell that is answered otherwise now, in words.
        misfits: what in the record is not as it was written, each in words (see `record/chain.py`).
        report: what is wrong with report.html, in words; empty if it says what the record says.
        provider: the execution provider of the second time.
    """

    cells: int
    differing: tuple[str, ...]
    misfits: tuple[str, ...]
    report: str
    provider: str

    @property
    def passed(self) -> bool:
        """Whether everything is as it was."""
        return not (self.differing or self.misfits or self.report)


def replay_slide(folder: Path, classifier: Classifier) -> Replayed:
    """Judge the cells of a slide once more.

    Args:
        folder: of the slide's record and report.
        classifier: with the bundle that read the slide.

    Raises:
        SourceError: there is no record, or a damaged one.
        BundleError: another bundle read the slide; it is named.
    """
    with SlideRecord.open(folder / RECORD) as record:
        header = record.header()
        _check_bundle(header, classifier)
        cells, differing, size = 0, [], classifier.bundle.manifest.input.size
        for field in record.fields():
            before = [(number, cell) for number, cell in enumerate(field.cells, start=1) if cell.crop]
            after = judge([cut_again(cell, size) for _, cell in before], classifier)
            cells += len(before)
            for (number, old), new in zip(before, after, strict=True):
                if _answer(old) != _answer(new):
                    told = f"{' '.join(_answer(old))} before, {' '.join(_answer(new))} now"
                    differing.append(f"cell {number} of field {field.number}: {told}")
        misfits, report = tuple(record.misfits()), _report(record, folder / REPORT)
    return Replayed(cells, tuple(differing), misfits, report, classifier.provider)


def _check_bundle(header: SlideHeader, classifier: Classifier) -> None:
    bundle = classifier.bundle
    if bundle.digest != header.bundle_digest:
        raise BundleError(
            f"{bundle.path}: is {bundle.title}, but the slide was read by {header.bundle}, sha256 "
            f"{header.bundle_digest}; give the folder of that bundle with --bundle"
        )


def _answer(cell: CellReading) -> tuple[str, ...]:
    """What is said of a cell; without numbers, whose last digits differ from processor to processor."""
    return tuple(word for word in (cell.status, cell.reason, cell.label) if word)


def _report(record: SlideRecord, path: Path) -> str:
    if not path.exists():
        return f"{path.name} is not there; 'cellgate report' writes it again"
    held = path.read_bytes()
    if any(render_report(record, language).encode() == held for language in LANGUAGES):
        return ""
    return f"{path.name} is not what the record says; 'cellgate report' writes it again"
