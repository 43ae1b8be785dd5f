"""From cells to the bundle that comes with cellgate: cross-fit, test on what is no cell, seal.

Run by `make default-bundle`; about an hour and a half on 2 cores, nearly all of it training: six networks,
one for use and five that measure it. Cut off, the same command goes on where it stood: a step that has ended
is not done again. To begin anew, remove the run folder; to seal the same run again, remove the bundle.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import click

from edge_runtime.bundle.files import DEFAULT, open_bundle
from edge_runtime.console import Commands
from edge_runtime.errors import BundleError, CheckFailedError, SourceError
from edge_runtime.sources.names import SUFFIXES
from edge_runtime.sources.zips import open_zip
from edge_runtime.storage import write_whole
from training.cells.layouts import list_sources
from training.cells.simulated import is_simulated
from training.cells.source import CellSource
from training.cells.splits import NONE
from training.processor import has_bfloat16
from training.run import CALIBRATION, GAUSSIANS, RUN_FILE, WEIGHTS, load_run, load_split

NAME = "cellgate-default"
NETWORK, SPLIT = "edge", "patient"
EPOCHS, OVERLAYS = 30, "0.3"  # docs/experiments/2026-11-27-calls.md
RUN = Path("runs/default")
CELLS = "../shared/data/nih-cells.zip"
OOD = "../shared/data/other.zip"
REREAD = "../shared/data/nih-reread.csv"
LARGEST = 4_000_000  # bytes of the bundle; every device that installs cellgate carries it
SEALED = "sealed.json"  # in the run folder: which bundle was made from which state of the run


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--cells", default=CELLS, show_default=True, help="NIH archive as zip or folder.")
@click.option(
    "--run", type=click.Path(path_type=Path), default=RUN, show_default=True, help="The run folder."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=DEFAULT, help="The bundle; in the package if left out."
)
@click.option(
    "--ood",
    help=f"What is no red cell: folder, zip or a path inside one (x.zip/folder); {OOD} if left out.",
)
@click.option("--reread", help=f"CSV of a second reading; {REREAD} if left out.")
@click.option("--version", default="1", show_default=True, help="Version of the bundle.")
@click.option("--epochs", type=click.IntRange(1), help="Fewer passes, to try the way; not for a device.")
def main(
    cells: str,
    run: Path,
    out: Path,
    ood: str | None,
    reread: str | None,
    version: str,
    epochs: int | None,
) -> None:
    """Make the bundle that comes with cellgate."""
    if not is_simulated(cells) and not Path(cells).exists():
        raise SourceError(
            f"{cells}: no such file or folder; fetch the official archive with 'python -m training download "
            "--out cell_images.zip', then 'make default-bundle CELLS=cell_images.zip'"
        )
    if ood is None and Path(OOD).exists():
        ood = OOD
    if ood is not None:
        ood = unpacked(ood, run.with_name(f"{run.name}-ood"))
    if reread is None and Path(REREAD).exists() and not is_simulated(cells):
        reread = REREAD
    train(run, cells, ood, reread, epochs)
    if is_sealed(run, out):
        click.echo(f"{out}: made from {run} already, nothing to do")
    else:
        seal(run, out, cells, version)
    size = sum(map(len, open_bundle(out).contents.values())) / 1e6
    click.echo(f"{out}: {open_bundle(out).title}, {size:.1f} MB")


def train(
    run: Path, cells: str, ood: str | None, reread: str | None = None, epochs: int | None = None
) -> None:
    """Run the steps of training that a run folder lacks, each in a process of its own.

    Raises:
        SourceError: the folder holds a run of another kind, or of other cells.
        CheckFailedError: a step ended without having done its work.
    """
    if (run / RUN_FILE).exists():
        _check_cells(run, cells)
    done = None
    while step := next_step(run, cells, ood, reread, epochs):
        if step == done:
            told = " ".join(step)
            raise CheckFailedError(f"{run}: 'python -m training {told}' changed nothing; remove that folder")
        command("training", *step)
        done = step


def _check_cells(run: Path, cells: str) -> None:
    """Refuse other cells than the run's, which a finished run would never look at; moved ones are right."""
    info = load_run(run)
    if tuple(one.source for one in list_sources((cells,))) != info.config.cells:
        try:
            load_split(info, CellSource((cells,)))
        except SourceError as error:
            raise SourceError(f"{error}, or remove {run} to begin anew") from error


