"""The charts of a device, by simulated sites: ordinary ones alarm rarely, changed ones soon."""

from dataclasses import replace

import numpy as np
import pytest
from site_samples import SLIDE, SPREAD, changed_from, ordinary_slides

from edge_runtime.device.charts import AGAIN, SITE, SUMS, Chart, shares_chart, sums_chart
from edge_runtime.device.entries import Entry

BY_NAME = {watched.name: watched for watched in SUMS}
CHANGED = 41  # number of the first slide that is not ordinary


def sounded(chart: Chart, entries: list[Entry]) -> int | None:
    """Number of the slide on which the alarm sounded."""
    return next((entry.number for entry in entries if entry.slide == chart.alarm), None)


def test_an_ordinary_site_alarms_rarely() -> None:
    """Of 40 sites with 100 slides each."""
    alarms = 0
    for seed in range(40):
        entries = ordinary_slides(seed, 100)
        charts = [shares_chart(entries, ()), *(sums_chart(watched, entries, ()) for watched in SUMS)]
        alarms += sum(chart.state == "alarm" for chart in charts)
    assert 4000 / max(alarms, 1) > 300


@pytest.mark.parametrize(
    ("name", "value", "deviations", "within", "least"),
    [
        ("focus", "sharpness", -2, 12, 0.9),
        ("focus", "sharpness", -1, 30, 0.6),
        ("distance", "confidence", -2, 12, 0.9),
        ("light", "brightness", -2, 12, 0.9),
        ("light", "brightness", 2, 12, 0.9),
        ("warmth", "warmth", 2, 12, 0.9),
        ("tint", "tint", 2, 12, 0.9),
    ],
)
def test_a_change_of_the_picture_is_noticed(
    name: str, value: str, deviations: float, within: int, least: float
) -> None:
    """On so many sites at least, within so many slides."""
    noticed, first = [], []
    for seed in range(40):
        entries = changed_from(ordinary_slides(seed, 100), CHANGED, **{value: deviations * SPREAD[value]})
        chart = sums_chart(BY_NAME[name], entries, ())
        at = sounded(chart, entries)
        noticed.append(at is not None and CHANGED <= at < CHANGED + within)
        first.append(chart.onset)
    assert np.mean(noticed) >= least
    assert abs(np.median(first) - CHANGED) <= 3  # where it began is told, too


def test_a_rejection_three_times_as_high_is_noticed() -> None:
    noticed = []
    for seed in range(40):
        entries = ordinary_slides(seed, 70)
        worse = [
            replace(e, rejected=min(3 * e.rejected, e.whole)) if e.number >= CHANGED else e for e in entries
        ]
        at = sounded(shares_chart(worse, ()), worse)
        noticed.append(at is not None and CHANGED <= at < CHANGED + 30)
    assert np.mean(noticed) >= 0.85


def test_better_pictures_are_no_alarm() -> None:
    entries = changed_from(ordinary_slides(0, 80), CHANGED, sharpness=6.0, confidence=1.0)
    assert sums_chart(BY_NAME["focus"], entries, ()).state == "ok"
    assert sums_chart(BY_NAME["distance"], entries, ()).state == "ok"


def test_one_strange_slide_is_a_warning_and_two_running_are_an_alarm() -> None:
    entries = [replace(SLIDE, number=number, slide=f"S{number}") for number in range(1, 41)]
    one = [*entries[:-1], replace(entries[-1], rejected=900)]
    assert shares_chart(one, ()).state == "warning"
    two = [*entries[:-2], *(replace(entry, rejected=900) for entry in entries[-2:])]
    chart = shares_chart(two, ())
    assert (chart.state, chart.alarm, chart.onset) == ("alarm", "S40", 39)
    past = [*one[:-2], replace(entries[-2], rejected=900), entries[-1]]
    assert shares_chart(past, ()).state == "ok"
    dark = [*ordinary_slides(0, 30), replace(SLIDE, number=31, brightness=90.0)]
    assert sums_chart(BY_NAME["light"], dark, ()).state == "ok"


def test_a_site_that_rejects_other_than_the_manifest_says_learns_its_own_share() -> None:
    rng = np.random.default_rng(0)

    def site(share: float, count: int) -> list[Entry]:
        shares = rng.beta(share * 60, (1 - share) * 60, count)
        return [
            replace(
                SLIDE, number=number, slide=f"S{number}", rejected=int(SLIDE.whole * part), correlation=0.1
            )
            for number, part in enumerate(shares, start=1)
        ]

    entries = site(0.05, SITE)
    assert shares_chart(entries, ()).state == "ok"
    more = [replace(entry, number=SITE + number) for number, entry in enumerate(site(0.2, 8), start=1)]
    assert shares_chart([*entries, *more], ()).state == "alarm"
    assert shares_chart(more, ()).state != "alarm"  # by the manifest alone such slides are ordinary


def test_slides_of_few_cells_and_quality_slides_are_on_no_chart() -> None:
    entries = ordinary_slides(0, 20)
    odd = [
        replace(SLIDE, number=21, whole=99, rejected=99),
        replace(SLIDE, number=22, fields=0, whole=0, rejected=0),
        replace(SLIDE, number=23, kind="quality", rejected=1900),
    ]
    assert shares_chart([*entries, *odd], ()).heights == shares_chart(entries, ()).heights


def test_an_alarm_stays_until_a_quality_slide_reads_as_before_and_the_next_soon_is_the_second() -> None:
    worse = changed_from(ordinary_slides(1, 60), CHANGED, sharpness=-6.0)
    back = changed_from(worse, CHANGED + 6, sharpness=6.0)
    assert sums_chart(BY_NAME["focus"], back, ()).state == "alarm"
    quality = replace(SLIDE, number=1000, kind="quality")
    upto = worse[: CHANGED + 7]
    cleared = sums_chart(BY_NAME["focus"], [*upto, quality], {1000})
    assert (cleared.state, cleared.alarm, cleared.again) == ("ok", "", False)
    second = sums_chart(BY_NAME["focus"], [*upto, quality, *worse[CHANGED + 7 :]], {1000})
    assert (second.state, second.again) == ("alarm", True)
    assert AGAIN > 20


def test_while_little_is_known_a_chart_learns() -> None:
    charts = [sums_chart(watched, ordinary_slides(0, 5), ()) for watched in SUMS]
    assert {chart.state for chart in charts} == {"learning"}
    assert sums_chart(BY_NAME["focus"], ordinary_slides(0, 6), ()).state == "ok"
