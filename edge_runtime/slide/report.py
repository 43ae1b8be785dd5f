"""The report of a slide: one HTML file that needs no network and no JavaScript to be read.

It depends on the record alone, so the same record gives the same report, byte for byte.
"""

from html import escape
from pathlib import Path
from string import Template

from edge_runtime.slide.group import FALSE_ALARMS, GroupJudgement
from edge_runtime.slide.pictures import (
    NumberedCell,
    field_figure,
    gallery,
    legend,
    parasitized_first,
    reason_text,
)
from edge_runtime.slide.readings import AppliedTest, Counts, SlideHeader, Status
from edge_runtime.slide.record import SlideRecord
from edge_runtime.slide.summary import summarise
from edge_runtime.sources.images import SkippedFrame
from edge_runtime.storage import write_whole

RESEARCH_ONLY = "Research use only. Not for use in diagnostic procedures."


def write_report(record: SlideRecord, path: Path) -> None:
    """Write the report of a slide, whole or not at all.

    Raises:
        StorageError: the file cannot be written; a report that was there before is untouched.
    """
    write_whole(
        path,
        render_report(record),
        otherwise=lambda reason: (
            f"the report cannot be written ({reason}); the record is kept, free some space "
            f"and run 'cellgate report {path.parent}'"
        ),
    )


def render_report(record: SlideRecord) -> str:
    """Return the report of a slide as one HTML page."""
    summary = summarise(record)
    header, counts = summary.header, summary.counts
    cells: list[NumberedCell] = []
    figures: list[str] = []
    for field in record.fields():
        figures.append(field_figure(field))
        cells += [
            NumberedCell(field.number, number, cell)
            for number, cell in enumerate(field.cells, start=1)
            if cell.status in ("parasitized", "rejected")
        ]
    sections = (
        _top(header),
        _group(summary.group),
        _counts(counts),
        _share(counts),
        _parasitized(_with_status(cells, "parasitized")),
        _rejected(_with_status(cells, "rejected")),
        _fields(figures),
        _skipped(record.skipped()),
        _how_read(header),
    )
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    state = "" if header.finished else "INCOMPLETE: "
    title = escape(f"{state}slide {header.slide} - cellgate")
    return Template(template).substitute(title=title, body="\n".join(sections))


def _with_status(cells: list[NumberedCell], status: Status) -> list[NumberedCell]:
    return [cell for cell in cells if cell.reading.status == status]


def _top(header: SlideHeader) -> str:
    return f"""<p class="research">{RESEARCH_ONLY}</p>
<p class="over">cellgate slide report</p>
<h1>Slide {escape(header.slide)}</h1>
{_state(header)}
<nav aria-label="Sections">
<a href="#counts">Counts</a> <a href="#parasitized">Parasitized</a>
<a href="#rejected">Rejected</a> <a href="#fields">Fields</a>
<a href="#skipped">Skipped</a> <a href="#how">How it was read</a>
</nav>"""


def _state(header: SlideHeader) -> str:
    if header.finished:
        return f'<p class="state">Finished {_time(header.finished)}</p>'
    return """<p class="incomplete" role="alert"><strong>INCOMPLETE: cut off</strong>
The reading of this slide did not come to its end. Every figure below counts only what was
recorded until then and does not stand for the whole slide. Read the slide again.</p>"""


def _group(found: GroupJudgement) -> str:
    """A warning where this slide, as a whole, is unlike those of calibration; else nothing."""
    if not found.alarm:
        return ""
    return f"""<p class="incomplete" role="alert"><strong>UNUSUAL SLIDE</strong>
{found.rejected:,} of {found.cells:,} whole cells were rejected. Of {1 / FALSE_ALARMS:.0f} ordinary
slides only one would have more than {found.most:,}. Its stain, light, focus or kind of cell differs
from what the detector was calibrated on, so the accepted cells deserve less trust, too. Check the
slide and the microscope and read it again.</p>"""


