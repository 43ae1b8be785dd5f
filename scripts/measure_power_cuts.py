"""What becomes of readings that are killed: whether anything is lost, counted twice, or ends otherwise.

    python -m scripts.measure_power_cuts --kills 300 --bundle tests/edge_runtime/tiny-bundle

A simulated slide is read from a folder by the command of a technician, killed (SIGKILL) at a random instant,
and read on by the same command, until it comes to its end; then the next one. After every kill the record
must open and be whole, and hold every field that was told. At the end record and report must be those of a
reading that was never killed, but for their times. Exit code 1 if not.
"""

import re
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import cv2
import numpy as np

from edge_runtime.bundle.files import default_bundle
from edge_runtime.console import Commands
from edge_runtime.errors import CheckFailedError
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.reading import REPORT

FIELDS = 6
_TIMES = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\+00:00| UTC)|<code>[0-9a-f]{64}</code>")
_OF_TIME = {"started", "finished", "read_at"}


@dataclass
class Tally:
    """What happened; every attribute is a number.

    Attributes:
        kills: that hit a reading before its end.
        before: of these, before its record was begun.
        slides: that came to their end.
    """

    kills: int = 0
    before: int = 0
    slides: int = 0


def content(out: Path) -> dict[str, Any]:
    """What a finished slide's folder holds, without times.

    Raises:
        CheckFailedError: the record is damaged.
    """
    check(out)
    held: dict[str, Any] = {"report": _TIMES.sub("then", (out / REPORT).read_text())}
    with sqlite3.connect(out / RECORD) as connection:
        for name in ("slide", "field", "cell", "skipped", "note"):
            rows = connection.execute(f"SELECT * FROM {name} ORDER BY rowid")  # noqa: S608 - our names
            names = [column[0] for column in rows.description]
            held[name] = [
                {key: value for key, value in zip(names, row, strict=True) if key not in _OF_TIME}
                for row in rows.fetchall()
            ]
    connection.close()
    return held


def check(out: Path) -> list[int]:
    """The numbers of the fields that a record holds, after a check that it is whole.

    Raises:
        CheckFailedError: it is damaged.
    """
    with sqlite3.connect(out / RECORD) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchone()
        if found != ("ok",):
            raise CheckFailedError(f"{out / RECORD}: damaged after a kill: {found}")
        begun = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'field'").fetchone()
        rows = connection.execute("SELECT number FROM field ORDER BY number").fetchall() if begun else []
    connection.close()
    return [number for (number,) in rows]


def is_ended(out: Path) -> bool:
    """Whether a slide was read to its end and has its report: the same command then has nothing to do."""
    if not (out / REPORT).exists():
        return False
    with SlideRecord.open(out / RECORD) as record:
        return record.header().finished is not None


def command(folder: Path, out: Path, bundle: Path) -> list[str]:
    """What a technician would type."""
    said = ["read", str(folder), "--slide", "S", "--out", str(out), "--bundle", str(bundle), "--threads", "1"]
    return [sys.executable, "-m", "edge_runtime", *said]


def read_and_kill(line: list[str], out: Path, after: float, before: list[int]) -> bool:
    """Read on, and kill it after so many seconds; whether it was killed, and not at its end already.

    Raises:
        CheckFailedError: a field is lost that was told, or the reading failed.
    """
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            said = process.communicate(timeout=after)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[1]
    if process.returncode not in {0, -9}:
        raise CheckFailedError(f"{out}: ended with exit code {process.returncode}: {said[-500:]}")
    told = [int(number) for number in re.findall(r"^field (\d+) ", said, re.MULTILINE)]
    held = check(out) if (out / RECORD).exists() else []
    lost = sorted({*before, *told} - set(held))
    if lost or held != list(range(1, len(held) + 1)):
        raise CheckFailedError(f"{out}: fields {lost} were told and are lost; the record holds {held}")
    return process.returncode != 0


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--kills", type=click.IntRange(1), default=300, show_default=True)
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if left out.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(kills: int, bundle: Path | None, seed: int) -> None:
    """Kill readings."""
    rng, tally = np.random.default_rng(seed), Tally()
    with TemporaryDirectory(prefix="cellgate-kills-") as made:
        folder = Path(made, "frames")
        folder.mkdir()
        for number in range(FIELDS):
            frame = simulate_field(seed, number).frame
            cv2.imwrite(str(folder / f"{number}.png"), frame[..., ::-1])
        line = command(folder, Path(made, "whole"), bundle or default_bundle())
        started = time.monotonic()
        subprocess.run(line, check=True, capture_output=True)
        lasts = time.monotonic() - started
        expected = content(Path(made, "whole"))
        while tally.kills < kills:
            out = Path(made, f"slide {tally.slides}")
            line, held = command(folder, out, bundle or default_bundle()), []
            while not is_ended(out):
                tally.kills += read_and_kill(line, out, float(rng.uniform(0, lasts)), held)
                tally.before += not (out / RECORD).exists()
                held = check(out) if (out / RECORD).exists() else []
            if content(out) != expected:
                raise CheckFailedError(f"{out}: is not what a reading without a kill gives")
            tally.slides += 1
            click.echo(f"{tally.kills} kills, {tally.slides} slides", err=True)
    click.echo(
        f"{tally.kills} kills, {tally.before} of them before the record was begun; {tally.slides} slides "
        "came to their end, each equal to one that was never killed, but for times; no field that was told "
        "was lost"
    )


if __name__ == "__main__":
    main()
