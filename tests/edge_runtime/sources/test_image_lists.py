"""Listing the images of a file, folder or zip, and what a damaged zip does."""

import io
import os
import stat
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ImageError, SourceError
from edge_runtime.sources.images import list_images
from edge_runtime.sources.names import printable
from edge_runtime.sources.zips import open_zip

AWKWARD = Path(__file__).parents[4] / "shared" / "data" / "awkward"
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
        *(str(folder / n) for n in ("a.tif", "b/1.jpeg", "b/2.PNG", "c.bmp")),
        f"{folder} (2 other files)",
    ]
    assert b"".join(file.read() for file in found[:-1]) == b"0123"
    assert found[-1].left_out == "no image (.txt, no suffix)"


def test_zip_holds_the_same_images_under_its_members_names(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.ZIP", {**MIXED, "__MACOSX/b/._2.png": b"no"})
    found = list_images(archive)
    assert [file.name for file in found] == [
        *("a.tif", "b/1.jpeg", "b/2.PNG", "c.bmp"),
        f"{archive} (1 entry)",
        f"{archive} (2 other files)",
    ]
    assert b"".join(file.read() for file in found[:4]) == b"0123"
    assert found[4].left_out == "hidden, deleted, thumbnails or a system's own (__MACOSX)"


def test_what_is_left_out_raises_its_reason_when_it_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", {"a.png": b"0", "b.heic": b"1"})
    with pytest.raises(ImageError, match=r"b\.heic: HEIC or AVIF cannot be read; let the phone save JPEG"):
        list_images(folder)[1].read()


def test_numbers_in_names_are_sorted_as_numbers(tmp_path: Path) -> None:
    names = [
        "f10.png",
        "f2.png",
        "f1.png",
        "f02.png",
        "day 9/a.png",
        "day 10/a.png",
        "f" + "9" * 200 + ".png",
    ]
    folder = make_folder(tmp_path / "f", dict.fromkeys(names, b"x"))
    order = ["day 9/a.png", "day 10/a.png", "f1.png", "f02.png", "f2.png", "f10.png", names[-1]]
    assert [file.name for file in list_images(folder)] == [str(folder / name) for name in order]


OTHERS = {
    "IMG_1.HEIC": "HEIC or AVIF cannot be read; let the phone save JPEG, or convert it",
    "IMG_2.dng": "a camera's raw file cannot be read; save it as PNG, TIFF or JPEG",
    "scan.svs": "a microscope's own format cannot be read; export it as PNG or TIFF",
    "a.webp": "this kind of image cannot be read; save it as PNG or JPEG",
    "a.gif": "this kind of image cannot be read; save it as PNG or JPEG",
    "film.MP4": "a video; read it by itself",
    "more.zip": "an archive; unpack it, or read a zip by itself",
}


@pytest.mark.parametrize("packed", [False, True])
def test_pictures_of_other_kinds_are_named_one_by_one(tmp_path: Path, packed: bool) -> None:
    make = make_zip if packed else make_folder
    found = list_images(make(tmp_path / "found.zip", {"a.png": b"0", **dict.fromkeys(OTHERS, b"x")}))
    told = {Path(file.name).name: file.left_out for file in found if file.left_out}
    assert told == OTHERS


@pytest.mark.parametrize("packed", [False, True])
def test_what_a_file_holds_counts_more_than_its_name(tmp_path: Path, packed: bool) -> None:
    members = {
        "a.png": b"0",
        "IMG_1": IMAGES["a.png"],
        "b.heic": b"\xff\xd8\xff",
        "clip": b"\0\0\0\x18ftypisom",
    }
    make = make_zip if packed else make_folder
    found = list_images(make(tmp_path / "found.zip", members))
    told = {Path(file.name).name: file.left_out for file in found if file.left_out}
    assert set(told) == {"IMG_1", "b.heic", "clip"}
    assert told["clip"] == "a video; read it by itself"
    assert all("rename it" in told[name] for name in ("IMG_1", "b.heic"))


HIDDEN = {
    ".Trash-1000/files/a.jpg": b"x",
    "$RECYCLE.BIN/S-1/b.jpg": b"x",
    "DCIM/.thumbnails/c.jpg": b"x",
    "DCIM/@eaDir/a.jpg/THUMB.jpg": b"x",
    "DCIM/._a.jpg": b"x",
    "DCIM/Thumbs.db": b"x",
    "System Volume Information/d.png": b"x",
    "__MACOSX/DCIM/._a.jpg": b"x",
    ".DS_Store": b"x",
    "DCIM/a.jpg": b"good",
}


@pytest.mark.parametrize("packed", [False, True])
def test_hidden_deleted_and_thumbnail_entries_are_told_once_with_their_number(
    tmp_path: Path, packed: bool
) -> None:
    path = (make_zip if packed else make_folder)(tmp_path / "stick.zip", HIDDEN)
    read, left = list_images(path)
    assert read.read() == b"good"
    assert left.name == f"{path} (9 entries)"
    assert left.left_out.startswith("hidden, deleted, thumbnails or a system's own ($RECYCLE.BIN, ")


def test_a_folder_below_a_hidden_one_can_be_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / ".cache" / "slide", {"a.png": b"0"})
    assert [file.read() for file in list_images(folder)] == [b"0"]


