"""Two versions' outputs are compared cell by cell; what was only renamed is no difference."""

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge_runtime.errors import CheckFailedError, SourceError
from scripts import compare_versions
from scripts.compare_versions import (
    FRAMES,
    ONE_SIDED,
    Verdict,
    Version,
    check_imports,
    check_out,
    compare_verdicts,
    report,
    sample,
    unpack_frames,
    verdicts_of_record,
    verdicts_of_scores,
)

ACCEPTED = Verdict("uninfected", rejected=False, reason="")
FAINT = Verdict("uninfected", rejected=True, reason="faint")


def line(path: str, reason: str, **more: Any) -> str:
    return json.dumps(
        {"path": path, "label": "uninfected", "rejected": bool(reason), "reason": reason, **more}
    )


def record(file: Path, *cells: tuple[Any, ...]) -> Path:
    """A record of one frame with the columns that both versions have."""
    with closing(sqlite3.connect(file)) as made, made:
        made.execute("CREATE TABLE field (number INTEGER PRIMARY KEY, name TEXT, width INTEGER)")
        made.execute("CREATE TABLE cell (field, number, x, y, width, height, status, reason, label)")
        made.execute("INSERT INTO field VALUES (1, '/somewhere/frame.jpg', 900)")
        made.executemany("INSERT INTO cell VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", cells)
    return file


def test_old_names_of_reasons_are_read_as_the_new_ones() -> None:
    old = [line("a.png", ""), line("b.png", "unsteady", steadiness=-1.0), line("c.png", "unsure")]
    new = [line("a.png", ""), line("b.png", "unstable", tests={}), line("c.png", "suspect")]
    assert compare_verdicts(verdicts_of_scores(old), verdicts_of_scores(new)).none


@pytest.mark.parametrize(
    ("ours", "kinds"),
    [
        (Verdict("parasitized", rejected=False, reason=""), ["label"]),
        (FAINT, ["rejected", "reason"]),
        (Verdict("uninfected", rejected=False, reason="", status="uninfected"), ["status"]),
    ],
)
def test_each_kind_of_difference_is_told(ours: Verdict, kinds: list[str]) -> None:
    differences = compare_verdicts({"a": ACCEPTED, "b": FAINT}, {"a": ours, "b": FAINT})
    assert [kind for kind, lines in differences.found.items() if lines] == kinds
    assert not differences.none
    assert differences.compared == 2


def test_another_reason_alone_is_a_difference() -> None:
    far = Verdict("uninfected", rejected=True, reason="far-from-training")
    found = compare_verdicts({"a": FAINT}, {"a": far}).found
    assert found["reason"] == ("a: reason 'faint' -> 'far-from-training'",)
    assert not found["rejected"]


def test_cells_of_one_version_only_and_no_cells_at_all_are_not_the_same() -> None:
    one_more = compare_verdicts({"a": FAINT}, {"a": FAINT, "b": FAINT})
    assert one_more.found[ONE_SIDED] == (f"b: {ONE_SIDED}",)
    assert not one_more.none
    assert not compare_verdicts({}, {}).none


def test_records_are_compared_by_frame_and_box(tmp_path: Path) -> None:
    same = (1, 10, 20, 30, 40, "uninfected", "", "uninfected")
    theirs = verdicts_of_record(
        record(
            tmp_path / "old.sqlite",
            same,
            (2, 50, 60, 30, 40, "rejected", "unsteady", "parasitized"),
            (3, 90, 60, 30, 40, "not-judged", "edge", ""),
        )
    )
    ours = verdicts_of_record(
        record(
            tmp_path / "new.sqlite",
            (2, 10, 20, 30, 40, "uninfected", "", "uninfected"),
            (1, 50, 60, 30, 40, "rejected", "unstable", "parasitized"),
            (3, 91, 60, 30, 40, "not-judged", "edge", ""),
        )
    )
    differences = compare_verdicts(theirs, ours)
    assert theirs["frame.jpg (50, 60, 30, 40)"] == Verdict("parasitized", True, "unstable", "rejected")  # noqa: FBT003
    assert differences.compared == 2
    assert {kind: len(lines) for kind, lines in differences.found.items() if lines} == {ONE_SIDED: 2}


def test_the_first_few_of_many_differences_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{number}.png" for number in range(8)]
    differences = compare_verdicts(dict.fromkeys(names, ACCEPTED), dict.fromkeys(names, FAINT))
    assert not report("crops", differences)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        f"8 crops compared; that differ: {ONE_SIDED}: 0, label: 0, rejected: 8, reason: 8, status: 0"
    )
    assert printed[1] == "  0.png: rejected False -> True"
    assert printed.count("  … and 3 more") == 2


def test_a_revision_is_written_to_a_folder_and_imported_from_there(tmp_path: Path) -> None:
    root = check_out("HEAD", tmp_path / "old")
    assert (root / "edge_runtime" / "cli.py").is_file()
    check_imports(Version("HEAD", root))
    with pytest.raises(CheckFailedError, match=r"Python imports .*expected one in"):
        check_imports(Version("elsewhere", tmp_path))


def test_an_unknown_revision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no-such-revision: .*give a commit, tag or branch"):
        check_out("no-such-revision", tmp_path / "old")


def test_a_sample_is_spread_over_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for number in range(10):
            archive.writestr(f"cell_images/Uninfected/{number}.png", str(number))
    folder = sample(tmp_path / "cells.zip", 4, tmp_path / "some")
    assert [file.name for file in sorted(folder.iterdir())] == [
        "00000-0.png",
        "00001-2.png",
        "00002-5.png",
        "00003-7.png",
    ]
    assert (folder / "00003-7.png").read_text() == "7"
    assert len(list(sample(tmp_path / "cells.zip", 40, tmp_path / "all").iterdir())) == 10


def test_only_the_frames_of_the_smears_are_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "fields.zip", "w") as archive:
        for name in (f"{FRAMES}1.jpg", f"{FRAMES}readme.txt", "fields/bccd/frames/2.jpg"):
            archive.writestr(name, name)
    folder = unpack_frames(tmp_path / "fields.zip", tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").rglob("*") if file.is_file()] == ["1.jpg"]
    assert (folder / "1.jpg").is_file()


def test_the_command_ends_with_1_where_a_cell_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With versions that print what they are told to, in place of processes."""
    printed = {"old": line("a.png", "unsure"), "this checkout": line("a.png", "suspect")}

    def run(self: Version, *_arguments: object) -> str:
        return printed.get(self.name, printed["old"]) + "\n"

    monkeypatch.setattr(Version, "run", run)
    monkeypatch.setattr(compare_versions, "check_out", lambda _revision, folder: folder)
    monkeypatch.setattr(compare_versions, "check_imports", lambda _version: None)
    arguments = ["compare", "--against", "v1", "--cells", str(tmp_path)]
    same = CliRunner().invoke(compare_versions.main, arguments)
    assert (same.exit_code, same.stdout.startswith("1 crops compared")) == (0, True)
    printed["this checkout"] = line("a.png", "faint")
    other = CliRunner().invoke(compare_versions.main, arguments)
    assert (other.exit_code, "a.png: reason 'suspect' -> 'faint'" in other.stdout) == (1, True)
