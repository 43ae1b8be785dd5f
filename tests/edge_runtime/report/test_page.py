"""The report: depends on the record alone, tells everything in it, and trusts no name."""

import base64
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import cv2
import numpy as np
import pytest
import slide_samples

from edge_runtime.cells.cutting import WHY_NOT_CUT, NotCutReason
from edge_runtime.decision import table
from edge_runtime.decision.detector import Detector
from edge_runtime.errors import StorageError
from edge_runtime.fields.gates import GATES, default_limits
from edge_runtime.record.readings import CellReading, FieldReading, SlideHeader, applied_gates, applied_tests
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.colours import PENS
from edge_runtime.report.page import css_string, render_report, write_report
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.statistics.rates import MeasuredRate

HOSTILE = """<script>alert("1")</script> & 'quotes' {{ header }} {% endif %} $body é"""
TESTS = applied_tests(
    Detector((), 0.0, (), 0.0, (), (), {test.name: 1.25 + n for n, test in enumerate(table.TESTS)})
)
EVERY_REASON = (
    "smaller than a red cell, larger than a red cell, not one whole cell, too little colour or contrast, "
    "unlike the training cells or of a class by the finest detail alone"
)
EVERY_WHY = (
    "cut by the edge, clumped, too small, too dark, counted in an earlier field or dirt that stays while the "
    "slide moves"
)
GOOD = {test.name: test.limit for test in TESTS}
HEADER = replace(
    slide_samples.HEADER,
    slide="S-17",
    source="/slides/17",
    bundle="tiny 1 (0123456789ab)",
    bundle_digest="0123456789abcdef" * 4,
    tests=TESTS,
    gates=applied_gates(default_limits()),
    sensitivity=MeasuredRate(5900, 6960, 0.025, 80),
    false_positives=MeasuredRate(6, 2380, 0.0032, 35),
)
VOID = {"meta", "img", "rect", "br", "link"}


def picture(suffix: str, colour: tuple[int, int, int], width: int = 40, height: int = 30) -> bytes:
    return cv2.imencode(suffix, np.full((height, width, 3), colour, np.uint8))[1].tobytes()


CROP = picture(".png", (9, 9, 200))
REJECTED_CROP = picture(".png", (200, 9, 9))
PARASITIZED = CellReading((10, 20, 40, 30), "parasitized", "", "parasitized", 0.873, GOOD, (-1.0,), CROP)
UNINFECTED = replace(PARASITIZED, box=(60, 20, 40, 30), status="uninfected", label="uninfected")
REJECTED = replace(
    PARASITIZED,
    box=(110, 20, 40, 30),
    status="rejected",
    reason="far-from-training",
    crop=REJECTED_CROP,
    values={**GOOD, "confidence": -9.0},
)
NOT_JUDGED = replace(slide_samples.NOT_JUDGED, box=(0, 0, 9, 9))


def field(number: int, name: str, *cells: CellReading) -> FieldReading:
    overview = picture(".jpg", (220, 210, 230), 320, 240)
    return FieldReading(number, name, 640, 480, overview, "2025-01-02T03:04:06+00:00", "", {}, cells)


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Path]:
    def make(
        *items: FieldReading | SkippedFrame, header: SlideHeader = HEADER, finished: bool = True
    ) -> Path:
        path = tmp_path / "slide.sqlite"
        with SlideRecord.begin(path, header) as record:
            for item in items:
                if isinstance(item, FieldReading):
                    record.add_field(item)
                else:
                    record.add_skipped(item)
            if finished:
                record.finish("2025-01-02T04:00:00+00:00")
        return path

    return make


@contextmanager
def page_of(path: Path) -> Iterator[str]:
    with SlideRecord.open(path) as record:
        yield render_report(record)


def rendered(path: Path) -> str:
    with page_of(path) as page:
        return page


