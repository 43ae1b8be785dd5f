"""`cellgate device`, and what `read` and `recalibrate` do with a device's history."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from site_samples import SLIDE, changed_from, ordinary_slides

from edge_runtime.device.entries import Entry, History, Recalibrated
from edge_runtime.device.history import HISTORY, read_history
from edge_runtime.device.site import slides_to_fit
from edge_runtime.device.trust import FalseCalls, check_false
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.statistics.rates import MeasuredRate

Cellgate = Callable[..., Result]


@pytest.fixture
def read(cellgate: Cellgate, tiny_bundle: Path, tmp_path: Path) -> Callable[..., Result]:
    """Read a simulated slide of so many fields into slides/CODE."""

    def run(code: str, seed: int, *, fields: int = 1) -> Result:
        return cellgate(
            "read", f"simulated:fields={fields},seed={seed}", "--bundle", tiny_bundle, "--slide", code,
            "--out", tmp_path / "slides" / code, "--threads", "1",
        )  # fmt: skip

    return run


def test_every_reading_enters_its_slide_once(
    read: Callable[..., Result], cellgate: Cellgate, tmp_path: Path
) -> None:
    for code, seed in (("S1", 1), ("S2", 2)):
        result = read(code, seed)
        assert result.exit_code == 0, result.output
        assert "history" not in result.stderr
    slides = tmp_path / "slides"
    (slides / "S2" / "report.html").unlink()
    assert read("S2", 2).exit_code == 0  # writes the report again
    assert [entry.slide for entry in read_history(slides).entries] == ["S1", "S2"]
    shown = cellgate("device", slides)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("slides: 2 patient, 0 known-negative, 0 quality; bundle tiny")
    told = json.loads(cellgate("device", slides, "--json").stdout)
    assert told["slides"] == {"patient": 2, "known-negative": 0, "quality": 0}
    assert [chart["name"] for chart in told["charts"]][:3] == ["rejection", "distance", "focus"]


def test_a_slide_is_told_to_be_a_quality_slide(
    read: Callable[..., Result], cellgate: Cellgate, tmp_path: Path
) -> None:
    read("Q", 1)
    slide = tmp_path / "slides" / "Q"
    assert "was entered before" in cellgate("device", "add", slide, "--quality").stdout
    assert json.loads(cellgate("device", slide.parent, "--json").stdout)["slides"]["quality"] == 1
    (slide.parent / HISTORY).unlink()
    assert ": entered;" in cellgate("device", "add", slide, "--known-negative").stdout
    assert [entry.kind for entry in read_history(slide.parent).entries] == ["known-negative"]


def test_a_broken_history_stops_no_reading(
    read: Callable[..., Result], cellgate: Cellgate, refusal: Callable[..., str], tmp_path: Path
) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    (slides / HISTORY).write_bytes(b"broken " * 1000)
    result = read("S1", 1)
    assert result.exit_code == 0
    assert "report" in result.stdout
    note = f"later: cellgate device add {slides / 'S1'}"
    assert [line for line in result.stderr.splitlines() if line.endswith(note)]
    assert "no device history or a damaged one" in refusal("device", slides)
    (slides / HISTORY).unlink()
    assert cellgate("device", "add", slides / "S1").exit_code == 0


def test_without_a_history_it_says_how_one_begins(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert "it begins with the first slide" in refusal("device", tmp_path)
    assert "no slide record" in refusal("device", "add", tmp_path)


def write_history(folder: Path, entries: list[Entry], like: Path) -> None:
    """Put simulated slides into a history that one real slide has begun."""
    with sqlite3.connect(folder / HISTORY) as connection:
        digest = connection.execute("SELECT bundle_digest FROM slide").fetchone()[0]
        for entry in entries:
            row = {**vars(entry), "number": None, "identity": str(entry.number), "bundle_digest": digest}
            row["false_positives"], row["folder"] = "{}", like.name
            row.pop("kind")
            row["false_positives"] = json.dumps(vars(entry.false_positives))
            names = ", ".join(f":{name}" for name in row)
            added = connection.execute(f"INSERT INTO slide ({', '.join(row)}) VALUES ({names})", row)
            connection.execute("INSERT INTO kind VALUES (?, ?, '')", (added.lastrowid, entry.kind))
    connection.close()


def test_an_alarm_is_told_after_a_reading_and_by_the_exit_code(
    read: Callable[..., Result], cellgate: Cellgate, tmp_path: Path
) -> None:
    read("S0", 1)
    slides = tmp_path / "slides"
    write_history(slides, changed_from(ordinary_slides(0, 60), 41, sharpness=-6.0), slides / "S0")
    result = read("S61", 2)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("ALARM")]
    assert "focus: pictures are less sharp" in line
    shown = cellgate("device", slides)
    assert shown.exit_code == 1
    assert "\nALARM\n  focus" in shown.stdout


def test_recalibration_takes_the_slides_of_the_history_and_begins_the_charts_anew(
    read: Callable[..., Result], cellgate: Cellgate, tiny_bundle: Path, tmp_path: Path
) -> None:
    for code in ("S1", "S2", "N"):
        assert read(code, int(code[-1:], 36), fields=3).exit_code == 0
    slides, out = tmp_path / "slides", tmp_path / "site"
    cellgate("device", "add", slides / "N", "--known-negative")
    arguments = ["--site", "kisumu", "--bundle", tiny_bundle, "--threads", "1"]
    refused = cellgate("recalibrate", slides, "--out", out, *arguments)
    assert refused.exit_code == 1  # the simulated slide is not negative at all
    assert "cells of 1 known-negative slides" in refused.stderr
    assert not out.exists()
    cellgate("device", "add", slides / "N", "--patient")
    done = cellgate("recalibrate", slides, "--out", out, *arguments)
    assert done.exit_code == 0, done.output
    history = read_history(slides)
    assert [(mark.site, mark.after) for mark in history.recalibrations] == [("kisumu", 3)]
    assert history.since_recalibration == ()
    assert "since the bundle was fitted" in cellgate("device", slides).stdout


def history(*entries: Entry) -> History:
    return History(tuple(replace(entry, number=n, slide=f"S{n}") for n, entry in enumerate(entries, start=1)))


def numbers(of: History) -> list[int]:
    return [entry.number for entry in slides_to_fit(of)]


def test_ordinary_slides_of_patients_are_fitted_to() -> None:
    odd = [replace(SLIDE, unusual=True), replace(SLIDE, whole=20), replace(SLIDE, kind="known-negative")]
    assert numbers(history(SLIDE, *odd, SLIDE, replace(SLIDE, kind="quality"))) == [1, 5]
    after = History(history(*[SLIDE] * 5).entries, (Recalibrated(3, "s", "b", ""),))
    assert numbers(after) == [4, 5]
    with pytest.raises(SourceError, match="no patient's slide"):
        slides_to_fit(history(*odd))
    assert len(slides_to_fit(history(*ordinary_slides(0, 60)))) == 20


def test_slides_that_have_drifted_away_are_fitted_to_from_where_the_drift_began() -> None:
    away = changed_from(ordinary_slides(0, 52), 41, confidence=-1.0)
    unusual = [replace(entry, unusual=entry.number >= 41) for entry in away]
    chosen = numbers(history(*unusual))
    assert 31 <= chosen[0] <= 42  # where the sum began to grow
    assert chosen[-1] == 52


def test_pictures_that_are_less_sharp_are_not_fitted_to() -> None:
    soft = changed_from(ordinary_slides(0, 60), 41, sharpness=-6.0)
    with pytest.raises(
        CheckFailedError, match=r"less sharp, told on slide S4\d, and no fit mends that: clean"
    ):
        slides_to_fit(history(*soft))


def test_more_false_positives_than_stated_refuse_a_fit() -> None:
    stated, few = MeasuredRate(6, 20_000, 0.0, 30), MeasuredRate(2, 6000, 0.0, 3)
    check_false(FalseCalls(few, few), stated)
    with pytest.raises(CheckFailedError, match="of 6000 cells of 3 known-negative slides 60 are called"):
        check_false(FalseCalls(few, MeasuredRate(60, 6000, 0.0, 3)), stated)
