"""SQLite files of a device: on the disk when they say so, and readable wherever they lie."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_runtime.errors import SourceError, StorageError

PATIENCE = 120.0  # seconds to wait for another program that holds the record
_KEPT = "fields recorded before are kept, and it goes on behind them"
_PATIENCE_AT_THE_END = 5.0  # seconds; what is waited for then can be done later as well


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Keep every other process that reads a slide into this folder out, until this one ends, however it ends.

    Raises:
        SourceError: another one does.
    """
    if sys.platform == "win32":  # knows no lock that ends with its process; devices run Linux
        yield
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # SQLite will say what is wrong with it
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SourceError(
                f"{folder}: another program reads a slide into it; wait for its end, or choose another --out"
            ) from error
        except OSError:  # some network drives have no locks; SQLite still keeps the record whole
            pass
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of files to the disk: a file whose name is lost is lost."""
    with suppress(OSError):  # not every system lets a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def connect(path: Path) -> sqlite3.Connection:
    """Open a file to write: what is committed is on the disk, even if the power fails."""
    connection = sqlite3.connect(path, timeout=PATIENCE)
    _keep_a_log(connection)
    return connection


def connect_briefly(path: Path) -> sqlite3.Connection:
    """Open a file for one short transaction, as durable; other programs wait for its end."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    connection.execute("PRAGMA synchronous = EXTRA")  # the end of a transaction is a file that vanishes
    return connection


def _keep_a_log(connection: sqlite3.Connection) -> None:
    """Write ahead, where the file system allows it; on others readers and the writer wait for each other."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log's index
    except sqlite3.OperationalError:  # some network drives have no memory that programs share
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 1")  # or a full disk would hold log and file side by side


def make_one_file(connection: sqlite3.Connection) -> None:
    """Move what the log holds into the file, which can then be copied alone."""
    connection.rollback()
    connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE_AT_THE_END * 1000)}")
    # Where another program has the record open, or the disk is full, the log stays: nothing in it is lost,
    # and whoever closes the record last moves it into the file.
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A record to read from; where nothing can be written, as on a locked card, from a copy of it."""
    with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            pass
        else:
            yield connection
            return
    with TemporaryDirectory(prefix="cellgate-") as folder:
        for part in (path, *(path.with_name(f"{path.name}-{ending}") for ending in ("wal", "journal"))):
            if part.is_file():
                shutil.copyfile(part, Path(folder, part.name))
        with closing(sqlite3.connect(Path(folder, path.name), timeout=PATIENCE)) as connection:
            yield connection


def damaged(
    path: Path, error: Exception, what: str = "slide record", remedy: str = "copy it again"
) -> SourceError:
    """What to tell of a file that is none of these, or broken."""
    return SourceError(f"{path}: no {what} or a damaged one ({error}); {remedy}")


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """What stands in a record that SQLite could read, but is not what was written."""
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise damaged(path, error) from error


@contextmanager
def storage_errors(
    path: Path, kept: str = "fields recorded before are kept, and it goes on behind them"
) -> Iterator[None]:
    """Tell a full disk and a file that cannot be written from anything else, and what is `kept` even so."""
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR"))
        first = "free some space and " if full else ""
        raise StorageError(
            f"{path}: cannot be written ({error}); {first}give the same command again: {kept}"
        ) from error