class Reader(HTMLParser):
    """Collects text and attributes, and notes a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.links: list[str] = []
        self.ids: list[str] = []
        self.images: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "src":
                self.images.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"}:
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


FIELDS = (
    field(1, "a.png", PARASITIZED, UNINFECTED, UNINFECTED, REJECTED, NOT_JUDGED),
    field(2, "b.png", UNINFECTED, REJECTED),
    SkippedFrame("c.png", "the file is cut off; copy it again"),
)


def test_the_same_record_gives_the_same_bytes(recorded: Callable[..., Path], tmp_path: Path) -> None:
    path = recorded(*FIELDS)
    copied = Path(shutil.copy(path, tmp_path / "copied.sqlite"))
    for record_path, report in ((path, "one"), (path, "two"), (copied, "three")):
        with SlideRecord.open(record_path) as record:
            write_report(record, tmp_path / f"{report}.html")
    one, two, three = ((tmp_path / f"{n}.html").read_bytes() for n in ("one", "two", "three"))
    assert one == two == three
    assert one.decode() == rendered(path)


def test_counts_and_shares_are_those_of_the_record(recorded: Callable[..., Path]) -> None:
    text = re.sub(r"\s+", " ", read(rendered(recorded(*FIELDS))).text)
    for told in (
        "uninfectedaccepted 3",
        "parasitizedaccepted 1",
        f"rejected{EVERY_REASON} 2",
        f"not judged{EVERY_WHY} 1",
        "fields counted 2",
        "suspectperhaps a parasite 0",
        "fields not counted 0",
        "frames skipped 1",
    ):
        assert told.replace(" ", "") in text.replace(" ", ""), told
    assert "NOT READABLE not reviewed by a person 2 of at least 10 fields; read on" in text
    assert "4 of at least 1,000 cells; read on" in text
    assert "No share is shown: the verdict says why." in text


def many(*, parasitized: int, uninfected: int, rejected: int = 0, fields: int = 10) -> list[FieldReading]:
    """Fields with so many cells each."""
    cells = [PARASITIZED] * parasitized + [UNINFECTED] * uninfected + [REJECTED] * rejected
    return [field(number, f"{number}.png", *cells) for number in range(1, fields + 1)]


def test_the_share_is_told_with_its_interval_and_what_may_be_missed(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(*many(parasitized=12, uninfected=108, rejected=2)))
    text = re.sub(r"\s+", " ", read(page).text)
    assert (
        "PARASITES SEEN not reviewed by a person 120 of 1,200 cells are called parasitized; of a slide"
        in text
    )
    assert "10.00 % of the red cells are called parasitized (120 of 1,200)" in text
    told = r"confidence about ([\d.]+) %, ([\d.]+) % to ([\d.]+) % of"
    about, low, high = (float(share) for share in re.findall(told, text)[0])
    assert 11 < about < 12
    assert 8 < low < 10
    assert 11.8 < high < 25  # 85 % of the parasitized cells are called so
    assert "parasitized cells, with 5,000,000 red cells in it (assumed)" in text
    assert "9.84 % if none of 20 is parasitized, 11.48 % if all are" in text
    assert '<section class="verdict parasites-seen"' in page


def test_no_parasites_are_seen_only_down_to_the_limit_of_detection(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(*many(parasitized=0, uninfected=200)))
    text = re.sub(r"\s+", " ", read(page).text)
    assert "NO PARASITES SEEN not reviewed by a person none of 2,000 cells is called parasitized" in text
    assert re.search(r"fewer than [\d,]+ in a microlitre may be missed", text)
    assert '<section class="verdict none-seen"' in page


def test_a_few_calls_are_not_parasites_seen(recorded: Callable[..., Path]) -> None:
    some = many(parasitized=0, uninfected=200)
    some[0] = replace(some[0], cells=(*some[0].cells[:-5], *[PARASITIZED] * 5))
    text = re.sub(r"\s+", " ", read(rendered(recorded(*some))).text)
    assert (
        "NO PARASITES SEEN not reviewed by a person 5 of 2,000 cells are called parasitized, as on a slide"
        in text
    )


@pytest.mark.parametrize(
    ("fields", "uninfected", "told"),
    [(9, 150, "9 of at least 10 fields"), (10, 80, "920 of at least 1,000 cells")],
)
def test_too_few_fields_or_cells_give_no_number(
    recorded: Callable[..., Path], fields: int, uninfected: int, told: str
) -> None:
    made = recorded(*many(parasitized=12, uninfected=uninfected, fields=fields))
    text = re.sub(r"\s+", " ", read(rendered(made)).text)
    assert f"NOT READABLE not reviewed by a person {told}; read on" in text
    assert "No share is shown" in text


def test_what_decided_is_told(recorded: Callable[..., Path]) -> None:
    text = read(rendered(recorded(*FIELDS))).text
    told = (
        HEADER.slide,
        HEADER.source,
        HEADER.bundle,
        HEADER.bundle_digest,
        HEADER.provider,
        HEADER.software,
    )
    for value in (*told, "2025-01-02 03:04:05 UTC", "2025-01-02 04:00:00 UTC", "Research use only"):
        assert value in text


def test_every_test_is_told_with_its_limit_and_what_failing_it_means(recorded: Callable[..., Path]) -> None:
    text = " ".join(read(rendered(recorded(*FIELDS))).text.split())
    how = text[text.rindex("How it was read") :]
    for test in TESTS:
        told = (
            f"Test of {test.name}must be {test.side} {test.limit:g}, or the cell is rejected: {test.sentence}"
        )
        assert told in how
    assert how.count("does not count as a whole cell") == sum(not test.whole for test in TESTS)


def failing(*names: str) -> CellReading:
    """A cell that fails some tests, with the gravest reason as the decision gives it."""
    reason = next(test.reason for test in TESTS if test.name in names)
    failed = {test.name: -9.0 if test.side == "at least" else 9.0 for test in TESTS if test.name in names}
    return replace(REJECTED, reason=reason, values={**GOOD, **failed})


def section(page: str, name: str, following: str) -> str:
    return page[page.index(f'id="{name}"') : page.index(f'id="{following}"')]


def test_every_reason_is_counted_gravest_first(recorded: Callable[..., Path]) -> None:
    cells = [failing(test.name) for test in TESTS]
    page = rendered(recorded(field(1, "a.png", *cells, failing("margin"), failing("margin", "stability"))))
    told = re.findall(r"<li>(\d+) – ([^<]+)</li>", section(page, "rejected", "fields"))
    assert told == [
        ("1", "smaller than a red cell"),
        ("1", "larger than a red cell"),
        ("1", "not one whole cell"),
        ("2", "too little colour or contrast"),  # of colour and of texture
        ("1", "unlike the training cells"),
        ("2", "of a class by the finest detail alone"),
    ]
    assert len(cells_in(page, "suspect")) == 3  # of margin and of certainty


def test_a_reason_that_no_cell_has_is_counted_too(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(field(1, "a.png", failing("stability"))))
    told = re.findall(r"<li>(\d+) – [^<]+</li>", section(page, "rejected", "fields"))
    assert told == ["0"] * 5 + ["1"]


def test_a_cell_has_every_reason_in_its_caption_and_titles(recorded: Callable[..., Path]) -> None:
    cell = failing("colour", "texture", "stability", "margin")
    page = rendered(recorded(field(1, "a.png", cell)))
    why = "too little colour or contrast, of a class by the finest detail alone, perhaps a parasite"
    gravest, further = why.split(", ", 1)
    assert f"<h3>1 – {gravest}</h3>" in page
    assert f"<span>{further}</span>" in page
    described = f"rejected: {why}; parasitized, probability 87\u00a0%"
    assert f'alt="Cell 1 of field 1: {described}"' in page
    assert f"<title>Cell 1: {described}</title>" in page


def test_the_reasons_are_those_of_the_record_and_not_of_this_cellgate(recorded: Callable[..., Path]) -> None:
    blue = replace(TESTS[0], name="blueness", reason="blue", sentence="bluer than blood", side="at most")
    cell = replace(REJECTED, reason="blue", values={"blueness": 7.0})
    page = rendered(recorded(field(1, "a.png", cell), header=replace(HEADER, tests=(blue,))))
    assert "<small>bluer than blood</small>" in page
    assert "<li>1 – bluer than blood</li>" in page
    assert "<h3>1 – bluer than blood</h3>" in page
    assert "must be at most 1.25, or the cell is rejected: bluer than blood" in page
    assert "unlike the training cells" not in page


def test_a_cell_that_was_not_judged_says_why(recorded: Callable[..., Path]) -> None:
    cells = [replace(NOT_JUDGED, reason=code) for code in WHY_NOT_CUT]
    page = rendered(recorded(field(1, "a.png", *cells)))
    told = re.findall(r"<title>Cell \d: not judged: ([^<]+)</title>", page)
    assert told == list(WHY_NOT_CUT.values())
    assert set(WHY_NOT_CUT) == set(get_args(NotCutReason))


def test_every_answer_is_drawn_with_its_pen(recorded: Callable[..., Path]) -> None:
    suspect = replace(failing("certainty"), reason="suspect")
    page = rendered(recorded(*FIELDS, field(3, "d.png", suspect)))
    style = page[page.index("<style>") : page.index("</style>")]
    for status, pen in PENS.items():
        assert f'<svg class="{status}" viewBox' in page  # in the legend
        assert f".{status} rect {{ stroke: {pen.colour}; stroke-width: {pen.width};" in style
        assert f'<g class="{status}">' in page
    assert "style=" not in page


def test_every_answer_can_be_read_on_white() -> None:
    """A contrast of 4.5, as WCAG 2 asks for text."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert all(1.05 / (luminance(pen.colour) + 0.05) > 4.5 for pen in PENS.values())


