"""A second reading of cells: which cells it is of, what it says, and what it is refused for."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import SourceError
from training.cells.source import CellSet, CellSource

Png = Callable[[int], bytes]

NAMES = (
    "Parasitized/C1P1_IMG_1_cell_1.png",
    "Parasitized/C1P1_IMG_1_cell_2.png",
    "Uninfected/C1P1_IMG_1_cell_3.png",
    "Uninfected/C2P2_IMG_1_cell_4.png",
)


@pytest.fixture
def source(tmp_path: Path, png: Png) -> CellSource:
    for number, name in enumerate(NAMES):
        (tmp_path / "cells" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cells" / name).write_bytes(png(number))
    return CellSource((str(tmp_path / "cells"),), tmp_path / "cache", tmp_path / "second.csv")


def load(source: CellSource, *lines: str, header: str = "path,reread_label") -> CellSet:
    assert source.reread is not None
    source.reread.write_text("\n".join([header, *lines]) + "\n")
    return source.load(InputSpec(size=24))


def test_without_a_second_reading_all_cells_agree(source: CellSource) -> None:
    found = replace(source, reread=None).load(InputSpec(size=24))
    assert found.reread.tolist() == found.labels.tolist() == [1, 1, 0, 0]
    assert found.agreed.all()
    assert found.classes == ("uninfected", "parasitized")
    assert found.infected.tolist() == [True, True, False, False]
    assert found.healthy.tolist() == [False, False, False, True]


def test_a_list_of_those_that_differ_leaves_the_others(source: CellSource) -> None:
    found = load(
        source,
        f"/elsewhere/cell_images/{NAMES[1]},1,Uninfected",
        f"{NAMES[3]},0, PARASITIZED ",
        header="path,note,reread_label",
    )
    assert found.labels.tolist() == [1, 1, 0, 0]
    assert found.reread.tolist() == [1, 0, 0, 1]
    assert found.agreed.tolist() == [True, False, True, False]
    # Who is healthy, the first reading says.
    assert found.healthy.tolist() == [False, False, False, True]


def test_a_path_may_be_no_more_than_the_files_name(source: CellSource) -> None:
    found = load(
        source, "C1P1_IMG_1_cell_2.png,Uninfected", r"x\Uninfected\C1P1_IMG_1_cell_3.png,Parasitized"
    )
    assert found.reread.tolist() == [1, 0, 1, 0]


def test_of_several_sources_the_whole_path_tells_which_is_meant(source: CellSource, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "cells", tmp_path / "again")
    both = replace(source, where=(*source.where, str(tmp_path / "again")))
    found = load(both, f"2/{NAMES[0]},Uninfected")
    assert found.agreed.tolist() == [True] * 4 + [False] + [True] * 3
    with pytest.raises(SourceError, match=r"line 2: .*cell_1\.png stands for several cells; name each"):
        load(both, f"{NAMES[0]},Uninfected")


def test_what_was_said_of_the_cells_has_a_digest(source: CellSource) -> None:
    once, again = (load(source, f"{NAMES[1]},Uninfected") for _ in range(2))
    other = load(source, f"{NAMES[2]},Parasitized")
    assert once.labels_digest == again.labels_digest != other.labels_digest
    assert once.digest == other.digest
    # A list of what is so anyway says nothing.
    assert load(source, f"{NAMES[0]},Parasitized").labels_digest == (
        replace(source, reread=None).load(InputSpec(size=24)).labels_digest
    )


def test_paths_of_other_patients_are_counted_and_told(
    source: CellSource, capsys: pytest.CaptureFixture[str]
) -> None:
    load(source, f"{NAMES[0]},Uninfected", "Parasitized/C9P9_a.png,Uninfected", "C8.png,Uninfected")
    told = capsys.readouterr().err
    assert "second.csv: 2 of its paths are no cells of these, Parasitized/C9P9_a.png the first" in told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["C9.png,Uninfected"], "second.csv: lists none of the 4 cells"),
        (
            [f"{NAMES[0]},platelet"],
            "second.csv, line 2: no class 'platelet'; expected one of uninfected, parasitized",
        ),
        (
            [f"{NAMES[0]},Uninfected", "", f"x/{NAMES[0]},Parasitized"],
            "second.csv, line 4: .* was listed before with another label",
        ),
        ([f"{NAMES[0]},"], "second.csv, line 2: no reread_label; expected path,reread_label"),
        ([f"{NAMES[0]},a,b"], "second.csv, line 2: 3 values in 2 columns; expected path,reread_label"),
        ([f'{NAMES[0]},"a'], "second.csv: cannot be read as CSV"),
        ([], "second.csv: has no line below its header; expected path,reread_label"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(source: CellSource, lines: list[str], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        load(source, *lines)


def test_columns_of_other_names_are_refused(source: CellSource) -> None:
    with pytest.raises(SourceError, match="line 1: found the columns file,label; expected path,reread_label"):
        load(source, "a,b", header="file,label")


def test_a_list_that_is_not_there_is_named(source: CellSource, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.csv: cannot be read as CSV"):
        replace(source, reread=tmp_path / "none.csv").load(InputSpec(size=24))


REREAD = Path(__file__).parents[4] / "shared" / "data" / "nih-reread.csv"


@pytest.mark.real
@pytest.mark.skipif(not REREAD.exists(), reason="../shared/data/nih-reread.csv is not here")
def test_the_real_list_is_of_cells_of_the_real_archive() -> None:
    from training.cells.folders import list_folders  # noqa: PLC0415
    from training.cells.rereading import reread_labels  # noqa: PLC0415

    classes = ("uninfected", "parasitized")
    files = list(list_folders(REREAD.with_name("nih-cells.zip")).files)
    labels = np.array([classes.index(file.label) for file in files])
    found = reread_labels(REREAD, [file.name for file in files], classes, labels)
    assert (found != labels).sum() == 820
