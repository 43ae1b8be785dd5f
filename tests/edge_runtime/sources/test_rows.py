"""CSV files that say something of other files, which need not be called as they are here."""

from pathlib import Path

import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources.rows import rows_of_files

NAMES = ("slides/a/1.png", "slides/a/2.png", "slides/b/1.png")


def written(folder: Path, *lines: str) -> Path:
    (folder / "list.csv").write_text("\n".join(("path,size", *lines)))
    return folder / "list.csv"


@pytest.mark.parametrize("path", ["2.png", "a/2.png", "slides/a/2.png", "/mnt/slides/a/2.png", "a\\2.png"])
def test_a_path_may_begin_above_or_below_the_name(path: str, tmp_path: Path) -> None:
    found = rows_of_files(written(tmp_path, "b/1.png,0.9", f"{path},1.2"), "size", NAMES)
    assert {number: (row.line, row.values["size"]) for number, row in found.items()} == {
        2: (2, "0.9"),
        1: (3, "1.2"),
    }


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["1.png,1"], r"list.csv, line 2: 1.png stands for 2 files; name each file once"),
        (["2.png,1", "a/2.png,1"], r"list.csv, line 3: a/2.png was listed before; name each file once"),
        (["3.png,1"], "list.csv: lists none of the 3 files"),
        (["c/2.png,1"], "list.csv: lists none of the 3 files"),
        (["2.png,"], "list.csv, line 2: no size; expected path,size"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(lines: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=told):
        rows_of_files(written(tmp_path, *lines), "size", NAMES)