def test_skipped_frames_are_listed_with_their_reason(recorded: Callable[..., Path]) -> None:
    text = read(rendered(recorded(*FIELDS))).text
    assert "c.png" in text
    assert "the file is cut off; copy it again" in text


def cells_in(page: str, answer: str) -> list[np.ndarray]:
    """The pictures of the cells of an answer."""
    following = {"parasitized": "suspect", "suspect": "rejected", "rejected": "fields"}[answer]
    found = re.findall(
        r'class="tile"><img src="data:image/webp;base64,([^"]+)"', section(page, answer, following)
    )
    return [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) for data in found]


def test_parasitized_and_rejected_cells_are_shown_in_their_surroundings(
    recorded: Callable[..., Path],
) -> None:
    page = rendered(recorded(*FIELDS))
    (called,) = cells_in(page, "parasitized")
    one, other = cells_in(page, "rejected")
    assert cells_in(page, "suspect") == []
    for cell, colour in ((called, (9, 9, 200)), (one, (200, 9, 9)), (other, (200, 9, 9))):
        middle = len(cell) // 2
        np.testing.assert_allclose(cell[middle, middle], colour, atol=12)  # of the crop
        np.testing.assert_allclose(cell[-4, middle], (220, 210, 230), atol=12)  # of the field around it
    assert "unlike the training cells" in page[page.index('id="rejected"') :]


