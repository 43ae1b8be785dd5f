"""Files that appear whole or not at all, whatever fails while they are written."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edge_runtime.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def explain(error: OSError) -> str:
    """One line for a failure of the file system: what failed, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _FULL:
        return f"{where}the disk is full; free some space and run the same command again"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{where}permission denied; choose another folder or change its permissions"
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return f"{where}a file stands where a folder is needed; choose another path"
    return f"{where}{error.strerror or error}"


@contextmanager
def whole_file(path: Path, *, otherwise: Callable[[str], str] | None = None) -> Iterator[BinaryIO]:
    """A file to write to, which has its name only once all of it is on the disk.

    Until then, and for good if writing fails in any way, a file that was there before is untouched.

    Args:
        path: of the file; its folder must be there.
        otherwise: what to tell if it cannot be written, by the reason; the usual advice if None.

    Raises:
        StorageError: the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)  # noqa: PTH105 - atomic, and the same on every system
    except OSError as error:
        _remove(unfinished)
        told = otherwise(error.strerror or str(error)) if otherwise else _usual(error)
        raise StorageError(f"{path}: {told}") from error
    except BaseException:
        _remove(unfinished)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which has its name only once everything in it is written.

    Args:
        path: of the folder; it must not exist, or be empty.

    Raises:
        StorageError: it holds something, or cannot be made.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StorageError(f"{path}: not an empty folder; choose another one")
    unfinished = path.with_name(f"{path.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was cut off
        unfinished.mkdir(parents=True)
        yield unfinished
        if path.exists():
            path.rmdir()
        unfinished.rename(path)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StorageError(f"{path}: {_usual(error)}") from error
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def write_whole(path: Path, content: bytes | str, *, otherwise: Callable[[str], str] | None = None) -> None:
    """Write a file, whole or not at all (see `whole_file`); a text in UTF-8.

    Raises:
        StorageError: the file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with whole_file(path, otherwise=otherwise) as file:
        file.write(data)


def _usual(error: OSError) -> str:
    """What `explain` says, without the name of the unfinished file."""
    return explain(OSError(error.errno, error.strerror or str(error)))


def _remove(file: Path) -> None:
    with suppress(OSError):  # of a disk that fails, the first failure is the one to tell
        file.unlink()
