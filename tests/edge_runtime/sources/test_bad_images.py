"""What a technician sees when an image is bad: one line with what to do, exit code 1.

Single bad images among many are skipped, listed and counted.
"""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

from edge_runtime.record.slide_record import SlideRecord

Refusal = Callable[..., str]
Run = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]


def png(shape: tuple[int, ...], kind: type = np.uint8) -> bytes:
    return cv2.imencode(".png", np.full(shape, 200, kind))[1].tobytes()


BAD_IMAGES = {
    "text.png": (b"Dear technician,\nthis is a text.\n", "not an image that can be decoded"),
    "tiny.png": (png((1, 1, 3)), "1x1 pixels; "),
    "deep.png": (png((90, 90, 3), np.uint16), "16 bits per channel; save it with 8 bits per channel"),
    "grey.png": (png((90, 90)), "a grey image; the stain's colour is needed, give RGB"),
    "empty.png": (b"", "an empty file; copy it again"),
    "cut.png": (png((90, 90, 3))[:-20], "the file is cut off; copy it again"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_alone_is_an_error(
    tmp_path: Path, refusal: Refusal, read_arguments: Any, tiny_bundle: Path, name: str
) -> None:
    data, told = BAD_IMAGES[name]
    path = tmp_path / name
    path.write_bytes(data)
    for message in (refusal("score", path, "--bundle", tiny_bundle), refusal(*read_arguments(path))):
        assert message.startswith(f"{path}: {told}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["text.png", "cut.png"])
def test_a_bad_image_in_a_process_of_its_own(
    tmp_path: Path, refusal_of_process: Refusal, tiny_bundle: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(BAD_IMAGES[name][0])
    assert refusal_of_process("score", path, "--bundle", tiny_bundle).startswith(f"{path}: ")


@pytest.mark.parametrize("packed", [False, True])
def test_bad_crops_among_many_are_listed_and_counted(
    tmp_path: Path, cellgate: Run, crops_folder: Path, tiny_bundle: Path, packed: bool
) -> None:
    source = mixed(tmp_path, crops_folder, packed=packed)
    good = len(list(crops_folder.iterdir()))
    result = cellgate("score", source, "--bundle", tiny_bundle, "--json")
    assert result.exit_code == 0
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == good
    *skipped, summary = result.stderr.splitlines()
    assert sorted(line.split(": ")[1].rsplit("/")[-1] for line in skipped) == sorted(BAD_IMAGES)
    for line in skipped:
        name, reason = line.removeprefix("skipped: ").split(": ", 1)
        assert reason.startswith(BAD_IMAGES[name.rsplit("/")[-1]][1])
    assert summary.startswith(f"{good} cells, ")
    assert f", {len(BAD_IMAGES)} skipped, " in summary


@pytest.mark.parametrize("packed", [False, True])
def test_bad_frames_among_many_are_listed_counted_and_reported(
    tmp_path: Path, cellgate: Run, read_arguments: Any, slide_folder: Path, packed: bool
) -> None:
    result = cellgate(*read_arguments(mixed(tmp_path, slide_folder, packed=packed)))
    assert result.exit_code == 0
    assert result.stderr.count("skipped: ") == len(BAD_IMAGES)
    assert f"skipped     {len(BAD_IMAGES):>7}" in result.stdout
    with SlideRecord.open(tmp_path / "out" / "slide.sqlite") as record:
        assert record.counts().fields == 3
        assert sorted(s.name.rsplit("/")[-1] for s in record.skipped()) == sorted(BAD_IMAGES)
        assert record.header().finished
    report = (tmp_path / "out" / "report.html").read_text()
    assert all(name in report for name in BAD_IMAGES)
    assert "INCOMPLETE" not in report


STICK = {
    ".Trash-1000/files/again.png": "hidden, deleted, thumbnails or a system's own (.Trash-1000, .thumbnails)",
    "DCIM/.thumbnails/1.png": "hidden, deleted, thumbnails or a system's own (.Trash-1000, .thumbnails)",
    "DCIM/phone.heic": "HEIC or AVIF cannot be read; let the phone save JPEG, or convert it",
    "DCIM/film.mp4": "a video; read it by itself",
    "notes.txt": "no image (.csv, .txt)",
    "table.csv": "no image (.csv, .txt)",
}


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_found_is_read_or_named_with_its_reason_by_every_command(
    tmp_path: Path,
    cellgate: Run,
    read_arguments: Any,
    tiny_bundle: Path,
    slide_folder: Path,
    crops_folder: Path,
    packed: bool,
) -> None:
    commands = {
        "read": (slide_folder, read_arguments),
        "score": (crops_folder, lambda source: ["score", source, "--bundle", tiny_bundle]),
        "recalibrate": (
            crops_folder,
            lambda source: [
                "recalibrate",
                source,
                "--bundle",
                tiny_bundle,
                "--site",
                "s",
                "--out",
                tmp_path / "b",
            ],
        ),
    }
    for name, (good, arguments) in commands.items():
        folder = Path(shutil.copytree(good, tmp_path / name))
        for file in STICK:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(png((90, 90, 3)) if file.endswith(".png") else b"x")
        source = folder
        if packed:
            source = tmp_path / f"{name}.zip"
            with zipfile.ZipFile(source, "w") as archive:
                for file in folder.rglob("*"):
                    archive.write(file, file.relative_to(folder))
        skipped = [
            line.removeprefix("skipped: ")
            for line in cellgate(*arguments(source)).stderr.splitlines()
            if line.startswith("skipped: ")
        ]
        below = "" if packed else f"{folder}/"
        assert skipped == [
            f"{below}DCIM/film.mp4: {STICK['DCIM/film.mp4']}",
            f"{below}DCIM/phone.heic: {STICK['DCIM/phone.heic']}",
            f"{source} (2 entries): {STICK['DCIM/.thumbnails/1.png']}",
            f"{source} (2 other files): {STICK['notes.txt']}",
        ]


def mixed(tmp_path: Path, good: Path, *, packed: bool) -> Path:
    folder = Path(shutil.copytree(good, tmp_path / "mixed"))
    for name, (data, _) in BAD_IMAGES.items():
        (folder / name).write_bytes(data)
    if not packed:
        return folder
    with zipfile.ZipFile(tmp_path / "mixed.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return tmp_path / "mixed.zip"


def test_nothing_but_bad_crops_is_an_error(tmp_path: Path, cellgate: Run, tiny_bundle: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, (data, _) in BAD_IMAGES.items():
        (folder / name).write_bytes(data)
    result = cellgate("score", folder, "--bundle", tiny_bundle)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"error: {folder}: none of its 6 images could be read"


def test_one_damaged_member_of_a_zip_is_skipped(
    tmp_path: Path, cellgate: Run, crops_folder: Path, tiny_bundle: Path
) -> None:
    path = tmp_path / "cells.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(crops_folder.iterdir()):
            archive.write(file, file.name)
        offset = archive.getinfo("cell-03.png").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 100 : offset + 160] = bytes(60)
    path.write_bytes(data)
    result = cellgate("score", path, "--bundle", tiny_bundle)
    assert result.exit_code == 0
    assert "skipped: cell-03.png: damaged inside " in result.stderr
    assert ", 1 skipped, " in result.stderr
