"""What the history of a device says, and what is to be done."""

from dataclasses import replace

import numpy as np
from site_samples import SLIDE, changed_from, ordinary_slides

from edge_runtime.device.entries import Entry, History, Recalibrated
from edge_runtime.device.telling import drawn, lines_of
from edge_runtime.device.watch import Watch, quality_readings, watch


def said(*entries: Entry, recalibrated: tuple[Recalibrated, ...] = ()) -> Watch:
    numbered = [replace(entry, number=number) for number, entry in enumerate(entries, start=1)]
    return watch(History(tuple(numbered), recalibrated))


def quality(called: int, rejected: int = 100) -> Entry:
    return replace(SLIDE, slide="Q", kind="quality", called=called, rejected=rejected)


def negative(slide: str, called: int) -> Entry:
    return replace(SLIDE, slide=slide, kind="known-negative", called=called)


def test_an_ordinary_device_has_nothing_to_tell() -> None:
    seen = said(*ordinary_slides(0, 40))
    assert (seen.state, seen.advice, seen.slides["patient"]) == ("ok", (), 40)
    text = "\n".join(lines_of(seen))
    assert "slides: 40 patient, 0 known-negative, 0 quality; bundle b 1" in text
    assert "focus     ok" in text
    assert text.endswith("\n\nok")


def test_without_slides_everything_is_learning() -> None:
    seen = said()
    assert (seen.state, seen.quality, seen.bundle) == ("learning", None, "")
    assert "no known-negative slide was read" in "\n".join(lines_of(seen))


def test_an_alarm_asks_for_the_quality_slide() -> None:
    seen = said(*changed_from(ordinary_slides(0, 60), 41, sharpness=-5.0))
    assert seen.state == "alarm"
    assert seen.advice[0].startswith("focus: pictures are less sharp, told on slide S4")
    assert seen.advice[-1].startswith("read the quality slide")


def test_after_a_good_quality_slide_the_second_alarm_stops_the_numbers() -> None:
    worse = changed_from(ordinary_slides(0, 70), 41, sharpness=-5.0)
    cleared = [quality(40), *worse[:50], quality(42)]
    assert said(*cleared).state == "ok"
    seen = said(*cleared, *worse[50:])
    assert seen.state == "alarm"
    assert seen.advice[-1].startswith("the second alarm in short time: take no numbers")


def test_the_first_reading_of_a_quality_slide_answers_nothing() -> None:
    worse = changed_from(ordinary_slides(0, 60), 41, sharpness=-5.0)
    seen = said(*worse, quality(40))
    assert seen.state == "alarm"
    assert seen.quality is not None
    assert seen.quality.as_before is None


def test_a_quality_slide_that_reads_otherwise_stops_the_numbers() -> None:
    before = [quality(called) for called in (40, 36, 44)]
    assert said(*before, quality(33)).state != "alarm"
    for other in (quality(120), quality(0), quality(40, rejected=600)):
        seen = said(*before, other)
        assert seen.state == "alarm"
        assert seen.advice[0].startswith("quality slide Q does not read as before: take no numbers")
        assert "Q NOT as before" in "\n".join(lines_of(seen))
        assert said(*before, other, quality(41)).state != "alarm"  # what was out of order is no reference


def as_before(*entries: Entry) -> bool | None:
    found = said(*entries).quality
    assert found is not None
    return found.as_before


def test_quality_slides_are_compared_with_themselves_and_by_one_bundle_only() -> None:
    assert as_before(quality(40), quality(900)) is False
    assert as_before(quality(40), replace(quality(900), slide="R")) is None
    assert as_before(quality(40), replace(quality(900), bundle_digest="c")) is None


def test_readings_of_a_quality_slide_in_order_are_rarely_told_otherwise() -> None:
    rng, told = np.random.default_rng(0), []
    for _ in range(20):
        calls, rejections = rng.binomial(1850, 0.02, 11), rng.binomial(1900, 0.05, 11)
        readings = [
            replace(quality(int(called), int(rejected)), number=number)
            for number, (called, rejected) in enumerate(zip(calls, rejections, strict=True))
        ]
        told += [reading.as_before for reading in quality_readings(readings).values()]
    assert told.count(None) == 20
    assert told.count(False) <= 0.04 * 200


def test_known_negative_slides_tell_the_rate_of_false_positives() -> None:
    seen = said(negative("N1", 1), negative("N2", 0), negative("N2", 1), ordinary_slides(0, 1)[0])
    found = seen.false_positives
    assert (found.rate.hits, found.rate.cells, found.rate.patients) == (2, 3 * 1850, 2)
    assert found.interval.low < found.rate.share < found.interval.high
    assert not found.exceeded
    assert "2 of 5,550 cells of 2 known-negative slides, 0.04\u00a0%" in "\n".join(lines_of(seen))


def test_more_false_positives_than_the_bundle_states_are_an_alarm() -> None:
    many = [negative(f"N{number}", 12) for number in range(4)]
    seen = said(*many)
    assert seen.state == "alarm"
    assert seen.advice[0].startswith("known-negative slides have more false positives")
    assert not said(*many, replace(SLIDE, bundle_digest="c")).false_positives.rate.cells  # of another bundle


def test_a_recalibration_begins_the_charts_anew() -> None:
    worse = changed_from(ordinary_slides(0, 60), 41, sharpness=-5.0, confidence=-1.0)
    mark = Recalibrated(after=60, site="s", bundle="b-s 1", at="2026-11-28T12:00:00+00:00")
    after = [replace(entry, bundle_digest="c") for entry in worse[45:]]
    seen = said(*worse, *after, recalibrated=(mark,))
    assert (seen.state, seen.slides["patient"], seen.recalibrated) == ("ok", len(after), mark.at)


def test_cells_are_compared_by_one_bundle_and_pictures_by_all() -> None:
    entries = ordinary_slides(0, 40)
    other = [replace(e, bundle_digest="c", confidence=e.confidence - 3, sharpness=12.0) for e in entries[20:]]
    charts = {chart.name: chart for chart in said(*entries, *other).charts}
    assert charts["distance"].state == "ok"
    assert charts["focus"].state == "alarm"


def test_a_chart_is_drawn_in_letters() -> None:
    assert drawn([0.0, 0.5, 0.99, 1.0, 1.01]) == "_=##!"
    assert len(drawn([0.0] * 300)) == 40
