"""How every command line of cellgate ends: 0 done, 1 could not finish or a check failed, 2 wrong use."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, TextIO

import click
import cv2

from edge_runtime.errors import CellgateError, StorageError
from edge_runtime.storage import explain

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

STOPPED = "stopped; what was done before is kept"
_INTERRUPTED = 130  # 128 and the number of Ctrl-C's signal, as shells have it


class Commands(click.Group):
    """A click group whose commands end in one line on standard error instead of a traceback."""

    def main(self, *args: Any, **settings: Any) -> Any:  # noqa: ANN401 - as click declares it
        """Run the command line, whatever becomes of the streams that it writes to."""
        for stream in (sys.stdout, sys.stderr):
            # A console that has no such letter shows its number: a name is no reason to stop.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **settings)
        except OSError as error:  # of click's own help and usage
            _fail(explain(error))

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click declares it
        """Run the chosen command, turning refusals and failing disks into exit code 1."""
        _silence_opencv()
        try:
            return super().invoke(ctx)
        except CellgateError as error:
            _fail(str(error))
        except BrokenPipeError:
            _silence(sys.stdout)  # the reader left, as `head` does; nobody is there to be told
            sys.exit(1)
        except OSError as error:
            _fail(explain(error))
        except KeyboardInterrupt:
            tell(STOPPED)
            sys.exit(_INTERRUPTED)


def answer(text: str) -> None:
    """Write a line of what was asked for to standard output.

    Raises:
        StorageError: it cannot be written.
        BrokenPipeError: whoever read it has left.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence(sys.stdout)
        raise StorageError(
            f"the answer cannot be written ({error.strerror}); give standard output a place with room"
        ) from error


def tell(text: str) -> None:
    """Write a line of progress to standard error, if possible: no work stops for want of a listener."""
    try:
        click.echo(text, err=True)
    except (OSError, ValueError):  # a full disk, a reader who left; a stream that is closed
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Let a stream that fails write to nowhere, or Python would complain of it once more at its end."""
    with suppress(OSError, ValueError):  # it may be closed, or no file at all
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON that every reader takes: what is no finite number is null, as JSON knows neither nan nor inf."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _silence_opencv() -> None:
    """OpenCV's own words on standard error would bury the one line that tells what to do."""
    level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, OpenCV 5
    level(0)


def tell_skipped(skipped: Iterable[object]) -> None:
    """Name on standard error what was left out, a line each (see `images.SkippedFrame`)."""
    for item in skipped:
        tell(str(item))


def _fail(message: str) -> None:
    tell(f"error: {message}")
    sys.exit(1)
