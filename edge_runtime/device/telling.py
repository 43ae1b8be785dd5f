"""How a device is, in plain text."""

import math
from collections.abc import Iterator, Sequence

from edge_runtime.device.charts import SITE
from edge_runtime.device.watch import FalsePositives, QualitySlide, Watch
from edge_runtime.report.texts import ENGLISH
from edge_runtime.statistics.control import LEARNING
from edge_runtime.statistics.intervals import Interval

_SHOWN = 40  # slides of a chart
_LEVELS = "_.:-=+*#"  # from ordinary to the line


def lines_of(seen: Watch) -> Iterator[str]:
    """Slides, charts, known-negative and quality slides, and what to do."""
    since = f" since the bundle was fitted, {seen.recalibrated[:10]}" if seen.recalibrated else ""
    counted = ", ".join(f"{number} {kind}" for kind, number in seen.slides.items())
    yield f"slides{since}: {counted}; bundle {seen.bundle}"
    for chart in seen.charts:
        yield f"{chart.name:<10}{chart.state:<9} {drawn(chart.heights)}".rstrip()
    yield f"false positives: {_false_positives(seen.false_positives)}"
    yield f"quality slide: {_quality(seen.quality)}"
    if any(chart.state == "learning" for chart in seen.charts):
        yield f"(a chart needs {LEARNING} slides before it begins, and some {SITE} until it is sure)"
    yield f"\n{'ALARM' if seen.state == 'alarm' else seen.state}"
    for advice in seen.advice:
        yield f"  {advice}"


def drawn(heights: Sequence[float]) -> str:
    """The last slides of a chart, a letter each: `_` is ordinary, `#` nearly at the line, `!` beyond it."""
    return "".join(
        "!" if height > 1 else _LEVELS[min(math.floor(height * len(_LEVELS)), len(_LEVELS) - 1)]
        for height in heights[-_SHOWN:]
    )


def _false_positives(found: FalsePositives) -> str:
    rate, stated = found.rate, found.stated
    told = (
        f"{ENGLISH.percent(stated.share)} is what the bundle states"
        if stated.cells
        else "the bundle states none"
    )
    if not rate.cells:
        return f"no known-negative slide was read with this bundle; {told}"
    return (
        f"{rate.hits} of {rate.cells:,} cells of {rate.patients} known-negative slides, "
        f"{ENGLISH.percent(rate.share)} ({_between(found.interval)}); {told} ({_between(found.stated_interval)})"
    )


def _quality(found: QualitySlide | None) -> str:
    if found is None:
        return "none was read; tell one with 'cellgate device add SLIDE --quality', and read it every day"
    if found.as_before is None:
        return f"{found.slide} was read for the first time; read it again to compare"
    shares = (
        f"{word} {ENGLISH.percent(share)} (in order {_between(within)})"
        for word, share, within in (
            ("called parasitized", found.called, found.called_before),
            ("rejected", found.rejected, found.rejected_before),
        )
    )
    return f"{found.slide} {'as before' if found.as_before else 'NOT as before'}: {', '.join(shares)}"


def _between(interval: Interval) -> str:
    return f"{ENGLISH.percent(interval.low)} to {ENGLISH.percent(interval.high)}"