def _counts(counts: Counts) -> str:
    figures = (
        ("uninfected", counts.uninfected, "uninfected", "accepted"),
        ("parasitized", counts.parasitized, "parasitized", "accepted"),
        (
            "rejected",
            counts.rejected,
            "rejected",
            "unlike the training cells, ambiguous or not one cell",
        ),
        ("not-judged", counts.not_judged, "not judged", "clumped, cut by the edge, too small or too dark"),
        ("", counts.fields, "fields read", ""),
        ("", counts.skipped, "frames skipped", ""),
    )
    entries = "\n".join(
        f'<div class="{name}"><dt>{label}<small>{note}</small></dt><dd>{value:,}</dd></div>'
        for name, value, label, note in figures
    )
    return f'<h2 id="counts">Counts</h2>\n<dl class="figures">\n{entries}\n</dl>'


def _share(counts: Counts) -> str:
    k, r = counts.parasitized, counts.rejected
    n = counts.uninfected + k
    if n == 0:
        return '<div class="share"><p>No cell was accepted, so no share is shown.</p></div>'
    bounds = f"""<p>Between <strong>{_percent(k / (n + r))}</strong> and
<strong>{_percent((k + r) / (n + r))}</strong> with the {r:,} rejected: the first if none of them
is parasitized, the second if all are.</p>"""
    none_rejected = "<p>No cell was rejected, so rejection leaves this share no wider bounds.</p>"
    return f"""<div class="share">
<p><b>{_percent(k / n)}</b> of accepted cells are parasitized ({k:,} of {n:,})</p>
{bounds if r else none_rejected}
<p class="note soft">This is a percentage of cells, not a diagnosis. The cell classifier's errors
are not corrected for, and it does not tell parasite stages apart. Cells that were not judged
stand in neither number.</p>
</div>"""


def _parasitized(cells: list[NumberedCell]) -> str:
    heading = '<h2 id="parasitized">Parasitized cells</h2>'
    if not cells:
        return f"{heading}\n<p>No accepted cell was parasitized.</p>"
    return f"""{heading}
<p class="soft">Accepted and classified as parasitized, most confident first. The percentage is
the classifier's probability.</p>
{gallery(parasitized_first(cells))}"""


def _rejected(cells: list[NumberedCell]) -> str:
    heading = '<h2 id="rejected">Rejected cells</h2>'
    if not cells:
        return f"{heading}\n<p>No cell was rejected.</p>"
    reasons = sorted({cell.reading.reason for cell in cells})
    by_reason = ", ".join(
        f"{sum(cell.reading.reason == reason for cell in cells):,} {escape(reason_text(reason))}"
        for reason in reasons
    )
    return f"""{heading}
<p class="soft">Classified, but not trusted, and so in neither count: {by_reason}. Those that the
classifier would have called parasitized stand first.</p>
{gallery(parasitized_first(cells))}"""


def _fields(figures: list[str]) -> str:
    heading = '<h2 id="fields">Fields</h2>'
    if not figures:
        return f"{heading}\n<p>No field was read.</p>"
    return "\n".join([heading, legend(), *figures])


def _skipped(frames: list[SkippedFrame]) -> str:
    heading = '<h2 id="skipped">Skipped frames</h2>'
    if not frames:
        return f"{heading}\n<p>No frame was skipped.</p>"
    return f"{heading}\n{_facts([(frame.name, escape(frame.reason)) for frame in frames])}"


def _how_read(header: SlideHeader) -> str:
    facts = [
        ("Bundle", escape(header.bundle)),
        ("Bundle sha256", f"<code>{escape(header.bundle_digest)}</code>"),
        *((f"Limit of {test.name}", _limit(test)) for test in header.tests),
        ("Execution provider", escape(header.provider)),
        ("Source", escape(header.source)),
        ("Software", escape(header.software)),
        ("Started", _time(header.started)),
        ("Finished", _time(header.finished) if header.finished else "never: cut off"),
    ]
    return f'<h2 id="how">How it was read</h2>\n{_facts(facts)}'


def _limit(test: AppliedTest) -> str:
    return escape(f"{test.side} {test.limit:.6g}; else rejected: {test.sentence}")


def _facts(facts: list[tuple[str, str]]) -> str:
    """Lay out pairs of a plain-text name and an HTML value."""
    entries = "\n".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="facts">\n{entries}\n</dl>'


def _percent(share: float) -> str:
    """Two digits after the point, since at low parasitaemia one hides all there is."""
    return f"{100 * share:.2f} %"


def _time(stamp: str) -> str:
    return escape(stamp.replace("T", " ").replace("+00:00", " UTC"))
