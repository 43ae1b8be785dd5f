"""The layout of the NIH archive, as zip and as folder, whole and broken."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import SourceError
from training.cells.archive import list_cells, not_read, patient_of
from training.cells.listing import stamp_of

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


def test_deleted_crops_are_not_read_and_images_of_other_kinds_are_named(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    more = {
        ".Trash-1000/files/Parasitized/C1_thinF_IMG_1_cell_1.png": b"x",
        "cell_images/Parasitized/C1_thinF_IMG_1_cell_2.jpg": b"x",
        "cell_images/Parasitized/Thumbs.db": b"x",
    }
    for path in (
        write_zip(tmp_path / "cells.zip", members | more),
        write_folder(tmp_path / "cells", members | more),
    ):
        assert len(list_cells(path)) == len(MEMBERS)
        assert [(item.name, item.reason) for item in not_read(path)] == [
            (
                "cell_images/Parasitized/C1_thinF_IMG_1_cell_2.jpg",
                "no PNG, as the crops of the archive are; convert it",
            )
        ]


def test_stamp_changes_with_any_file(tmp_path: Path, members: dict[str, bytes], png: Png) -> None:
    stamp = stamp_of(list_cells(write_zip(tmp_path / "one.zip", members)))
    assert stamp == stamp_of(list_cells(write_zip(tmp_path / "same.zip", members, zipfile.ZIP_STORED)))
    altered = members | {MEMBERS[2]: png(99)}
    assert stamp != stamp_of(list_cells(write_zip(tmp_path / "altered.zip", altered)))
    fewer = dict(list(members.items())[1:])
    assert stamp != stamp_of(list_cells(write_zip(tmp_path / "fewer.zip", fewer)))


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
    with pytest.raises(SourceError, match=r"C100P61ThinF_IMG_20150918_144104_cell_162.*damaged; download"):
        cell.read()


def test_zip_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "cells.zip").write_text("<html>404</html>")
    with pytest.raises(SourceError, match="not a complete zip file"):
        list_cells(tmp_path / "cells.zip")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder; give the NIH archive"):
        list_cells(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("kept", "missing"),
    [((), "Uninfected or Parasitized"), (MEMBERS[:2], "Uninfected"), (MEMBERS[2:], "Parasitized")],
)
def test_wrong_layout(tmp_path: Path, members: dict[str, bytes], kept: tuple[str, ...], missing: str) -> None:
    some = {name: members[name] for name in kept} | {"photos/C1P1_cat.png": b"no cell"}
    for path in (write_zip(tmp_path / "cells.zip", some), write_folder(tmp_path / "cells", some)):
        with pytest.raises(SourceError, match=f"no PNG below a folder named {missing}; expected"):
            list_cells(path)


def test_name_without_patient_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = write_zip(tmp_path / "cells.zip", members | {"cell_images/Uninfected/IMG_7.png": b""})
    with pytest.raises(SourceError, match=r"IMG_7\.png: no patient in the name"):
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
