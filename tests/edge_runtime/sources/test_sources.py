"""Where frames come from: images, the simulator, and a camera that is played by a stand-in."""

import os
import shutil
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.simulator import SimulatedField, simulate_field
from edge_runtime.sources import frames as room
from edge_runtime.sources.frames import SimulatedSource, frames, parse_simulated, shown_source
from edge_runtime.sources.images import list_images
from edge_runtime.sources.items import Frame, SkippedFrame


def names(source: object, **settings: Any) -> list[str]:
    path = source if isinstance(source, Path) else str(source)
    return [item.name for item in frames(path, **settings)]


def test_a_folder_gives_its_images_in_order(slide_folder: Path, fields: tuple[SimulatedField, ...]) -> None:
    found = list(frames(str(slide_folder)))
    assert [f.name for f in found] == [str(slide_folder / f"field-{n}.png") for n in (1, 2, 3)]
    for item, field in zip(found, fields, strict=True):
        assert isinstance(item, Frame)
        np.testing.assert_array_equal(item.image, field.frame)


@pytest.mark.parametrize("name", ["0", "12", "camera:0", "simulated", "a://b"])
def test_what_exists_is_a_file_or_folder_whatever_its_name(
    slide_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(slide_folder, name)
    for source in (name, Path(name)):
        assert [Path(found.name).parent for found in frames(source)] == [Path(name)] * 3


def test_a_path_is_never_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"^0: no such file"):
        names(Path("0"))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_would_block_is_refused_unopened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path = Path("/dev/zero")
    for read in (names, list_images):
        with pytest.raises(SourceError, match=f"^{path}: a pipe, socket or device and no file"):
            read(path)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_seconds_that_are_none_are_refused(slide_folder: Path, seconds: float) -> None:
    with pytest.raises(SourceError, match="seconds between two looks; give a number from 0"):
        frames(slide_folder, every=seconds)
    with pytest.raises(SourceError, match=r"a patience of .* seconds; give a number above 0"):
        frames(slide_folder, patience=seconds)


def test_a_source_without_a_name_is_refused() -> None:
    with pytest.raises(SourceError, match="a source without a name"):
        names("")


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
    with pytest.raises(SourceError, match="never ends; say with --fields or --until how much to read"):
        names(camera)


@pytest.mark.parametrize("camera", ["97", "camera:97"])
def test_a_camera_that_is_not_there_is_named(camera: str) -> None:
    with pytest.raises(SourceError, match="camera 97: cannot be opened; check that it is connected"):
        names(camera, endless=True)


def test_a_password_is_never_shown() -> None:
    assert shown_source("rtsp://nurse:secret@10.0.0.1/a@b") == "rtsp://10.0.0.1/a@b"
    assert shown_source("rtsp://10.0.0.1/a@b") == "rtsp://10.0.0.1/a@b"
    assert shown_source("/slides/a@b.mp4") == "/slides/a@b.mp4"


def test_a_device_of_a_camera_is_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(room, "_LINUX_CAMERAS", os.major(Path("/dev/null").stat().st_rdev))
    monkeypatch.setattr(room, "open_camera", opened.append)
    with pytest.raises(SourceError, match=r"^/dev/null: cannot be opened; check that it is connected"):
        names("/dev/null", endless=True)
    assert opened == ["/dev/null"]