def test_every_cell_has_a_box_on_its_field(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(*FIELDS))
    drawn = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"><title>', page)
    boxes = [tuple(map(int, box)) for box in drawn]
    cells = [cell for item in FIELDS if isinstance(item, FieldReading) for cell in item.cells]
    assert sorted(boxes) == sorted(cell.box for cell in cells)


def test_the_page_needs_nothing_from_anywhere(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(*FIELDS))
    reader = read(page)
    assert "script" not in reader.tags
    assert "link" not in reader.tags
    assert all(source.startswith("data:image/") for source in reader.images)
    for source in reader.images:
        kind, data = source.removeprefix("data:image/").split(";base64,")
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None, kind
    assert "http:" not in page.replace('http-equiv="', "")
    assert "https:" not in page
    assert "url(" not in page


def test_every_link_leads_somewhere_and_names_are_unique(recorded: Callable[..., Path]) -> None:
    reader = read(rendered(recorded(*FIELDS)))
    assert {link.removeprefix("#") for link in reader.links} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_no_name_becomes_part_of_the_page(recorded: Callable[..., Path]) -> None:
    hostile_cell = replace(REJECTED, reason=HOSTILE, label=HOSTILE)
    test = replace(TESTS[3], reason=HOSTILE, sentence=HOSTILE)
    header = replace(
        HEADER, slide=HOSTILE, source=HOSTILE, bundle=HOSTILE, bundle_digest=HOSTILE, provider=HOSTILE,
        software=HOSTILE, started=HOSTILE, finished=HOSTILE, tests=(test, replace(test, name=HOSTILE)),
    )  # fmt: skip
    path = recorded(
        field(1, HOSTILE, hostile_cell, replace(NOT_JUDGED, reason=HOSTILE)),
        SkippedFrame(HOSTILE, HOSTILE),
        header=header,
        finished=False,
    )
    page = rendered(path)
    reader = read(page)
    assert "script" not in reader.tags
    # Headline and state; note of the count and list of reasons; label and reason of a crop; name of a field;
    # a skipped frame and its reason; seven facts; two tests' sentences and the name of one.
    assert reader.text.count(HOSTILE) == 2 + 2 + 2 + 1 + 2 + 7 + 3
    assert read(rendered(path)).tags.count("h1") == 1


