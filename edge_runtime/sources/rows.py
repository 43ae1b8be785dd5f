"""CSV files that people write, read strictly: every refusal shows the line and the expected form."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_runtime.errors import SourceError


@dataclass(frozen=True)
class Row:
    """One line of a CSV.

    Attributes:
        line: its number, 1 is the header.
        values: by the name of the column, in small letters, without space around; every column that was asked
            for, "" where it is absent or empty.
    """

    line: int
    values: dict[str, str]


def read_rows(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> tuple[list[Row], list[str]]:
    """Read a CSV with a header.

    Args:
        path: the file, UTF-8.
        required: columns that must be there, and have a value in every line.
        optional: columns that may be there.

    Returns:
        The lines below the header, empty ones left out; and the names of the columns that were not read.

    Raises:
        SourceError: it cannot be read, a column or a value is missing, or a line has too many values.
    """
    expected = f"expected {','.join(required)}" + "".join(f"[,{name}]" for name in optional)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, values) for values in reader if any(map(str.strip, values))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read as CSV ({error}); {expected}") from error
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    if not set(required) <= set(header) or len(set(header)) < len(header):
        raise SourceError(f"{path}, line 1: found the columns {','.join(header) or 'none'}; {expected}")
    rows = []
    for line, values in lines[1:]:
        if len(values) != len(header):
            raise SourceError(
                f"{path}, line {line}: {len(values)} values in {len(header)} columns; {expected}, and "
                "quotes around a value that holds a comma"
            )
        found = dict(zip(header, map(str.strip, values), strict=True))
        for name in required:
            if not found[name]:
                raise SourceError(f"{path}, line {line}: no {name}; {expected}")
        rows.append(Row(line, {name: found.get(name, "") for name in (*required, *optional)}))
    if not rows:
        raise SourceError(f"{path}: has no line below its header; {expected}")
    return rows, [name for name in header if name not in {*required, *optional}]


def rows_of_files(path: Path, column: str, names: Sequence[str]) -> dict[int, Row]:
    """What a CSV with the columns path and `column` says of files.

    Args:
        path: the CSV. Its paths may begin above or below where the names begin, as long as one ends with the
            other.
        column: must have a value in every line.
        names: of N files.

    Returns:
        The line of every file that is listed, by the file's number.

    Raises:
        SourceError: the CSV cannot be read, lists none of the files or one twice, or a path stands for more
            than one.
    """
    by_file: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        by_file.setdefault(PurePosixPath(name).name, []).append(number)
    found: dict[int, Row] = {}
    for row in read_rows(path, ("path", column))[0]:
        where = PurePosixPath(row.values["path"].replace("\\", "/"))
        meant = [
            number for number in by_file.get(where.name, []) if _same_end(where, PurePosixPath(names[number]))
        ]
        if len(meant) > 1 or (meant and meant[0] in found):
            what = f"stands for {len(meant)} files" if len(meant) > 1 else "was listed before"
            raise SourceError(f"{path}, line {row.line}: {where} {what}; name each file once")
        found |= dict.fromkeys(meant, row)
    if not found:
        raise SourceError(f"{path}: lists none of the {len(names)} files; give the list of these files")
    return found


def _same_end(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether the shorter of two paths is the end of the longer one."""
    parts = min(len(one.parts), len(other.parts))
    return one.parts[-parts:] == other.parts[-parts:]
