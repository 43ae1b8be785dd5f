"""A CSV of crops: what it says of them, and that every wrong line is shown with the expected form."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import SourceError
from training.cells.source import CellSet, CellSource
from training.cells.table import list_table

Png = Callable[[int], bytes]


@pytest.fixture
def write(tmp_path: Path, png: Png) -> Callable[..., Path]:
    """Write cells.csv beside three crops."""
    (tmp_path / "crops").mkdir()
    for number in range(3):
        (tmp_path / "crops" / f"{number}.png").write_bytes(png(number))
    (tmp_path / "crops" / "notes.txt").write_text("none")

    def write(*lines: str, name: str = "cells.csv") -> Path:
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path / name

    return write


def load(path: Path, *more: Path, parasitized: tuple[str, ...] = ()) -> CellSet:
    source = CellSource((str(path), *map(str, more)), path.parent / "cache", parasitized=parasitized)
    return source.load(InputSpec(size=24))


def test_a_list_says_class_patient_and_second_reading(write: Callable[..., Path]) -> None:
    path = write(
        "Path, LABEL,reread,patient",
        "crops/1.png,Infected,,A",
        'crops/0.png,"negative",infected,B',
        "",
        r"crops\2.png,Negative,negative,A",
    )
    found = load(path)
    assert found.names == ("crops/0.png", "crops/1.png", "crops/2.png")
    assert found.classes == ("negative", "infected")
    assert found.parasitized == ("infected",)
    assert found.labels.tolist() == [0, 1, 0]
    assert found.reread.tolist() == [1, 1, 0]
    assert found.patients == ("B", "A", "A")
    assert found.healthy.tolist() == [True, False, False]


def test_without_patients_nobody_is_healthy(write: Callable[..., Path]) -> None:
    found = load(write("path,label", "crops/0.png,infected", "crops/1.png,uninfected"))
    assert found.patients == ("", "")
    assert not found.healthy.any()


def test_columns_that_are_not_read_are_named(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    load(write("path,label,stain", "crops/0.png,infected,1", "crops/1.png,rbc,2"))
    assert "cells.csv, column stain: not read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["file,label"], r"cells.csv, line 1: found the columns file,label; expected path,label\[,patient\]"),
        (["path,label,label"], "line 1: found the columns path,label,label; expected path,label"),
        (["path,label"], "cells.csv: has no line below its header"),
        (["path,label", "crops/0.png"], "line 2: 1 values in 2 columns; expected path,label"),
        (["path,label", "crops/0.png, "], "line 2: no label; expected path,label"),
        (
            ["path,label", "crops/9.png,a"],
            "line 2: crops/9.png: no such file; expected a path from",
        ),
        (["path,label", "crops/notes.txt,a"], "line 2: crops/notes.txt: expected an image"),
        (["path,label", "crops/0.png,a", "./crops/0.png,b"], "crops/0.png stands in line . as well"),
        (
            ["path,label,patient", "crops/0.png,a,P", "crops/1.png,b,"],
            "line 3: no patient, though other lines have one",
        ),
        (
            ["path,label,reread", "crops/0.png,infected,", "crops/1.png,rbc,ring"],
            "cells.csv, line 3: reread as 'ring', which is no class; expected one of rbc, infected",
        ),
        (["path,label", "crops/0.png,infected"], "cells of infected; at least two classes are needed"),
        (
            ["path,label", "crops/0.png,a", "crops/1.png,b"],
            "the classes are a, b, and none of them would count as parasitized; say which do",
        ),
        (
            ["path,label", "crops/0.png,ring", "crops/1.png,Schizont"],
            "the classes are ring, schizont, and all of them would count as parasitized",
        ),
        (
            ["path,label", "crops/0.png,infected", "crops/1.png,rejected"],
            "no class can be called 'rejected'; choose a short name",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(write: Callable[..., Path], lines: list[str], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        load(write(*lines))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(SourceError, match=r"cells\.csv: cannot be read as CSV .*; expected path,label"):
        list_table(tmp_path / "cells.csv")


def test_which_classes_count_as_parasitized_can_be_said(write: Callable[..., Path]) -> None:
    path = write("path,label", "crops/0.png,b", "crops/1.png,a", "crops/2.png,C")
    found = load(path, parasitized=("A", "b"))
    assert found.classes == ("c", "a", "b")
    assert found.parasitized == ("a", "b")
    assert found.infected.tolist() == [True, True, False]
    with pytest.raises(SourceError, match="no cells of d; choose --parasitized among the classes a, b, c"):
        load(path, parasitized=("d",))


def test_several_sources_are_one_set(write: Callable[..., Path]) -> None:
    one = write("path,label,patient", "crops/0.png,infected,A", "crops/1.png,uninfected,B")
    two = write("path,label,reread", "crops/0.png,platelet,infected", name="more.csv")
    found = load(one, two)
    assert found.names == ("1/crops/0.png", "1/crops/1.png", "2/crops/0.png")
    assert found.classes == ("platelet", "uninfected", "infected")
    assert found.labels.tolist() == [2, 1, 0]
    assert found.reread.tolist() == [2, 1, 2]
    assert found.patients == ("A", "B", "")
    assert found.sources == (str(one), str(two))
    with pytest.raises(SourceError, match="named twice; name each source of cells once"):
        load(one, one)
