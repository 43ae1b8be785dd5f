"""Class folders, and of them the NIH archive: as zip and as folder, whole and broken."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import ImageError, SourceError
from training.cells.archive import patient_of, patients_of
from training.cells.folders import list_folders
from training.cells.listing import CellFile

Png = Callable[[int], bytes]

MEMBERS = (
    "cell_images/Parasitized/C100P61ThinF_IMG_20150918_144104_cell_162.png",
    "cell_images/Parasitized/C37BP2_thinF_IMG_20150620_131423a_cell_96.png",
    "cell_images/Uninfected/C1_thinF_IMG_20150604_104722_cell_15.png",
    "cell_images/Uninfected/C68P29N_ThinF_IMG_20150819_133236_cell_7.PNG",
)


def write_folder(folder: Path, members: dict[str, bytes]) -> Path:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def list_cells(path: Path) -> list[CellFile]:
    return list(list_folders(path).files)


@pytest.fixture
def members(png: Png) -> dict[str, bytes]:
    return {name: png(number) for number, name in enumerate(MEMBERS)}


def test_zip_and_folder_hold_the_same_cells(tmp_path: Path, members: dict[str, bytes]) -> None:
    clutter = {
        "cell_images/Parasitized/Thumbs.db": b"windows",
        "cell_images/readme.png": b"in neither folder",
        "cell_images/Parasitized/._C100P61ThinF_IMG_20150918_144104_cell_162.png": b"macOS",
        "__MACOSX/cell_images/Uninfected/C1_thinF_IMG_20150604_104722_cell_15.png": b"macOS",
    }
    for path in (
        write_zip(tmp_path / "cells.zip", members | clutter),
        write_folder(tmp_path / "cells", members | clutter),
    ):
        found = [(cell.name, cell.label, cell.patient, cell.read()) for cell in list_cells(path)]
        assert found == [
            (MEMBERS[0].removeprefix("cell_images/"), "parasitized", "C100P61", members[MEMBERS[0]]),
            (MEMBERS[1].removeprefix("cell_images/"), "parasitized", "C37BP2", members[MEMBERS[1]]),
            (MEMBERS[2].removeprefix("cell_images/"), "uninfected", "C1", members[MEMBERS[2]]),
            (MEMBERS[3].removeprefix("cell_images/"), "uninfected", "C68P29", members[MEMBERS[3]]),
        ]


def test_nested_copy_of_every_cell_counts_once(tmp_path: Path, members: dict[str, bytes]) -> None:
    nested = {f"cell_images/{name}": data for name, data in members.items()}
    for path in (
        write_zip(tmp_path / "cells.zip", members | nested),
        write_folder(tmp_path / "cells", members | nested),
    ):
        assert [cell.name for cell in list_cells(path)] == [n.removeprefix("cell_images/") for n in MEMBERS]


def test_two_crops_of_one_name_that_differ_are_refused(
    tmp_path: Path, members: dict[str, bytes], png: Png
) -> None:
    other = {f"cell_images/{MEMBERS[0]}": png(9) + b"more"}
    for path in (
        write_zip(tmp_path / "cells.zip", members | other),
        write_folder(tmp_path / "cells", members | other),
    ):
        with pytest.raises(
            SourceError, match=r"holds two different files named Parasitized/C100P61.*; rename"
        ):
            list_cells(path)


def test_deleted_crops_are_not_read_and_what_cannot_be_read_is_named(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    more = {
        ".Trash-1000/files/Parasitized/C1_thinF_IMG_1_cell_1.png": b"x",
        "cell_images/Parasitized/C1_thinF_IMG_1_cell_2.webp": b"x",
        "cell_images/Parasitized/Thumbs.db": b"x",
        "cell_images/readme.png": b"x",
        "MANIFEST.csv": b"x",
    }
    for path in (
        write_zip(tmp_path / "cells.zip", members | more),
        write_folder(tmp_path / "cells", members | more),
    ):
        found = list_folders(path)
        assert len(list(found.files)) == len(MEMBERS)
        told = [str(item) for item in found.skipped]
        assert len(told) == 4
        assert "cell_2.webp: this kind of image cannot be read; save it as PNG or JPEG" in told[0]
        assert "cell_images/readme.png: lies beside class folders and in none; move it into one" in told[1]
        assert "(2 entries): hidden, deleted, thumbnails or a system's own (.Trash-1000" in told[2]
        assert "(1 other file): no image (.csv)" in told[3]


def test_stamp_changes_with_any_file(tmp_path: Path, members: dict[str, bytes], png: Png) -> None:
    path = write_folder(tmp_path / "cells", members)
    stamp = list_folders(path).stamp
    assert stamp == list_folders(path).stamp
    write_folder(path, {MEMBERS[2]: png(99) + b"longer"})
    altered = list_folders(path).stamp
    (path / MEMBERS[3]).unlink()
    assert len({stamp, altered, list_folders(path).stamp}) == 3
    zipped = list_folders(write_zip(tmp_path / "cells.zip", members)).stamp
    assert zipped != list_folders(write_zip(tmp_path / "cells.zip", members | {MEMBERS[2]: b"another"})).stamp


def test_truncated_zip(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = write_zip(tmp_path / "cells.zip", members)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"cells\.zip: not a complete zip file.*download it again"):
        list_cells(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_member_is_named(tmp_path: Path, members: dict[str, bytes], compression: int) -> None:
    path = write_zip(tmp_path / "cells.zip", members, compression)
    with zipfile.ZipFile(path) as archive:
        first = archive.getinfo(MEMBERS[0])
    data = bytearray(path.read_bytes())
    start = first.header_offset + 30 + len(MEMBERS[0])
    data[start : start + first.compress_size] = bytes(
        255 - b for b in data[start : start + first.compress_size]
    )
    path.write_bytes(data)
    cell = list_cells(path)[0]
    with pytest.raises(ImageError, match=r"C100P61ThinF_IMG_20150918_144104_cell_162.*damaged inside.*copy"):
        cell.read()


def test_zip_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "cells.zip").write_text("<html>404</html>")
    with pytest.raises(SourceError, match="not a complete zip file"):
        list_cells(tmp_path / "cells.zip")


@pytest.mark.parametrize("stray", [{}, {"1.png": b"beside"}, {"notes.txt": b"no image"}])
def test_no_class_folders(tmp_path: Path, stray: dict[str, bytes]) -> None:
    (tmp_path / "cells").mkdir()
    for path in (write_zip(tmp_path / "cells.zip", stray), write_folder(tmp_path / "cells", stray)):
        with pytest.raises(SourceError, match=r"no class folders; expected .* as cells/uninfected/1\.png"):
            list_cells(path)


def test_any_folders_are_classes_and_any_image_is_a_crop(tmp_path: Path) -> None:
    names = ("train/Infected/a.JPG", "test/infected/b.tif", "train/RBC/7.bmp", "train/platelet/8.jpeg")
    found = list_folders(write_folder(tmp_path, {f"data/{name}": name.encode() for name in names}))
    assert set(found.classes) == {"infected", "rbc", "platelet"}
    assert [(file.name, file.label, file.patient, file.read()) for file in found.files] == [
        ("Infected/a.JPG", "infected", "", b"train/Infected/a.JPG"),
        ("RBC/7.bmp", "rbc", "", b"train/RBC/7.bmp"),
        ("infected/b.tif", "infected", "", b"test/infected/b.tif"),
        ("platelet/8.jpeg", "platelet", "", b"train/platelet/8.jpeg"),
    ]


def test_name_without_patient_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = write_zip(tmp_path / "cells.zip", members | {"cell_images/Uninfected/IMG_7.png": b""})
    with pytest.raises(SourceError, match=r"IMG_7\.png: no patient in the name, as other files have it"):
        list_cells(path)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("C33P1thinF_IMG_20150619_114756a_cell_179.png", "C33P1"),
        ("C39P4thinF_original_IMG_20150622_105253_cell_105.png", "C39P4"),
        ("C5NThinF_IMG_20150609_121955_cell_171.png", "C5"),
        ("C236ThinF_IMG_20151127_102428_cell_113.png", "C236"),
        ("C47P8thinF_Original_Motic_cell_2.png", "C47P8"),
    ],
)
def test_patients_of_real_names(name: str, patient: str) -> None:
    assert patient_of(name) == patient


@given(
    clinic=st.integers(1, 999),
    letter=st.sampled_from(["", "A", "B"]),
    patient=st.integers(1, 999),
    slide=st.sampled_from(["N", "N_", "Re", "AP", "thinF", "ThinF", "_ThinF", "NThinF"]),
    cell=st.integers(0, 999),
)
def test_patient_does_not_depend_on_slide_or_cell(
    clinic: int, letter: str, patient: int, slide: str, cell: int
) -> None:
    name = f"C{clinic}{letter}P{patient}{slide}_IMG_20150813_131541_cell_{cell}.png"
    assert patient_of(name) == f"C{clinic}{letter}P{patient}"


@given(st.text().filter(lambda text: not text.startswith("C")))
def test_no_patient_where_the_name_begins_otherwise(name: str) -> None:
    with pytest.raises(SourceError, match="no patient in the name"):
        patient_of(name)


def test_a_pattern_finds_the_patients_of_any_names() -> None:
    names = ["slide_7-a.jpg", "slide_12-b.jpg"]
    assert patients_of(names, r"slide_(\d+)-", "here") == ["7", "12"]
    assert patients_of(names, None, "here") == ["", ""]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"(\d+", r"--patient-pattern '\(\\d\+': no regular expression"),
        (r"\d+", "0 groups; expected one, around the patient"),
        (r"(s)(l)", "2 groups; expected one"),
        (r"slide_(\d+)", r"here: b7\.jpg: --patient-pattern .* finds no patient in this name"),
        (r"(x*)", r"here: slide_1\.jpg: --patient-pattern .* finds no patient"),
    ],
)
def test_a_pattern_that_finds_no_patient_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        patients_of(["slide_1.jpg", "b7.jpg"], pattern, "here")


NIH_CELLS = Path(__file__).parents[4] / "shared" / "data" / "nih-cells.zip"


@pytest.mark.real
@pytest.mark.skipif(not NIH_CELLS.exists(), reason="../shared/data/nih-cells.zip is not here")
def test_real_archive_is_read_as_its_own_list_says() -> None:
    with zipfile.ZipFile(NIH_CELLS) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("MANIFEST.csv"))))
    listed = {row["path"].removeprefix("cell_images/"): row for row in rows}
    found = list_cells(NIH_CELLS)
    assert [cell.name for cell in found] == sorted(listed)
    assert len({cell.patient for cell in found}) == 116
    for cell in found:
        row = listed[cell.name]
        assert cell.label == row["label"].lower()
        assert row["patient_id"].startswith(cell.patient)
    for cell in found[::500]:
        assert hashlib.sha256(cell.read()).hexdigest() == listed[cell.name]["sha256"]
