"""A further test of the decision is an entry in the table: all that the device does goes through it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result
from detectors import lenient, with_margins

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import open_bundle
from edge_runtime.bundle.parity import all_passed
from edge_runtime.bundle.verification import replay
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.decision import table
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.decision.table import CellTest, Reason
from edge_runtime.device.recalibration import recalibrate
from edge_runtime.errors import BundleError, CheckFailedError
from edge_runtime.record.readings import AppliedTest
from edge_runtime.record.slide_record import SlideRecord

NAME = "redness parity"
CODE, SENTENCE = "odd-red", "odd in its mean red"
Run = Callable[..., Result]


def redness_parity(seen: Evidence, _: Detector) -> np.ndarray:
    """1 where the rounded mean red of the cell's pixels is even, else 0."""
    means = [crop[..., 0][crop.any(axis=2)].mean() for crop in seen.crops]
    return np.array([1.0 - np.rint(mean) % 2 for mean in means], np.float64)


@pytest.fixture(autouse=True)
def _invented(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell is accepted whose mean red is odd: all that such a test takes."""
    invented = CellTest(NAME, Reason(CODE, SENTENCE), redness_parity, fixed=0.5, seen_by="picture")
    monkeypatch.setattr(table, "TESTS", (*table.TESTS, invented))


@pytest.fixture
def bundle(edited_bundle: Callable[..., Path]) -> Path:
    """The tiny bundle with a limit of the invented test."""
    return edited_bundle(lambda manifest: manifest["detector"]["limits"].update({NAME: 0.5}))


def even(png: bytes) -> bool:
    """Of a crop as the device saw it, counted on its own."""
    crop = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    seen = resize_crop(crop, 64).astype(int)
    red = [int(pixel[0]) for row in seen for pixel in row if pixel.sum() > 0]
    return round(sum(red) / len(red)) % 2 == 0


def test_a_bundle_with_its_limit_opens_and_shows_it(bundle: Path, cellgate: Run) -> None:
    assert open_bundle(bundle).manifest.detector.limits[NAME] == 0.5
    shown = json.loads(cellgate("inspect", bundle, "--json").stdout)
    assert shown["detector"]["limits"][NAME] == 0.5


def test_a_bundle_without_its_limit_is_refused_by_name(
    tiny_bundle: Path, refusal: Callable[..., str], slide_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=f"this cellgate tests .*'{NAME}'.*; export the bundle again"):
        open_bundle(tiny_bundle)
    assert NAME in refusal("score", slide_folder, "--bundle", tiny_bundle)
    out = tmp_path / "out"
    assert NAME in refusal("read", slide_folder, "--bundle", tiny_bundle, "--slide", "S", "--out", out)
    assert not out.exists()


def test_score_prints_its_value_its_limit_and_its_reason(
    bundle: Path, crops_folder: Path, cellgate: Run
) -> None:
    rows = [
        json.loads(line)
        for line in cellgate("score", crops_folder, "--bundle", bundle, "--json").stdout.splitlines()
    ]
    assert len(rows) == len(list(crops_folder.iterdir()))
    for row in rows:
        # No frame is known, and the certainty is asked of parasitized cells alone.
        left_out = {"small", "large", *([] if row["label"] == "parasitized" else ["certainty"])}
        assert list(row["values"]) == [name for name in row["limits"] if name not in left_out]
        assert row["values"][NAME] == float(even(Path(row["path"]).read_bytes()))
        assert row["limits"][NAME] == 0.5
        assert row["rejected"] is bool(row["reasons"])
        assert (CODE in row["reasons"]) is (row["values"][NAME] == 0)
        assert row["reasons"][-1:] == [CODE] or CODE not in row["reasons"]  # it stands last in the table
    assert {row["values"][NAME] for row in rows} == {0.0, 1.0}
    assert {row["reason"] for row in rows} >= {"", CODE}
    told = cellgate("score", crops_folder, "--bundle", bundle).stdout.splitlines()
    assert [f"rejected ({CODE})" in line for line in told] == [row["reasons"] == [CODE] for row in rows]
    assert all(
        f"{NAME} {row['values'][NAME]:.3f} (limit 0.500)" in line
        for row, line in zip(rows, told, strict=True)
    )


@pytest.fixture
def read(bundle: Path, slide_folder: Path, tmp_path: Path, cellgate: Run) -> tuple[Path, dict[str, Any]]:
    """The folder of a slide that was read, and what the command printed."""
    out = tmp_path / "slide"
    result = cellgate("read", slide_folder, "--bundle", bundle, "--slide", "S", "--out", out, "--json")
    assert result.exit_code == 1, result.output  # most of its cells are rejected
    return out, json.loads(result.stdout)


def test_the_record_keeps_its_value_of_every_cell_its_reason_and_its_limit(
    read: tuple[Path, dict[str, Any]],
) -> None:
    with SlideRecord.open(read[0] / "slide.sqlite") as record:
        applied = record.header().tests
        cells = [cell for field in record.fields() for cell in field.cells if cell.status != "not-judged"]
        counts = record.counts()
    assert applied[-1] == AppliedTest(NAME, CODE, SENTENCE, whole=True, side="at least", limit=0.5)
    assert len(applied) == len(table.TESTS)
    others = applied[:-1]
    for cell in cells:
        left_out = [] if cell.label == "parasitized" else ["certainty"]
        assert list(cell.values) == [test.name for test in applied if test.name not in left_out]
        assert cell.values[NAME] == float(even(cell.crop))
        graver = [test.reason for test in cell.failed(others)]
        odd = [CODE] if cell.values[NAME] == 0 else []
        assert cell.reason == next(iter([*graver, *odd]), "")
        assert (cell.status == "rejected") is bool(graver or odd)
    odd_alone = sum(cell.reason == CODE for cell in cells)
    assert odd_alone > 0
    assert counts.reasons[CODE] == odd_alone
    assert list(counts.reasons)[-1] == CODE
    assert sum(counts.reasons.values()) == counts.rejected
    assert {cell.status for cell in cells} >= {"rejected", "uninfected"}


def test_what_was_read_is_told_with_its_reason(read: tuple[Path, dict[str, Any]], cellgate: Run) -> None:
    out, told = read
    assert told["header"]["tests"][-1]["name"] == NAME
    count = told["counts"]["reasons"][CODE]
    assert count > 0
    lines = cellgate("report", out).stdout.splitlines()
    assert [line.split() for line in lines if CODE in line] == [[str(count), f"{CODE}:", *SENTENCE.split()]]


def test_the_report_has_its_sentence_and_its_limit(read: tuple[Path, dict[str, Any]]) -> None:
    page = (read[0] / "report.html").read_text()
    count = read[1]["counts"]["reasons"][CODE]
    assert page.count(SENTENCE) > count  # of every such cell, and where the limits stand
    assert f"Test of {NAME}" in page
    assert f"must be at least 0.5, or the cell is rejected: {SENTENCE}" in page


def test_verify_compares_its_value(bundle: Path, cellgate: Run) -> None:
    checks = replay(Classifier.open(bundle, threads=1))
    assert all_passed(checks)
    names = [check.name for check in checks]
    assert [name for name in names if NAME in name] == [f"value of {NAME}", f"frame: value of {NAME}"]
    result = cellgate("verify", bundle)
    assert result.exit_code == 0
    assert f"value of {NAME}" in result.stdout


def with_red(reds: list[int]) -> Evidence:
    """Cells that pass every other test, with these means of red."""
    confidences = np.random.default_rng(0).normal(0, 0.3, (len(reds), 2))
    crops = np.zeros((len(reds), 4, 4, 3), np.uint8)
    crops[:, 1:3, 1:3, 0] = np.array(reds)[:, None, None]
    return replace(with_margins([5.0] * len(reds), confidences), crops=crops)


DETECTOR_LIMITS = {"confidence": -2.0, "margin": 0.5}


def test_recalibration_keeps_its_limit_and_asks_it() -> None:
    detector = lenient(("a", "b"), (0.5, 0.5), **DETECTOR_LIMITS, **{NAME: 0.5})
    seen = with_red([100] * 280 + [101] * 20)
    made = recalibrate(detector, seen, alpha=0.1)
    assert made.detector.limits[NAME] == 0.5
    assert made.detector.limits["confidence"] != detector.limits["confidence"]
    assert decide(made.detector, seen).failed_by(NAME).tolist() == [False] * 280 + [True] * 20
    with pytest.raises(CheckFailedError, match=rf"\(50% {SENTENCE}\)"):
        recalibrate(detector, with_red([100] * 150 + [101] * 150), alpha=0.1)
