"""How commands end: one line, and the right exit code, whatever was raised."""

import errno
import os

import click
import pytest
from click.testing import CliRunner, Result

from edge_runtime.console import Commands
from edge_runtime.errors import (
    BundleError,
    CellgateError,
    CheckFailedError,
    ImageError,
    ProviderError,
    SourceError,
    StorageError,
)
from edge_runtime.storage import explain


def ends(error: BaseException | None) -> Result:
    @click.group(cls=Commands)
    def main() -> None: ...

    @main.command()
    def work() -> None:
        click.echo("half the work")
        if error is not None:
            raise error

    return CliRunner().invoke(main, ["work"], catch_exceptions=False)


@pytest.mark.parametrize(
    "kind",
    [CellgateError, BundleError, CheckFailedError, ImageError, ProviderError, SourceError, StorageError],
)
def test_a_refusal_is_its_message_and_exit_code_1(kind: type[CellgateError]) -> None:
    assert issubclass(kind, CellgateError)
    result = ends(kind("a.png: grey; give RGB"))
    assert (result.exit_code, result.stdout) == (1, "half the work\n")
    assert result.stderr == "error: a.png: grey; give RGB\n"


def test_work_that_is_done_exits_with_0() -> None:
    result = ends(None)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "/out: the disk is full; free some space and run the same command again"),
        (errno.EDQUOT, "/out: the disk is full; free some space and run the same command again"),
        (errno.EFBIG, "/out: the disk is full; free some space and run the same command again"),
        (errno.EACCES, "/out: permission denied; choose another folder or change its permissions"),
        (errno.EROFS, "/out: permission denied; choose another folder or change its permissions"),
        (errno.EEXIST, "/out: a file stands where a folder is needed; choose another path"),
        (errno.ENOTDIR, "/out: a file stands where a folder is needed; choose another path"),
        (errno.EIO, "/out: Input/output error"),
    ],
)
def test_a_failing_file_system_is_explained(number: int, told: str) -> None:
    error = OSError(number, os.strerror(number), "/out")
    assert explain(error) == told
    result = ends(error)
    assert (result.exit_code, result.stderr) == (1, f"error: {told}\n")


def test_an_error_without_a_file_is_told_too() -> None:
    assert explain(OSError(errno.ENOSPC, "No space left on device")).startswith("the disk is full; ")
    assert explain(OSError("strange")) == "strange"


def test_ctrl_c_ends_without_a_traceback() -> None:
    result = ends(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "stopped; what was done before is kept\n")


def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        ends(ZeroDivisionError())
