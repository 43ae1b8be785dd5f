"""What time it is, and whether that can be true: on many small devices no clock runs without power."""

from datetime import UTC, datetime

_EARLIEST = "2020"  # no release of cellgate is older


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def doubt(time: str) -> str:
    """What is wrong with a time in ISO 8601 that a device's clock gave, as a person reads it; else empty."""
    if time >= _EARLIEST:
        return ""
    return f"the clock of this device was not set: it said {time[:10]}; no date or time here can be relied on"


def reliable(time: str | None) -> str | None:
    """A time in ISO 8601, None where it cannot be true (see `doubt`)."""
    return None if time is None or doubt(time) else time