def test_a_reading_that_was_cut_off_says_so_first(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(*FIELDS, finished=False))
    assert "<title>INCOMPLETE: slide S-17 – research use only – cellgate</title>" in page
    text = read(page).text
    assert text.index("INCOMPLETE: cut off") < text.index("Numbers")
    assert "never: cut off" in text


def test_a_reading_that_ended_says_nothing_of_the_kind(recorded: Callable[..., Path]) -> None:
    assert "INCOMPLETE" not in rendered(recorded(*FIELDS))


def test_a_slide_without_cells_has_a_report_too(recorded: Callable[..., Path]) -> None:
    text = read(rendered(recorded(field(1, "a.png")))).text
    assert "No share is shown: the verdict says why." in text
    assert "NOT READABLE" in text
    assert "No cell was rejected for another reason." in text


def test_every_parasitized_and_suspect_cell_is_shown_page_by_page(recorded: Callable[..., Path]) -> None:
    suspect = replace(failing("certainty"), reason="suspect")
    page = rendered(recorded(field(1, "a.png", *[PARASITIZED] * 230, *[suspect] * 70)))
    assert len(cells_in(page, "parasitized")) == 230
    assert len(cells_in(page, "suspect")) == 70
    found = section(page, "parasitized", "suspect")
    summaries = re.findall(r"<details class=\"page\"( open)?><summary>([^<]+)</summary>", found)
    assert summaries == [
        (" open", "Cells 1 to 60 of 230"),
        ("", "Cells 61 to 120 of 230"),
        ("", "Cells 121 to 180 of 230"),
        ("", "Cells 181 to 230 of 230"),
    ]


def test_of_many_rejected_cells_a_sample_is_named_as_such(recorded: Callable[..., Path]) -> None:
    unlikely = replace(REJECTED, label="uninfected")
    cells = [unlikely] * 480 + [REJECTED] * 5 + [failing("stability")] * 2
    page = rendered(recorded(field(1, "a.png", *cells)))
    assert len(cells_in(page, "rejected")) == 60 + 2
    found = section(page, "rejected", "fields")
    assert "60 of 485 are shown, those first that the classifier would have called parasitized." in found
    assert re.findall(r"<span>(uninfected)?</span>", found).count("uninfected") == 55


def test_parasitized_labels_stand_before_others_the_likeliest_first(recorded: Callable[..., Path]) -> None:
    def rejected(label: str, score: float, probability: float) -> CellReading:
        return replace(REJECTED, label=label, values={**GOOD, "confidence": score}, probability=probability)

    cells = [
        rejected("uninfected", -3.0, 0.11),
        rejected("parasitized", -8.0, 0.22),
        rejected("parasitized", -5.0, 0.33),
        rejected("parasitized", float("nan"), 0.44),
    ]
    page = rendered(recorded(field(1, "a.png", *cells)))
    gallery = section(page, "rejected", "fields")
    assert re.findall(r"<b>(\d+)\s%</b>", gallery) == ["33", "22", "44", "11"]


@pytest.mark.parametrize("size", [(1200, 3), (3, 1200), (500, 400)])
def test_a_crop_of_any_shape_is_shown(recorded: Callable[..., Path], size: tuple[int, int]) -> None:
    large = picture(".png", (1, 2, 3), *size)
    (shown,) = cells_in(rendered(recorded(field(1, "a.png", replace(REJECTED, crop=large)))), "rejected")
    assert shown.shape[0] == shown.shape[1]


