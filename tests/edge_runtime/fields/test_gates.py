"""Every gate stops what it is there for, says what to do, and lets good frames pass."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.cells.segmentation import segmentation
from edge_runtime.fields.gates import GATES, default_limits, measure, stopped_by
from edge_runtime.fields.view import view
from edge_runtime.simulator import simulate_field
from edge_runtime.simulator.corruptions import defocus, faded, moved, stray_light, tinted, uneven
from edge_runtime.sources.decoding import decode_image

DATA = Path(__file__).parents[4] / "shared" / "data"
Frame = NDArray[np.uint8]
Light = NDArray[np.float32]


def reasons(frame: Frame) -> list[str]:
    values = measure(view(frame, segmentation(frame)))
    return [gate.reason for gate in stopped_by(values, default_limits())]


def changed(frame: Frame, act: Callable[[Light], Light]) -> Frame:
    return np.rint(np.clip(act(frame.astype(np.float32) / 255), 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def good() -> Frame:
    return simulate_field(3, 0, width=640, height=480, cells=22).frame


@pytest.mark.parametrize("seed", range(6))
def test_a_good_frame_passes(seed: int) -> None:
    assert reasons(simulate_field(seed, 0, width=640, height=480, cells=22).frame) == []


SPOILT: dict[str, Callable[[Light], Light]] = {
    "too-dark": lambda light: tinted(light, (0.3,) * 3),
    "overexposed": lambda light: tinted(light, (2.0,) * 3),
    "out-of-focus": lambda light: defocus(light, 8),
    "moved": lambda light: moved(light, 14, 0.6),
    "colour-cast": lambda light: tinted(light, (1, 0.6, 1)),
    "uneven-light": lambda light: uneven(light, 0.75, 0.4),
    "pale": lambda light: stray_light(light, 0.85, light.mean(axis=(0, 1))),
    "no-colour": lambda light: faded(light, 1.0),
}


@pytest.mark.parametrize("reason", SPOILT)
def test_a_spoilt_frame_is_stopped_for_what_spoils_it(good: Frame, reason: str) -> None:
    assert reason in reasons(changed(good, SPOILT[reason]))


def test_a_lamp_of_another_warmth_passes_and_a_coloured_one_does_not(good: Frame) -> None:
    assert reasons(changed(good, lambda light: tinted(light, (1, 0.9, 0.75)))) == []
    assert set(reasons(changed(good, lambda light: tinted(light, (1, 0.75, 0.25))))) == {"colour-cast"}


def test_cells_of_too_few_pixels(good: Frame) -> None:
    small = cv2.resize(good, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    assert "too-small" in reasons(np.asarray(small, np.uint8))


def test_cells_of_too_many_pixels(good: Frame) -> None:
    large = cv2.resize(good, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    assert "too-large" in reasons(np.asarray(large, np.uint8))


def test_a_place_of_rouleaux_with_a_few_cells_beside() -> None:
    cells = np.zeros((480, 640), np.uint8)
    for row in range(60, 440, 60):
        cv2.line(cells, (160, row), (560, row + 20), 1, 36)
    for row in (60, 160, 260):
        cv2.circle(cells, (60, row), 18, 1, cv2.FILLED)
    noise = np.random.default_rng(4).normal(0, 2, (480, 640, 1))
    frame = np.where(cells[..., None] > 0, (190, 120, 150), (225, 222, 224)) + noise
    found = reasons(np.clip(frame, 0, 255).astype(np.uint8))
    assert "clumped" in found
    assert "no-cells" not in found


def test_an_empty_place(good: Frame) -> None:
    empty = simulate_field(3, 0, width=640, height=480, cells=0).frame
    assert "no-cells" in reasons(empty)


def pictures() -> dict[str, Frame]:
    """What is no thin film, made here."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:480, 0:640]
    landscape = np.stack([120 + y / 6, 150 + y / 8, 230 - y / 3], axis=-1) + rng.normal(0, 12, (480, 640, 1))
    landscape[300 + (40 * np.sin(x[0] / 50)).astype(int), x[0]] = (30, 60, 20)
    screen = np.full((480, 640, 3), 245, np.uint8)
    for row in range(20, 460, 18):
        cv2.putText(screen, "cellgate read SOURCE --slide CODE", (10, row), 0, 0.5, (20, 20, 20), 1)
    cv2.rectangle(screen, (400, 100), (620, 300), (40, 90, 200), -1)
    return {
        "white": np.full((480, 640, 3), 255, np.uint8),
        "black": np.zeros((480, 640, 3), np.uint8),
        "grey": np.full((480, 640, 3), 128, np.uint8),
        "noise": rng.integers(0, 256, (480, 640, 3), np.uint8),
        "landscape": np.clip(landscape, 0, 255).astype(np.uint8),
        "screen": screen,
        "stripes": np.repeat(((x // 20 % 2) * 200 + 30).astype(np.uint8)[..., None], 3, axis=2),
        "inverted": 255 - simulate_field(3, 0, width=640, height=480, cells=22).frame,
    }


@pytest.mark.parametrize("name", pictures())
def test_what_is_no_thin_film_is_stopped(name: str) -> None:
    assert reasons(pictures()[name])


def test_every_gate_tells_what_to_do() -> None:
    assert len({gate.name for gate in GATES}) == len(GATES)
    for gate in GATES:
        assert gate.sentence
        assert gate.advice


def test_what_is_no_number_does_not_pass() -> None:
    limits = default_limits()
    for gate in GATES:
        assert not gate.passes(float("nan"), limits[gate.name])


REAL = {
    "nih_thin": "fields/nih_thin/frames/",
    "bbbc041": "fields/bbbc041/images/",
    "bccd": "fields/bccd/JPEGImages/BloodImage_000",
    "chula_rbc12": "fields/chula_rbc12/Dataset/1",
}


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "fields.zip").exists(), reason="../shared/data/fields.zip is not here")
@pytest.mark.parametrize("name", REAL)
def test_real_frames_pass_as_they_are(name: str) -> None:
    with zipfile.ZipFile(DATA / "fields.zip") as archive:
        frames = [member for member in archive.namelist() if member.startswith(REAL[name])][:24]
        passed = [not reasons(decode_image(archive.read(member), member)) for member in frames]
    assert len(passed) >= 5
    assert np.mean(passed) >= 0.95


@pytest.mark.real
@pytest.mark.skipif(not (DATA / "awkward").exists(), reason="../shared/data/awkward is not here")
def test_the_sharp_photograph_passes_and_the_defocused_one_does_not() -> None:
    sharp, defocused = (
        decode_image((DATA / "awkward" / name).read_bytes(), name)
        for name in ("09_sharp.jpg", "09_defocused.jpg")
    )
    assert reasons(sharp) == []
    assert reasons(defocused)[0] == "out-of-focus"
