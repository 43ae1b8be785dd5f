"""The report of a long slide, measured: a record is made of a few fields, and its report written and told."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_runtime.record.slide_record import RECORD, SlideRecord
from scripts import measure_report

BUNDLE = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


def test_a_long_record_is_made_of_few_fields_and_its_report_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(measure_report, "opened", lambda report, _: seen.append(report))
    arguments = ["--fields", "5", "--source", "simulated:fields=2,seed=5", "--bundle", str(BUNDLE)]
    done = CliRunner().invoke(
        measure_report.main, [*arguments, "--out", str(tmp_path)], catch_exceptions=False
    )
    assert "5 fields, record" in done.output
    assert "ms a field" in capfd.readouterr().out
    assert seen == [tmp_path / "report.html"]
    with SlideRecord.open(tmp_path / RECORD) as record:
        cells = [len(field.cells) for field in record.fields()]
        assert record.header().finished
    assert len(cells) == 5
    assert cells[:2] == cells[2:4]
