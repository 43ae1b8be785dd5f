"""What a long slide costs: whether time per field and memory stay flat, and how large record and report are.

    python -m scripts.measure_long_slide --fields 2000 --out long

Reads a simulated slide by the command of a technician, looks at the process from outside, and prints a table
in Markdown: of every so many fields the median time of one, simulation included, and the memory at its end.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import click

from edge_runtime.bundle.files import default_bundle
from edge_runtime.console import Commands
from edge_runtime.errors import CheckFailedError
from edge_runtime.record.slide_record import RECORD
from edge_runtime.slide.reading import REPORT

_MEGABYTE = 1_000_000


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--fields", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--every", type=click.IntRange(1), default=200, show_default=True, help="Fields of a line.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the slide.")
@click.option("--bundle", type=click.Path(path_type=Path), help="The default bundle if left out.")
def main(fields: int, every: int, seed: int, out: Path, bundle: Path | None) -> None:
    """Read a long slide."""
    source = f"simulated:fields={fields},seed={seed}"
    line = [
        "read",
        source,
        "--slide",
        "LONG-1",
        "--out",
        str(out),
        "--bundle",
        str(bundle or default_bundle()),
    ]
    times: list[float] = []
    click.echo("| fields | ms a field | memory, MB |\n|---|---|---|")
    with subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", *line],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        before = time.monotonic()
        for told in process.stderr:
            if not told.startswith(("field ", "not counted")):
                continue
            now = time.monotonic()
            times.append(now - before)
            before = now
            if len(times) % every == 0:
                usual = statistics.median(times[-every:])
                click.echo(f"| {len(times)} | {1000 * usual:.0f} | {memory(process.pid):.0f} |")
    if process.returncode:
        raise CheckFailedError(f"{out}: the reading ended with exit code {process.returncode}")
    ending = time.monotonic() - before
    sizes = [(out / name).stat().st_size / _MEGABYTE for name in (RECORD, REPORT)]
    click.echo(
        f"\nmaps, verdict and report {ending:.0f} s; record {sizes[0]:.0f} MB, report {sizes[1]:.1f} MB"
    )


def memory(process: int) -> float:
    """Memory that a process holds now, in MB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    (held,) = (row.split()[1] for row in status.splitlines() if row.startswith("VmRSS"))
    return int(held) * 1024 / _MEGABYTE


if __name__ == "__main__":
    main(prog_name="python -m scripts.measure_long_slide")
