"""How every command line of cellgate ends: 0 done, 1 could not finish or a check failed, 2 wrong use."""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click
import cv2

from edge_runtime.errors import CellgateError
from edge_runtime.storage import explain


class Commands(click.Group):
    """A click group whose commands end in one line on standard error instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click declares it
        """Run the chosen command, turning refusals and failing disks into exit code 1."""
        _silence_opencv()
        try:
            return super().invoke(ctx)
        except CellgateError as error:
            _fail(str(error))
        except BrokenPipeError:
            sys.stderr.close()  # the reader left, as `head` does; nobody is there to be told
            sys.exit(1)
        except OSError as error:
            _fail(explain(error))


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
        click.echo(str(item), err=True)


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(1)
