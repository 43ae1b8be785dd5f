"""A reading that stops by itself when enough has been read."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.errors import SourceError
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.verdict import lacking
from edge_runtime.slide.reading import read_slide
from edge_runtime.statistics import stopping

FIELDS = "simulated:fields=12,seed=5"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> stopping.Preset:
    """A preset of three fields and 130 cells."""
    preset = replace(stopping.PRESETS["quick"], cells=130, cells_if_rare=130, fields=3)
    monkeypatch.setattr(stopping, "PRESETS", {"quick": preset, "who": stopping.PRESETS["who"]})
    monkeypatch.setattr("edge_runtime.report.verdict.PRESETS", stopping.PRESETS)
    return preset


def test_it_stops_as_soon_as_nothing_is_missing(
    small: stopping.Preset, classifier: Classifier, tmp_path: Path
) -> None:
    summary = read_slide(FIELDS, classifier, "S", tmp_path / "out", until="quick")
    assert summary.header.until == "quick"
    assert summary.counts.asked >= small.cells
    assert small.fields <= summary.counts.fields < 12
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert lacking(record.header(), record.counts()).nothing
        *before, _ = record.field_counts()
    assert len(before) < small.fields or sum(field.asked for field in before) < small.cells


def test_without_a_rule_all_is_read(small: stopping.Preset, classifier: Classifier, tmp_path: Path) -> None:
    summary = read_slide("simulated:fields=5,seed=5", classifier, "S", tmp_path / "out")
    assert (summary.counts.fields, summary.header.until) == (5, "quick")


def test_a_source_that_ends_too_early_leaves_the_verdict_to_say_so(
    small: stopping.Preset, classifier: Classifier, tmp_path: Path
) -> None:
    summary = read_slide("simulated:fields=2,seed=5", classifier, "S", tmp_path / "out", until="who")
    assert summary.verdict.word == "not-readable"
    assert any("of at least 5,000 cells; read on" in reason for reason in summary.verdict.reasons)


def test_a_rule_that_does_not_exist_is_refused(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="all: no such preset; choose one of quick, cdc, who"):
        read_slide(FIELDS, classifier, "S", tmp_path / "out", until="all")
    assert not (tmp_path / "out").exists()
