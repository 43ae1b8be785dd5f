"""`cellgate doctor` and `device`: what is installed, and how the device is, slide after slide.

`read` and `recalibrate` enter into the device's history what they do.
"""

import sqlite3
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_runtime.commands.options import json_option
from edge_runtime.console import answer, tell, to_json
from edge_runtime.errors import CellgateError
from edge_runtime.storage import explain

if TYPE_CHECKING:
    from edge_runtime.device.entries import Kind


class _ShowsByDefault(click.Group):
    """A group whose command `show` need not be named; a folder that is called `add` is `./add`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name in where none is given."""
        named = bool(args) and (args[0] in self.commands or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["show", *args])


@click.group(cls=_ShowsByDefault, no_args_is_help=False)
def device() -> None:
    """Watch this device over its slides.

    'cellgate device FOLDER' shows the history in the folder that holds the slides' folders; '.' if left out.
    """


@device.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path))
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Say whether the device is what it was, and what to do; exit code 1 in an alarm."""
    from edge_runtime.device.history import read_history
    from edge_runtime.device.telling import lines_of
    from edge_runtime.device.watch import watch

    seen = watch(read_history(folder))
    if as_json:
        answer(to_json(asdict(seen), indent=2))
    else:
        for line in lines_of(seen):
            answer(line)
    sys.exit(1 if seen.state == "alarm" else 0)


@device.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.option("--known-negative", "kind", flag_value="known-negative", help="A slide without a parasite.")
@click.option("--quality", "kind", flag_value="quality", help="The slide that is read again and again.")
@click.option("--patient", "kind", flag_value="patient", help="An ordinary slide, if it was told otherwise.")
def add(slide: Path, kind: "Kind | None") -> None:
    """Enter a slide that 'read' left in a folder; entered before, tell whose it is."""
    from edge_runtime.device.history import HISTORY, enter

    new = enter(slide, kind)
    name = click.format_filename(slide)
    answer(f"{name}: {'entered' if new else 'was entered before'}; {slide.resolve().parent / HISTORY}")


def enter_reading(out: Path) -> None:
    """Enter a slide that was just read, and tell an alarm of the device; nothing here stops a reading."""
    from edge_runtime.device.history import enter, read_history
    from edge_runtime.device.watch import watch

    try:
        enter(out)
        seen = watch(read_history(out.resolve().parent))
    except (CellgateError, OSError, sqlite3.Error) as error:
        why = explain(error) if isinstance(error, OSError) else error
        name = click.format_filename(out)
        tell(f"note: not entered into the device's history ({why}); later: cellgate device add {name}")
        return
    if seen.state == "alarm":
        tell(f"ALARM of this device: {seen.advice[0]}; see 'cellgate device'")


def note_fit(cells: Path, site: str, bundle: str) -> None:
    """Begin the charts anew, where a bundle was fitted to slides that have a history."""
    from edge_runtime.device.history import HISTORY, note_recalibration

    for folder in (cells, cells.resolve().parent):
        if (folder / HISTORY).exists():
            note_recalibration(folder, site, bundle)
            return


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this device; exit code 1 if something is wrong."""
    from edge_runtime.device.doctor import examine

    findings = examine()
    if as_json:
        answer(to_json([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            answer(f"{'ok  ' if finding.ok else 'WARN'} {finding.name:<22} {finding.found}")
            if not finding.ok:
                answer(f"     {'':<22} {finding.advice}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)