def test_a_report_that_cannot_be_written_leaves_the_old_one(
    recorded: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, report = recorded(*FIELDS), tmp_path / "report.html"
    report.write_text("the old one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with (
        SlideRecord.open(path) as record,
        pytest.raises(StorageError, match=r"report\.html: the report cannot be written \(No space left"),
    ):
        write_report(record, report)
    assert report.read_text() == "the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "slide.sqlite"]


def test_a_slide_with_too_many_rejected_cells_is_called_unusual(recorded: Callable[..., Path]) -> None:
    rejected = [replace(REJECTED, box=(number, 20, 40, 30)) for number in range(12)]
    accepted = [replace(UNINFECTED, box=(number, 60, 40, 30)) for number in range(13)]
    with SlideRecord.open(recorded(field(1, "a", *accepted, *rejected))) as record:
        page = render_report(record)
    assert "NOT READABLE" in page
    assert "an unusual slide: 12 of 25 whole cells were rejected" in page


def test_a_slide_of_which_most_cells_are_rejected_could_not_be_read(recorded: Callable[..., Path]) -> None:
    rejected = [replace(REJECTED, box=(number, 20, 40, 30)) for number in range(12)]
    text = read(rendered(recorded(field(1, "a", UNINFECTED, *rejected)))).text
    assert "NOT READABLE" in text
    assert "12 of 13 cells were rejected, too many to trust the others" in text
    assert "are called parasitized" not in text


def test_a_frame_that_was_not_counted_is_shown_with_its_reason_and_advice(
    recorded: Callable[..., Path],
) -> None:
    stopped = replace(field(2, "soft.mp4 frame 9"), reason="out-of-focus", moment=8.04)
    page = rendered(recorded(field(1, "a.png", UNINFECTED), stopped))
    text = read(page).text
    gate = next(gate for gate in GATES if gate.reason == "out-of-focus")
    assert f"not counted – {gate.sentence}; {gate.advice}" in text
    assert f"1 – {gate.sentence}: {gate.advice}" in text
    assert page.count('class="field"') == page.count('class="field stopped"') == 1
    assert "soft.mp4 frame 9, at 8.0 s" in text


def test_what_happened_to_the_source_is_told(recorded: Callable[..., Path], tmp_path: Path) -> None:
    with SlideRecord.begin(tmp_path / "live.sqlite", HEADER) as record:
        record.add_field(field(1, "a.png", UNINFECTED))
        record.add_note("camera 0: hangs <b>")
        record.finish("2025-01-02T04:00:00+00:00", repeats=1234)
        text = read(render_report(record)).text
    assert "camera 0: hangs <b>" in text
    assert "1,234 more looks showed what was read already." in text


def test_a_crowded_slide_is_not_unusual(recorded: Callable[..., Path]) -> None:
    """Halves and pairs of cells are rejected, too, but say nothing of stain or light."""
    halves = [replace(failing("wholeness"), box=(number, 20, 40, 30)) for number in range(12)]
    accepted = [replace(UNINFECTED, box=(number, 60, 40, 30)) for number in range(40)]
    with SlideRecord.open(recorded(field(1, "a", *halves, *accepted))) as record:
        page, counts = render_report(record), record.counts()
    assert "unusual" not in page
    assert "not one whole cell" in page
    assert (counts.rejected, counts.broken, counts.whole_rejected, counts.whole) == (12, 12, 0, 40)


def test_many_parasites_do_not_make_a_slide_unusual(recorded: Callable[..., Path]) -> None:
    suspect = replace(failing("certainty"), reason="suspect")
    cells = [PARASITIZED] * 30 + [UNINFECTED] * 75 + [suspect] * 30
    fields = [field(number, f"{number}.png", *cells) for number in range(1, 11)]
    text = re.sub(r"\s+", " ", read(rendered(recorded(*fields))).text)
    assert "PARASITES SEEN" in text
    assert "unusual" not in text


def test_an_ordinary_slide_is_not(recorded: Callable[..., Path]) -> None:
    accepted = [replace(UNINFECTED, box=(number, 20, 40, 30)) for number in range(40)]
    with SlideRecord.open(recorded(field(1, "a", REJECTED, REJECTED, *accepted))) as record:
        assert "unusual" not in render_report(record)


def test_a_clock_that_was_never_set_is_remarked(recorded: Callable[..., Path]) -> None:
    told = "The clock of this device was not set: it said 1970-01-01"
    with page_of(recorded(header=replace(HEADER, started="1970-01-01T00:03:07+00:00"))) as page:
        assert told in page


def test_a_clock_that_was_set_is_not_remarked(recorded: Callable[..., Path]) -> None:
    with page_of(recorded()) as page:
        assert "the clock of this device" not in page


def test_cells_of_further_classes_are_counted_by_name(recorded: Callable[..., Path]) -> None:
    header = replace(HEADER, classes=("uninfected", "gametocyte", "ring"), parasitized=("gametocyte", "ring"))
    ring = replace(PARASITIZED, label="ring")
    late = replace(PARASITIZED, label="gametocyte", box=(90, 20, 40, 30))
    doubted = replace(REJECTED, label="ring")
    made = recorded(field(1, "a.png", ring, UNINFECTED, late, ring, doubted), header=header)
    text = " ".join(read(rendered(made)).text.split())
    assert "accepted: 1 gametocyte, 2 ring3" in text
    with SlideRecord.open(made) as record:
        assert record.header() == replace(header, finished=record.header().finished)
        assert record.counts().classes == {"uninfected": 1, "gametocyte": 1, "ring": 2}


def test_the_report_is_written_in_the_language_that_was_asked_for(recorded: Callable[..., Path]) -> None:
    stopped = replace(field(11, "soft.png"), reason="out-of-focus")
    cells = [
        replace(REJECTED, box=(0, 0, 40, 30)),
        NOT_JUDGED,
        replace(failing("certainty"), reason="suspect"),
    ]
    made = recorded(*many(parasitized=12, uninfected=108, rejected=2), stopped, field(12, "b.png", *cells))
    with SlideRecord.open(made) as record:
        page = render_report(record, "fr")
    assert '<html lang="fr">' in page
    text = re.sub(r"\s+", " ", read(page).text)
    for told in (
        "PARASITES OBSERVÉS non relu par une personne",
        "120 cellules sur 1 201 sont classées parasitées",
        "9,99 % des hématies sont classées parasitées (120 sur 1 201)",
        "non compté – mise au point incorrecte ; réglez la vis micrométrique",
        "21 – différente des cellules d’apprentissage",
        "Lecture menée à son terme le 02/01/2025 à 04:00:00 UTC",
    ):
        assert told in text, told
    before = text[: text.rindex("Conditions de lecture")]  # behind it stand the names of tests and gates
    assert not re.search(r"\b(cells?|fields|rejected|counted|limit of|perhaps|too)\b", before)


def test_what_stands_on_every_printed_page_cannot_leave_its_quotes(recorded: Callable[..., Path]) -> None:
    page = rendered(recorded(*FIELDS))
    margins = page[page.index("@page {") : page.index("@media print")]
    assert 'content: "Slide\\20 S\\2d 17"' in margins
    assert 'content: "Research\\20 use\\20 only"' in margins
    assert "counter(page)" in margins
    hostile = 'a"; } </style><script>é\\' + "x" * 100
    told = css_string(hostile)
    assert re.fullmatch(r"([A-Za-z0-9]|\\[0-9a-f]+ )+", told)
    back = re.sub(r"\\([0-9a-f]+) ", lambda found: chr(int(found[1], 16)), told)
    assert back == hostile[:60] + "…"


def test_a_persons_call_stands_beside_the_models_answer(
    recorded: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = SimpleNamespace(answer="none", reviewer="R. <b>", remark="a platelet")
    monkeypatch.setattr(SlideRecord, "latest_calls", lambda _: {(1, 1): call}, raising=False)
    page = rendered(recorded(*FIELDS))
    found = section(page, "parasitized", "suspect")
    assert '<span class="call">R. &lt;b&gt;: no parasite – a platelet</span>' in found
    assert page.count('class="call"') == 1
    assert "<b>87\u00a0%</b>" in found


def test_a_map_stands_beside_its_cell(recorded: Callable[..., Path]) -> None:
    path = recorded(field(1, "a.png", PARASITIZED, PARASITIZED))
    with SlideRecord.open_for_calls(path) as record:
        record.add_maps({(1, 1): CROP})
    page = rendered(path)
    assert page.count('<span class="map"><img src="data:image/webp') == 1
    assert 'alt="What the decision hangs on lies in the ring"' in page


def test_a_long_slide_with_many_parasites_fits_a_phone(recorded: Callable[..., Path]) -> None:
    """Two thousand fields, sixteen thousand cells to show, and none of them left out."""
    noise = np.random.default_rng(0).normal(190, 9, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    busy = replace(field(1, "a.png"), overview=cv2.imencode(".jpg", noise)[1].tobytes())
    suspect = replace(failing("certainty"), reason="suspect")
    cells = [
        replace(cell, crop=b"")
        for cell in [PARASITIZED] * 6 + [suspect] * 2 + [UNINFECTED] * 3 + [REJECTED] * 2
    ]
    fields = [replace(busy, number=number, cells=tuple(cells)) for number in range(1, 2001)]
    page = rendered(recorded(*fields))
    assert len(page.encode()) < 15_000_000
    assert page.count('class="tile"><img') == 16_000 + 60
    assert page.count('<li class="field"') == 2000
