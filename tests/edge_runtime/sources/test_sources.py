"""Where frames come from: images, the simulator, and a camera that is played by a stand-in."""

import shutil
import socket
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.simulator import SimulatedField, simulate_field
from edge_runtime.sources import frames as room
from edge_runtime.sources.frames import Frame, SimulatedSource, frames, parse_simulated, shown_source
from edge_runtime.sources.images import SkippedFrame


def names(source: object, **settings: Any) -> list[str]:
    return [item.name for item in frames(str(source), **settings)]


def test_a_folder_gives_its_images_in_order(slide_folder: Path, fields: tuple[SimulatedField, ...]) -> None:
    found = list(frames(str(slide_folder)))
    assert [f.name for f in found] == [str(slide_folder / f"field-{n}.png") for n in (1, 2, 3)]
    for item, field in zip(found, fields, strict=True):
        assert isinstance(item, Frame)
        np.testing.assert_array_equal(item.image, field.frame)


def test_a_path_is_a_file_or_folder_whatever_its_name(
    slide_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A string "0" is a camera and "simulated" the simulator."""
    monkeypatch.chdir(tmp_path)
    for name in ("0", "simulated"):
        shutil.copytree(slide_folder, name)
        assert [Path(found.name).parent for found in frames(Path(name))] == [Path(name)] * 3


def test_a_zip_and_a_single_file_give_the_same_frames(slide_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "slide.zip", "w") as archive:
        for file in slide_folder.iterdir():
            archive.write(file, file.name)
    zipped = list(frames(str(tmp_path / "slide.zip")))
    assert [f.name for f in zipped] == ["field-1.png", "field-2.png", "field-3.png"]
    (single,) = frames(str(slide_folder / "field-2.png"))
    assert isinstance(zipped[1], Frame)
    assert isinstance(single, Frame)
    np.testing.assert_array_equal(zipped[1].image, single.image)


def test_what_cannot_be_read_among_many_is_skipped_with_its_reason(
    slide_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(slide_folder, tmp_path / "slide"))
    (folder / "field-2.png").write_text("not an image")
    first, second, third = frames(str(folder))
    assert isinstance(first, Frame)
    assert isinstance(third, Frame)
    assert isinstance(second, SkippedFrame)
    assert second.name == str(folder / "field-2.png")
    assert second.reason == "not an image that can be decoded; give a PNG, JPEG, TIFF or BMP"


def test_skipped_frames_do_not_count_towards_the_limit(slide_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(slide_folder, tmp_path / "slide"))
    (folder / "field-1.png").write_bytes(b"")
    assert [Path(n).name for n in names(folder, limit=1)] == ["field-1.png", "field-2.png"]


def test_a_single_image_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(ImageError, match=r"a\.png: not an image"):
        names(tmp_path / "a.png")


def test_a_file_of_another_kind_is_refused_with_the_kinds_there_are(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(
        SourceError, match=r"notes\.txt: not a kind of source; expected a folder, \.png.*\.mp4"
    ):
        names(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["gone", "gone.zip", "gone.mp4", "gone.png"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=rf"{name}: no such file"):
        names(tmp_path / name)


def test_the_simulator_is_a_source() -> None:
    first, second = frames("simulated:fields=2,seed=7")
    assert (first.name, second.name) == ("field 1", "field 2")
    assert isinstance(second, Frame)
    np.testing.assert_array_equal(second.image, simulate_field(7, 1).frame)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simulated", SimulatedSource(12, 5)),
        ("simulated:", SimulatedSource(12, 5)),
        ("simulated:fields=3", SimulatedSource(3, 5)),
        ("simulated:seed=0,fields=40", SimulatedSource(40, 0)),
    ],
)
def test_settings_of_the_simulator(text: str, expected: SimulatedSource) -> None:
    assert parse_simulated(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("simulated:cells=3", "cannot read 'cells=3'"),
        ("simulated:fields", "cannot read 'fields'"),
        ("simulated:fields=-1", "cannot read 'fields=-1'"),
        ("simulated:fields=1.5", "cannot read 'fields=1.5'"),
        ("simulated:fields=²", "cannot read 'fields=²'"),
        ("simulated:fields=0", "no field; expected fields=1 or more"),
    ],
)
def test_settings_that_make_no_sense_are_told(text: str, told: str) -> None:
    with pytest.raises(SourceError) as caught:
        names(text)
    assert str(caught.value).startswith(f"{text}: {told}")


@pytest.mark.parametrize("camera", ["0", "camera:3", "rtsp://10.0.0.1/stream"])
def test_a_camera_must_be_told_when_to_stop(camera: str) -> None:
    with pytest.raises(SourceError, match="never ends; say with --fields how many fields to read"):
        names(camera)


@pytest.mark.parametrize("camera", ["97", "camera:97"])
def test_a_camera_that_is_not_there_is_named(camera: str) -> None:
    with pytest.raises(SourceError, match="camera 97: cannot be opened; check that it is connected"):
        names(camera, limit=1)


def test_a_stream_that_is_not_there_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}/live"
        with pytest.raises(SourceError, match=f"^http://{address}: cannot be opened"):
            names(f"http://nurse:secret@{address}", limit=1)


def test_a_password_is_never_shown() -> None:
    assert shown_source("rtsp://nurse:secret@10.0.0.1/a@b") == "rtsp://10.0.0.1/a@b"
    assert shown_source("rtsp://10.0.0.1/a@b") == "rtsp://10.0.0.1/a@b"
    assert shown_source("/slides/a@b.mp4") == "/slides/a@b.mp4"


class StandIn:
    """A camera that sends given frames, then none."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self._images = iter(images)

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        image = next(self._images, None)
        return image is not None, None if image is None else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Any:
    def play(*images: np.ndarray) -> None:
        monkeypatch.setattr(cv2, "VideoCapture", lambda _: StandIn(list(images)))
        monkeypatch.setattr(room, "CAMERA_TIMEOUT", 0.15)

    return play


def test_a_camera_gives_each_field_once(camera: Any, fields: tuple[SimulatedField, ...]) -> None:
    one, two, three = (field.frame for field in fields)
    shaken = np.roll(one, (9, -14), (0, 1))
    noisy = np.clip(two.astype(int) + np.random.default_rng(0).integers(-6, 7, two.shape), 0, 255)
    camera(one, one, shaken, two, noisy.astype(np.uint8), one, three)
    found = list(frames("0", limit=3, every=0))
    assert [f.name for f in found] == ["camera 0 field 1", "camera 0 field 2", "camera 0 field 3"]
    for item, true in zip(found, (one, two, three), strict=True):
        assert isinstance(item, Frame)
        np.testing.assert_array_equal(item.image, true)


def test_a_camera_that_falls_silent_ends_in_an_error_after_what_it_sent(
    camera: Any, fields: tuple[SimulatedField, ...]
) -> None:
    camera(fields[0].frame, fields[1].frame)
    found = frames("0", limit=5, every=0)
    assert [next(found).name, next(found).name] == ["camera 0 field 1", "camera 0 field 2"]
    with pytest.raises(SourceError, match="camera 0: sends no more frames; check the cable"):
        next(found)


def test_frames_in_between_are_passed_over(camera: Any, fields: tuple[SimulatedField, ...]) -> None:
    camera(*(field.frame for field in fields))
    found = frames("0", limit=5, every=30)
    assert next(found).name == "camera 0 field 1"
    with pytest.raises(SourceError, match="sends no more frames"):
        next(found)


def test_no_field_of_a_slide_is_taken_for_another() -> None:
    for seed in range(3):
        seen: list[np.ndarray] = []
        for index in range(8):
            frame = simulate_field(seed, index, width=640, height=480, cells=22).frame
            assert room._is_new(frame, seen), (seed, index)


@pytest.mark.parametrize("moved", [0.0, 0.05, 0.2])
def test_a_field_that_moved_a_little_is_the_same(moved: float) -> None:
    wide = simulate_field(2, 0, width=900, height=700, cells=45).frame
    x, y = int(640 * moved), int(480 * moved)
    seen: list[np.ndarray] = []
    assert room._is_new(wide[:480, :640], seen)
    assert not room._is_new(wide[y : y + 480, x : x + 640], seen)


def test_an_eyepieces_circle_does_not_make_all_fields_the_same(fields: tuple[SimulatedField, ...]) -> None:
    rows, columns = np.ogrid[:480, :640]
    outside = (rows - 240) ** 2 + (columns - 320) ** 2 > 220**2
    seen: list[np.ndarray] = []
    for field in fields:
        frame = field.frame.copy()
        frame[outside] = 2
        assert room._is_new(frame, seen)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2), (7, 5)])
def test_no_frame_is_too_small_to_be_compared(shape: tuple[int, int]) -> None:
    seen: list[np.ndarray] = []
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert room._is_new(frame, seen)
    assert not room._is_new(frame, seen)
