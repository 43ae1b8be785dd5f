"""What is measured of the gates: on simulated frames, whose truth is known."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.segmentation import segment
from edge_runtime.simulator import simulate_field
from scripts import measure_frames
from scripts.compare_crops import Located
from scripts.measure_frames import SPOILINGS, Shot, lost, parasitaemia, shot, spoilt

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.open(TINY, threads=1)


@pytest.fixture(scope="module")
def field() -> tuple[np.ndarray, list[Located]]:
    made = simulate_field(3, 0, width=640, height=480, cells=22, parasitized_fraction=0.4)
    labels = {True: "parasitized", False: "uninfected"}
    located = [
        Located("f.png", "crop", labels[number % 2 == 0], cell.box)
        for number, cell in enumerate(segment(made.frame))
        if not cell.at_edge
    ]
    return made.frame, located


def test_a_frame_untouched_and_one_out_of_focus(
    field: tuple[np.ndarray, list[Located]], classifier: Classifier
) -> None:
    frame, located = field
    sharp = shot(frame, "f.png", located, classifier)
    assert (sharp.stopped, sharp.located) == ("", len(located))
    assert 0 < sharp.right <= sharp.located
    soft = shot(spoilt(frame, SPOILINGS["defocus (radius)"], 0.16, 80), "f.png", located, classifier)
    assert soft.stopped == "out-of-focus"
    assert soft.accepted <= sharp.accepted + sharp.located


@pytest.mark.parametrize("name", SPOILINGS)
def test_every_spoiling_changes_a_frame_the_more_the_stronger(name: str) -> None:
    frame = simulate_field(3, 0, width=320, height=240, cells=6).frame
    changes = [
        np.abs(spoilt(frame, SPOILINGS[name], strength, 110).astype(int) - frame).mean()
        for strength in SPOILINGS[name].strengths
    ]
    assert changes[0] > 0
    assert changes == sorted(changes)


def test_losses_and_parasitaemia_are_of_all_frames_together() -> None:
    sharp = [Shot("a", "", 10, 4, 4, 10, 22, 20, 4), Shot("b", "", 10, 6, 6, 9, 22, 20, 6)]
    soft = [Shot("a", "", 10, 4, 2, 8, 30, 20, 1), Shot("b", "out-of-focus", 10, 6, 6, 9, 20, 10, 3)]
    assert lost(sharp, soft, SPOILINGS["motion (reach)"]) == pytest.approx(0.2)
    assert lost(sharp, soft, SPOILINGS["warm cast"]) == pytest.approx(0.1)
    assert parasitaemia(sharp) == pytest.approx(0.25)
    assert parasitaemia(of for of in soft if not of.stopped) == pytest.approx(0.05)
    assert parasitaemia([]) is None
    assert parasitaemia([Shot("a", "", 10, 4, 2, 8, 30, 14, 7)]) is None  # most cells rejected


def test_the_command_prints_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = simulate_field(3, 0, width=640, height=480, cells=22).frame
    png = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes()
    cells = [
        {"crop": "c.png", "label": "Uninfected", "x": x, "y": y, "w": w, "h": h}
        for x, y, w, h in (cell.box for cell in segment(frame))
    ]
    with zipfile.ZipFile(tmp_path / "fields.zip", "w") as archive:
        for prefix in measure_frames.SETS.values():
            archive.writestr(f"{prefix}a.png", png)
        archive.writestr(measure_frames.ANNOTATIONS, json.dumps({"frames": {"a.png": {"cells": cells}}}))
    monkeypatch.setattr(measure_frames, "default_bundle", lambda: TINY)
    plot = tmp_path / "plot.png"
    done = CliRunner().invoke(
        measure_frames.main,
        ["--frames", str(tmp_path / "fields.zip"), "--only", "motion (reach)", "--plot", str(plot)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert done.output.count("| 1 | 100.0% | 2.5% to 100.0% | none |") == 4
    assert "| motion (reach) | 0.1 | " in done.output
    assert plot.read_bytes().startswith(b"\x89PNG")
