"""Crops that a CSV lists, with what is said of each: path,label[,patient][,reread]."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from edge_runtime.errors import SourceError
from edge_runtime.sources.folders import file_reader
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.sources.names import SUFFIXES, printable, suffix_of
from edge_runtime.sources.rows import Row, read_rows
from training.cells.archive import patients_of
from training.cells.classes import class_name
from training.cells.listing import CellFile, Listing, stamp_of


def list_table(path: Path, pattern: str | None = None) -> Listing:
    """The crops that a CSV lists, in the order of their paths.

    Args:
        path: a CSV with the columns path (from the CSV's own folder) and label, and perhaps patient and
            reread (a second reading's label, empty where nobody read again).
        pattern: see `patients_of`; for a CSV without a column of patients.

    Raises:
        SourceError: a line that cannot be meant; its number and the expected form are told.
    """
    rows, unread = read_rows(path, ("path", "label"), ("patient", "reread"))
    rows = sorted(rows, key=lambda row: row.values["path"])
    lines: dict[str, int] = {}
    for row in rows:
        name = _name(row)
        if lines.setdefault(name, row.line) != row.line:
            raise SourceError(f"{path}, line {row.line}: {name} stands in line {lines[name]} as well")
    files = [
        CellFile(
            name=_name(row),
            label=class_name(row.values["label"]),
            patient=patient,
            stamp=_stamp(path, row),
            read=file_reader(path.parent / _where(row)),
            reread=class_name(row.values["reread"]),
        )
        for row, patient in zip(rows, _patients(path, rows, pattern), strict=True)
    ]
    skipped = [SkippedFrame(f"{path}, column {name or '(no name)'}", "not read") for name in unread]
    return Listing(
        source=str(path.resolve()),
        classes=tuple({file.label for file in files}),
        files=files,
        stamp=stamp_of(files),
        skipped=tuple(skipped),
        rereads={
            class_name(row.values["reread"]): f"{path}, line {row.line}"
            for row in reversed(rows)
            if row.values["reread"]
        },
    )


def _name(row: Row) -> str:
    return printable(_where(row).as_posix())


def _where(row: Row) -> PurePosixPath:
    """The path as written, by people with Windows too."""
    return PurePosixPath(row.values["path"].replace("\\", "/"))


def _stamp(path: Path, row: Row) -> str:
    """Of an image that is there, and of a kind that can be read."""
    where = str(_where(row))
    file = path.parent / where
    if not file.is_file():
        raise SourceError(
            f"{path}, line {row.line}: {where}: no such file; expected a path from the folder of the CSV"
        )
    if suffix_of(where) not in SUFFIXES:
        raise SourceError(f"{path}, line {row.line}: {where}: expected an image ({', '.join(SUFFIXES)})")
    status = file.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def _patients(path: Path, rows: Sequence[Row], pattern: str | None) -> list[str]:
    """By the column if there is one, else by the names."""
    told = [row.values["patient"] for row in rows]
    if not any(told):
        return patients_of([PurePosixPath(_name(row)).name for row in rows], pattern, str(path))
    for row in rows:
        if not row.values["patient"]:
            raise SourceError(
                f"{path}, line {row.line}: no patient, though other lines have one; fill in all, or none"
            )
    return told