def test_a_folder_without_a_readable_image_says_what_is_there(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", {f"{n}.heic": b"x" for n in range(5)})
    with pytest.raises(SourceError) as caught:
        list_images(folder)
    told = f"not read: {folder}/0.heic: HEIC or AVIF cannot be read; "
    assert told in str(caught.value)
    assert str(caught.value).endswith("; and 2 more")


def test_a_file_that_links_lead_to_is_read_once(tmp_path: Path) -> None:
    outside = make_folder(tmp_path / "outside", {"far.png": b"far"}) / "far.png"
    folder = make_folder(tmp_path / "f", {"b.png": b"b"})
    (folder / "a.png").symlink_to(folder / "b.png")
    (folder / "c.png").symlink_to(outside)
    (folder / "d.png").symlink_to(outside)
    os.link(folder / "b.png", folder / "e.png")
    found = {Path(file.name).name: file for file in list_images(folder)}
    assert {name for name, file in found.items() if not file.left_out} == {"b.png", "c.png"}
    assert found["c.png"].read() == b"far"
    assert found["a.png"].left_out == f"the same file as {folder}/b.png, which is read already"
    assert found["d.png"].left_out == f"the same file as {folder}/c.png, which is read already"
    assert found["e.png"].left_out == f"the same file as {folder}/b.png, which is read already"


def test_links_that_lead_nowhere_or_in_a_circle_and_what_would_block_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "f", {"a.png": b"a"})
    (folder / "circle").symlink_to(folder)
    (folder / "gone.png").symlink_to(folder / "nothing")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    told = {Path(file.name).name: file.left_out for file in list_images(folder) if file.left_out}
    assert told == {
        "circle": "a link to a folder; read that folder by itself",
        "gone.png": "a link that leads nowhere",
        "loop.png": "a link that leads nowhere",
        "pipe.png": "a pipe, socket or device and no file; save the pictures as files first",
    }


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "f", {"a.png": b"a", "locked/b.png": b"b"})
    scandir = os.scandir

    def refuse(path: Path) -> object:  # root may read everything
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    read, locked = list_images(folder)
    assert read.name == str(folder / "a.png")
    assert (Path(locked.name).name, locked.left_out) == (
        "locked",
        "a folder that cannot be read (Permission denied)",
    )
    monkeypatch.setattr(os, "scandir", lambda _: scandir(Path("/nowhere")))
    with pytest.raises(SourceError, match="f: cannot be read"):
        list_images(folder)


def test_two_members_of_one_name_are_both_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings(action="ignore"):
        for data in (b"one", b"two"):
            archive.writestr("a.png", data)
    found = list_images(path)
    assert [(file.name, file.read()) for file in found] == [
        ("a.png", b"one"),
        ("a.png (number 2 of this name)", b"two"),
    ]


def test_folders_links_and_bombs_in_a_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"f.png/": b"", "f.png/a.png": b"a", "link.png": b"f.png/a.png"})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("real link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"f.png/a.png")
    inside, named, left = list_images(path)
    assert (inside.read(), named.name) == (b"a", "link.png")
    assert (left.name, left.left_out) == ("real link.png", "a link inside a zip; put the file itself there")


def test_a_file_too_large_for_an_image_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)  # takes no room on the disk
    with pytest.raises(ImageError, match=r"huge\.png: 2000000000 bytes, too large for an image"):
        list_images(path)[0].read()


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
    with pytest.raises(ImageError, match=r"^a\.png: encrypted; unpack the zip with its password"):
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
    assert printable("plain é, mẫu máu, 血") == "plain é, mẫu máu, 血"


def test_no_name_breaks_a_line_or_turns_its_direction() -> None:
    assert printable("a\nb\x1b[31m\u202egpj\u2028\ud800.png") == "a\ufffdb\ufffd[31m\ufffdgpj\ufffd\ufffd.png"


@pytest.mark.real
@pytest.mark.skipif(not AWKWARD.exists(), reason="../shared/data/awkward is not here")
def test_a_usb_stick_gives_the_same_unpacked_and_as_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(AWKWARD / "08_usb_stick.zip") as archive:
        archive.extractall(tmp_path)
    for path in (tmp_path, AWKWARD / "08_usb_stick.zip"):
        *read, left = list_images(path)
        assert [Path(file.name).name for file in read] == ["IMG_1.jpg", "IMG_2.jpg"]
        assert left.name == f"{path} (3 entries)"
