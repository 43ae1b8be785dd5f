"""A further gate is one entry in the table: everything else takes it from there.

The invented gate stops frames on whose empty film any green is left. Nothing in the product names it.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from edge_runtime.bundle import files, manifest
from edge_runtime.bundle.classifier import Classifier
from edge_runtime.errors import BundleError
from edge_runtime.fields import gates
from edge_runtime.fields.gates import Gate
from edge_runtime.record import readings
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import SimulatedField
from edge_runtime.slide.judging import read_field

INVENTED = Gate(
    "darkness",
    "too-green",
    "of a green that nobody likes",
    "take the filter out",
    lambda view: view.film[1],
    10.0,
    "at most",
)


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that was sealed by a cellgate that has the gate."""
    opened = files.open_bundle(tiny_bundle)
    with_it = (*gates.GATES, INVENTED)
    for module in (gates, manifest, readings):
        monkeypatch.setattr(module, "GATES", with_it)
    files.save_bundle(
        tmp_path / "bundle", replace(opened.manifest, gates=gates.default_limits()), opened.contents
    )
    return tmp_path / "bundle"


def test_it_stands_in_the_manifest(bundle: Path, tiny_bundle: Path) -> None:
    assert json.loads((bundle / "manifest.json").read_text())["gates"]["darkness"] == 10.0
    with pytest.raises(BundleError, match="this cellgate has"):
        files.open_bundle(tiny_bundle)  # sealed without it


def test_it_stops_a_frame(bundle: Path, fields: tuple[SimulatedField, ...]) -> None:
    judged = read_field(fields[0].frame, Classifier.open(bundle, threads=1))
    assert (judged.reason, judged.cells) == ("too-green", ())
    assert judged.values["darkness"] == pytest.approx(np.median(fields[0].frame[..., 1]), abs=40)


def test_what_was_stopped_is_told_with_its_advice(
    bundle: Path, cellgate: Callable[..., Result], slide_folder: Path, tmp_path: Path
) -> None:
    done = cellgate("read", slide_folder, "--bundle", bundle, "--slide", "S", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "3  too-green: of a green that nobody likes; take the filter out" in done.stdout
    assert done.stderr.count("(darkness 2") == 3
    assert "3 not counted (3 too-green)" in done.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        page.count("<strong>not counted</strong> – of a green that nobody likes; take the filter out</p>")
        == 3
    )
    assert "Gate of darkness" in page
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert record.counts().stops["too-green"] == 3
        assert [gate.limit for gate in record.header().gates if gate.name == "darkness"] == [10.0]