def next_step(
    run: Path, cells: str, ood: str | None, reread: str | None = None, epochs: int | None = None
) -> list[str] | None:
    """The arguments of `python -m training` for what a run lacks next; None if it can be sealed.

    Raises:
        SourceError: the folder holds a run of another kind.
    """
    if (run / RUN_FILE).exists():
        config = load_run(run).config
        found = (config.network, config.split, config.test)
        if found != (NETWORK, SPLIT, NONE):
            raise SourceError(
                f"{run}: a run of {config.network}, split by {config.split}, tested on {config.test}; "
                f"expected {NETWORK}, split by {SPLIT}, tested on {NONE}: choose another folder with --run"
            )
    if not _is_pooled(run):
        settings = ["--network", NETWORK, "--split", SPLIT, "--epochs", str(epochs or EPOCHS)]
        # Where it is not built in it would take days; the bundle then comes out a little different.
        settings += ["--precision", "bfloat16"] if has_bfloat16() else []
        settings += ["--reread", reread, "--overlays", OVERLAYS] if reread else []
        return ["crossfit", "--run", str(run), *settings, "--cells", cells]
    if ood and "ood" not in load_run(run).metrics:
        return ["test", "--ood", ood, "--run", str(run), "--cells", cells]
    return None


def _is_pooled(run: Path) -> bool:
    """Whether cross-fitting has ended, and nothing was calibrated again since."""
    if not (run / RUN_FILE).exists() or "folds" not in load_run(run).metrics:
        return False
    # Every figure is noted in run.json, so figures of an earlier calibration are older than this one.
    return (run / CALIBRATION).stat().st_mtime_ns <= (run / RUN_FILE).stat().st_mtime_ns


def is_sealed(run: Path, out: Path) -> bool:
    """Whether the bundle was sealed from the run as it is now."""
    try:
        noted = json.loads((run / SEALED).read_text())
        return bool(noted == {"run": _state(run), "bundle": open_bundle(out).digest})
    except (OSError, ValueError, BundleError):
        return False


def seal(run: Path, out: Path, cells: str, version: str) -> None:
    """Seal a run beside `out` and move the bundle in whole; until then an old bundle stays in its place.

    Raises:
        CheckFailedError: the bundle is too large for the wheel.
    """
    beside, old = out.with_name(f"{out.name}.part"), out.with_name(f"{out.name}.old")
    if old.exists() and not out.exists():
        old.rename(out)  # an earlier try was cut off between the two renames below
    for left_over in (beside, old):
        shutil.rmtree(left_over, ignore_errors=True)
    named = ["--name", NAME, "--version", version]
    command("export", "bundle", "--run", str(run), "--out", str(beside), *named, "--cells", cells)
    size = sum(map(len, open_bundle(beside).contents.values()))
    if size > LARGEST:
        raise CheckFailedError(f"{beside}: {size / 1e6:.1f} MB; the wheel takes {LARGEST / 1e6:.0f} at most")
    if out.exists():
        out.rename(old)
    beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    write_whole(run / SEALED, json.dumps({"run": _state(run), "bundle": open_bundle(out).digest}) + "\n")


def _state(run: Path) -> str:
    """A hash over all that sealing reads of a run folder."""
    digest = hashlib.sha256()
    for name in (RUN_FILE, WEIGHTS, GAUSSIANS, CALIBRATION):
        digest.update((run / name).read_bytes())
    return digest.hexdigest()


def unpacked(ood: str, folder: Path) -> str:
    """Images as `training test --ood` takes them; of a path inside a zip, its images are unpacked.

    Raises:
        SourceError: nothing is there.
    """
    if Path(ood).exists():
        return ood
    packed, found, inside = ood.partition(".zip/")
    if not found or not Path(f"{packed}.zip").exists():
        raise SourceError(f"{ood}: no such file or folder; check --ood")
    shutil.rmtree(folder, ignore_errors=True)
    with open_zip(Path(f"{packed}.zip")) as archive:
        images = [name for name in archive.namelist() if _is_inside(name, inside)]
        if not images:
            raise SourceError(f"{ood}: holds no image; check the path inside {packed}.zip")
        archive.extractall(folder, images)
    return str(folder / inside)


def _is_inside(name: str, folder: str) -> bool:
    return name.startswith(f"{folder.rstrip('/')}/") and name.lower().endswith(SUFFIXES)


def command(*arguments: str) -> None:
    """Run `python -m` with some arguments, shown; its own error message is the last word where it fails."""
    click.echo(f"\n$ python -m {' '.join(arguments)}")
    package, *rest = arguments
    attended = ["--attended"] if package == "training" else []
    # Training ends with this process, also where that is killed: else it would be in the way of the next one.
    with subprocess.Popen([sys.executable, "-m", package, *attended, *rest], stdin=subprocess.PIPE) as step:
        code = step.wait()
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
