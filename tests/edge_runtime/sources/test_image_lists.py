"""Listing the images of a file, folder or zip, and what a damaged zip does."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.images import list_images, open_zip, printable

IMAGES = {
    f"{name}.png": cv2.imencode(".png", np.random.default_rng(n).integers(0, 256, (8, 8, 3), np.uint8))[
        1
    ].tobytes()
    for n, name in enumerate("abc")
}


def make_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


MIXED = {
    "b/2.PNG": b"2",
    "b/1.jpeg": b"1",
    "a.tif": b"0",
    "notes.txt": b"no",
    "b/png": b"no",
    "c.bmp": b"3",
}


def test_folder_is_searched_to_any_depth_sorted_by_name(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", MIXED)
    found = list_images(folder)
    assert [file.name for file in found] == [
        str(folder / n) for n in ("a.tif", "b/1.jpeg", "b/2.PNG", "c.bmp")
    ]
    assert b"".join(file.read() for file in found) == b"0123"


def test_zip_holds_the_same_images_under_its_members_names(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.ZIP", {**MIXED, "__MACOSX/b/._2.png": b"no"})
    found = list_images(archive)
    assert [file.name for file in found] == ["a.tif", "b/1.jpeg", "b/2.PNG", "c.bmp"]
    assert b"".join(file.read() for file in found) == b"0123"


def test_a_single_file_is_listed_whatever_it_is_called(tmp_path: Path) -> None:
    file = tmp_path / "cell"
    file.write_bytes(b"x")
    assert [(f.name, f.read()) for f in list_images(str(file))] == [(str(file), b"x")]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone: no such file or folder; check the path"):
        list_images(tmp_path / "gone")


def test_no_image_in_it_is_an_error(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", {"notes.txt": b"no"})
    archive = make_zip(tmp_path / "z.zip", {"notes.txt": b"no"})
    for empty in (folder, archive):
        with pytest.raises(SourceError, match=rf"^{empty}: holds no image \(\.png, "):
            list_images(empty)


def test_a_file_that_vanishes_after_listing_is_a_refusal(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", IMAGES)
    found = list_images(folder)
    (folder / "b.png").unlink()
    with pytest.raises(ImageError, match=r"b\.png: cannot be read \(No such file or directory\)"):
        found[1].read()


@pytest.mark.parametrize("kept", [0, 10, 100, -1])
def test_a_truncated_zip_is_refused_before_anything_is_read(tmp_path: Path, kept: int) -> None:
    archive = make_zip(tmp_path / "a.zip", IMAGES)
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(SourceError, match=r"a\.zip: not a complete zip file; copy or download it again"):
        list_images(archive)


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_one_damaged_member_leaves_the_others_readable(tmp_path: Path, compression: int) -> None:
    archive = make_zip(tmp_path / "a.zip", IMAGES, compression)
    with zipfile.ZipFile(archive) as intact:
        start = intact.getinfo("b.png").header_offset
    data = bytearray(archive.read_bytes())
    for position in range(start + 60, start + 130):
        data[position] ^= 0x55
    archive.write_bytes(data)
    first, second, third = list_images(archive)
    assert (first.read(), third.read()) == (IMAGES["a.png"], IMAGES["c.png"])
    with pytest.raises(ImageError, match=r"^b\.png: damaged inside .*a\.zip \(.*\); copy the zip again"):
        second.read()


def test_an_encrypted_member_is_a_refusal(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", IMAGES)
    data = bytearray(archive.read_bytes())
    data[6] |= 1  # the flag in the local header ...
    data[data.index(b"PK\x01\x02") + 8] |= 1  # ... and in the directory
    archive.write_bytes(data)
    with pytest.raises(ImageError, match=r"^a\.png: damaged inside .*encrypted"):
        list_images(archive)[0].read()


def sound_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in IMAGES.items():
            archive.writestr(f"é{name}", data)
    return buffer.getvalue()


SOUND_ZIP = sound_zip()


@given(st.lists(st.tuples(st.integers(0, len(SOUND_ZIP) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_damage_to_a_zip_raises_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(SOUND_ZIP)
    for position, value in damage:
        data[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(data)
    try:
        with open_zip(path):
            pass
        files = list_images(path)
    except SourceError:
        return
    for file in files:
        with suppress(ImageError):
            file.read()


def test_a_name_that_no_encoding_explains_can_be_shown_and_stored(tmp_path: Path) -> None:
    try:
        (tmp_path / "caf\udce9.png").write_bytes(IMAGES["a.png"])  # the byte E9, no UTF-8
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    (found,) = list_images(tmp_path)
    assert found.name == f"{tmp_path}/caf\ufffd.png"
    assert found.read() == IMAGES["a.png"]
    assert printable("plain é") == "plain é"
