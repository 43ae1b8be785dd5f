"""What time it is, and whether that can be true: on many small devices no clock runs without power."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_EARLIEST = "2020"  # no release of cellgate is older
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SET = 5.0  # seconds by which a clock that nobody set may differ from the time since the device's start


@dataclass(frozen=True)
class Instant:
    """A moment by both clocks of the device.

    Attributes:
        at: by the wall clock: UTC, ISO 8601.
        boot: which start of the device it belongs to; empty where the system does not tell.
        uptime: seconds since then, by a clock that nobody can set.
    """

    at: str
    boot: str
    uptime: float


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def instant() -> Instant:
    """This moment."""
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return Instant(now(), boot, round(time.monotonic(), 3))


def doubt(time: str) -> str:
    """What is wrong with a time in ISO 8601 that a device's clock gave, as a person reads it; else empty."""
    if time >= _EARLIEST:
        return ""
    return f"the clock of this device was not set: it said {time[:10]}; no date or time here can be relied on"


def reliable(time: str | None) -> str | None:
    """A time in ISO 8601, None where it cannot be true (see `doubt`)."""
    return None if time is None or doubt(time) else time


def doubt_after(before: Instant | None, this: Instant) -> str:
    """Why the wall clock cannot be trusted at a moment, given the one before it; empty if it can."""
    if unset := doubt(this.at):
        return unset
    if before is None or doubt(before.at):
        return ""
    passed = (datetime.fromisoformat(this.at) - datetime.fromisoformat(before.at)).total_seconds()
    if this.boot and this.boot == before.boot:
        if abs(passed - (this.uptime - before.uptime)) > _SET:
            return f"the clock of this device was set between {before.at} and {this.at}"
        return ""
    return "" if passed >= 0 else f"the clock of this device went back from {before.at} to {this.at}"
