"""`cellgate export`: a slide that was read, for each of the programs, from the command line."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from exchange_samples import CELLS, calls_of, field, long_slide

from edge_runtime.exchange.document import write_document
from edge_runtime.exchange.relabel import LABELS
from edge_runtime.exchange.tables import write_tables
from edge_runtime.record.slide_record import SlideRecord


@pytest.fixture
def folder(
    recorded: Callable[..., Path],
) -> Path:
    """A slide that a person has reviewed."""
    calls = calls_of((1, 1, "parasite"), (1, 20, "none"), (2, 1, "cannot-tell"))
    return recorded(*long_slide(10), calls=calls).parent


@pytest.mark.parametrize("form", ["csv", "json", "fhir", "relabel"])
def test_each_form(folder: Path, cellgate: Callable[..., Result], tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    done = cellgate("export", folder, "--to", form, "--out", out)
    assert done.exit_code == 0
    assert str(out) in done.stdout
    assert out.is_dir() == (form in {"csv", "relabel"})
    if form == "relabel":
        lines = done.stdout.splitlines()
        assert [line.split(maxsplit=1) for line in lines[:3]] == [
            ["1", "parasitized"],
            ["1", "uninfected"],
            ["1", "left out: the reviewer could not tell"],
        ]
        assert (out / LABELS).is_file()
    elif form == "csv":
        assert "S-17: PARASITES SEEN, 3 cells reviewed" in done.stdout
    else:
        assert json.loads(out.read_text())


def test_a_folder_that_was_not_read(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert "no slide record" in refusal("export", tmp_path, "--to", "json", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(folder: Path, refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for form in ("csv", "json", "fhir", "relabel"):
        assert str(tmp_path / "file" / "out") in refusal(
            "export", folder, "--to", form, "--out", tmp_path / "file" / "out"
        )


def test_a_file_that_is_there_is_replaced_and_a_folder_that_holds_something_is_not(
    folder: Path, cellgate: Callable[..., Result], refusal: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "slide.json").write_text("old")
    assert cellgate("export", folder, "--to", "json", "--out", tmp_path / "slide.json").exit_code == 0
    assert json.loads((tmp_path / "slide.json").read_text())["slide"]["slide"] == "S-17"
    assert "not an empty folder" in refusal("export", folder, "--to", "csv", "--out", folder)


@pytest.mark.parametrize("write", [write_tables, write_document])
def test_a_long_slide_is_written_a_field_at_a_time(
    recorded: Callable[..., Path], tmp_path: Path, write: Callable[[SlideRecord, Path], object]
) -> None:
    """Of 40 fields no more stands in memory than of 10."""
    big = replace(CELLS["parasitized"], crop=bytes(20_000))
    with SlideRecord.open(recorded(*(field(number, *[big] * 10) for number in range(1, 41)))) as record:
        tracemalloc.start()
        write(record, tmp_path / "out")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 40 * 10 * 20_000 / 4
