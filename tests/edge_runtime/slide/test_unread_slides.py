"""Slides of which nothing can be said end by saying so, with exit code 1; recalibrate takes none of them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.device.site import site_cells
from edge_runtime.errors import SourceError
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import SimulatedField
from edge_runtime.simulator.corruptions import defocus
from edge_runtime.slide.reading import read_slide

Cellgate = Callable[..., Result]
Frame = NDArray[np.uint8]


def save(folder: Path, *frames: Frame) -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


def blurred(frame: Frame, radius: float) -> Frame:
    return np.rint(np.clip(defocus(frame.astype(np.float32) / 255, radius), 0, 1) * 255).astype(np.uint8)


def screenshot() -> Frame:
    shown = np.full((480, 640, 3), 250, np.uint8)
    for row in range(20, 470, 22):
        cv2.putText(shown, "uninfected 24   parasitized 3", (12, row), 0, 0.6, (30, 30, 30), 1)
    return shown


def tissue() -> Frame:
    """Pink and purple all over, as histology is."""
    rng = np.random.default_rng(1)
    coarse = cv2.resize(
        rng.normal(0, 1, (24, 32)).astype(np.float32), (640, 480), interpolation=cv2.INTER_CUBIC
    )
    fine = cv2.GaussianBlur(rng.normal(0, 1, (480, 640)).astype(np.float32), (0, 0), 2) * 6
    shade = (coarse + fine)[..., None]
    return np.clip(np.array([200, 130, 190]) - 35 * shade, 0, 255).astype(np.uint8)


NOT_A_FILM: dict[str, Callable[[Frame], Frame]] = {
    "white": lambda frame: np.full_like(frame, 255),
    "black": np.zeros_like,
    "inverted": lambda frame: 255 - frame,
    "screenshot": lambda _: screenshot(),
    "tissue": lambda _: tissue(),
    "out of focus": lambda frame: blurred(frame, 9),
    "noise": lambda frame: np.random.default_rng(0).integers(0, 256, frame.shape, np.uint8),
}


@pytest.mark.parametrize("kind", NOT_A_FILM)
def test_what_is_no_thin_film_ends_by_saying_that_it_could_not_be_read(
    kind: str,
    cellgate: Cellgate,
    tiny_bundle: Path,
    fields: tuple[SimulatedField, ...],
    tmp_path: Path,
) -> None:
    folder = save(tmp_path / "slide", *(NOT_A_FILM[kind](field.frame) for field in fields[:2]))
    done = cellgate("read", folder, "--bundle", tiny_bundle, "--slide", "S", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "NOT READABLE, not reviewed by a person\n  none of its frames counts: " in done.stdout
    assert done.stderr.splitlines()[-1].startswith(f"error: {folder}: could not be read: ")
    assert "NOT READABLE" in (tmp_path / "out" / "report.html").read_text()
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        counts = record.counts()
    assert (counts.fields, counts.judged) == (0, 0)
    assert counts.stopped + counts.skipped == 2


def test_good_fields_count_beside_one_out_of_focus(
    classifier: Classifier, fields: tuple[SimulatedField, ...], tmp_path: Path
) -> None:
    folder = save(tmp_path / "slide", fields[0].frame, blurred(fields[1].frame, 9), fields[2].frame)
    summary = read_slide(folder, classifier, "S", tmp_path / "out")
    assert summary.unread == ""
    assert (summary.counts.fields, summary.counts.stopped) == (2, 1)
    assert {reason: n for reason, n in summary.counts.stops.items() if n} == {"out-of-focus": 1}
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        first, second, third = record.fields()
    assert (first.reason, second.reason, third.reason) == ("", "out-of-focus", "")
    assert second.cells == ()
    assert second.overview.startswith(b"\xff\xd8")
    assert second.values["sharpness"] < classifier.bundle.manifest.gates["sharpness"]


def test_recalibration_takes_no_cells_of_a_slide_out_of_focus(
    classifier: Classifier, fields: tuple[SimulatedField, ...], tmp_path: Path
) -> None:
    folder = save(tmp_path / "slide", *(blurred(field.frame, 9) for field in fields[:2]))
    read_slide(folder, classifier, "S", tmp_path / "out")
    manifest = classifier.bundle.manifest
    cells, skipped = site_cells(tmp_path / "out", manifest.input.size, manifest.gates)
    assert len(cells) == 0
    assert [str(item).partition(": out of focus; ")[1] for item in skipped] == [": out of focus; "] * 2


def test_recalibration_holds_a_slide_against_the_gates_of_its_own_bundle(
    classifier: Classifier, fields: tuple[SimulatedField, ...], tmp_path: Path
) -> None:
    """It may have been read with a bundle whose gates let more through."""
    folder = save(tmp_path / "slide", fields[0].frame)
    read_slide(folder, classifier, "S", tmp_path / "out")
    manifest = classifier.bundle.manifest
    passing, _ = site_cells(tmp_path / "out", manifest.input.size, manifest.gates)
    assert len(passing) > 10
    stricter = {**manifest.gates, "sharpness": 99.0}
    cells, skipped = site_cells(tmp_path / "out", manifest.input.size, stricter)
    assert (len(cells), len(skipped)) == (0, 1)


def test_a_camera_needs_a_number_of_fields(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="never ends; say with --fields"):
        read_slide("0", classifier, "S", tmp_path / "out")
