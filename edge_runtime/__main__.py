"""Where `cellgate` begins: whoever stops it while it loads its libraries gets his prompt back, no traceback.

Only Python's own small modules may be imported above: they load faster than anybody presses Ctrl-C.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

# Ctrl-C, a shutdown, a terminal that is closed; Windows does not know the last.
_STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

Handler = Callable[[int, FrameType | None], None]


def main() -> None:
    """Run the command line; stopped by a signal, it ends with exit code 128 + the signal's number.

    What runs can clean up first: a slide keeps what was read, and gets its report.
    """
    # What ignores a signal, as `nohup` does, goes on doing so.
    heeded = [number for number in _STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    _handle(heeded, _leave)
    from edge_runtime.cli import main as commands  # noqa: PLC0415 - takes long enough to be stopped in it
    from edge_runtime.console import STOPPED, tell  # noqa: PLC0415

    _handle(heeded, _stop)
    try:
        commands(prog_name="cellgate")
    except SystemExit as end:
        if end.code in {128 + number for number in heeded}:
            tell(STOPPED)
        raise
    finally:
        _handle(heeded, _leave)


def _handle(signals: list[signal.Signals], handler: Handler) -> None:
    for number in signals:
        signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
