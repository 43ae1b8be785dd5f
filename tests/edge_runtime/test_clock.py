"""When a wall clock can be trusted."""

from dataclasses import replace

import pytest

from edge_runtime.clock import Instant, doubt_after, instant

NOON = Instant("2026-01-01T12:00:00+00:00", "a", 1000.0)


@pytest.mark.parametrize(
    ("this", "told"),
    [
        (replace(NOON, at="2026-01-01T12:01:00+00:00", uptime=1060.5), ""),
        (replace(NOON, at="2026-01-01T12:03:00+00:00", uptime=1060.5), "was set between"),
        (replace(NOON, at="2026-01-01T11:01:00+00:00", uptime=1060.5), "was set between"),
        (Instant("2026-01-02T08:00:00+00:00", "b", 20.0), ""),
        (Instant("2026-01-01T08:00:00+00:00", "b", 20.0), "went back"),
        (Instant("2026-01-01T08:00:00+00:00", "", 20.0), "went back"),  # the system names no start
        (Instant("1970-01-01T00:00:20+00:00", "b", 20.0), "was not set"),
    ],
)
def test_a_wall_clock_is_held_against_the_one_that_nobody_can_set(this: Instant, told: str) -> None:
    found = doubt_after(NOON, this)
    assert (told in found) if told else found == ""


def test_after_a_clock_that_was_not_set_any_time_may_follow() -> None:
    assert doubt_after(Instant("1970-01-01T00:00:20+00:00", "a", 20.0), NOON) == ""


def test_two_moments_of_one_device_belong_together() -> None:
    first, second = instant(), instant()
    assert first.boot == second.boot
    assert first.uptime <= second.uptime
    assert doubt_after(first, second) == ""
