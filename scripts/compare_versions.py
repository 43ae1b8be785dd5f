"""Does this checkout decide as another revision did? Both score the same cells and read the same frames.

    python -m scripts.compare_versions compare --against REV --cells cells.zip --frames fields.zip
    python -m scripts.compare_versions compare --against REV --cells cells.zip --run runs/vgg19 --limit 500

Each version runs its own command line in a process of its own, with its own default bundle. With --run, each
calibrates and seals a bundle from its own copy of that run folder first. Exit code 1 if any cell differs.
"""

import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath

import click

from edge_runtime.console import Commands
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.sources.images import list_images
from edge_runtime.sources.names import SUFFIXES
from edge_runtime.sources.zips import open_zip

HERE = Path(__file__).parents[1]
FRAMES = "fields/nih_thin/frames/"  # in the archive of whole fields
SHOWN = 5  # differences of a kind that are printed
# Reasons that have another name in this checkout than in revisions before it.
RENAMED = {"unsteady": "unstable", "unsure": "suspect", "ambiguous": "suspect"}
ONE_SIDED = "only one version has it"


@dataclass(frozen=True)
class Verdict:
    """What one version said of one cell.

    Attributes:
        label: the classifier's class; empty where the cell was not judged.
        rejected: whether the label must not be relied on.
        reason: the first reason, in this checkout's words; empty where there is none.
        status: of a cell in a frame ("uninfected", "rejected", "not-judged", …); empty for a crop.
    """

    label: str
    rejected: bool
    reason: str
    status: str = ""


Verdicts = Mapping[str, Verdict]


@dataclass(frozen=True)
class Differences:
    """Where two versions differ.

    Attributes:
        compared: number of cells that both have.
        found: per kind, a line for every cell that differs.
    """

    compared: int
    found: Mapping[str, tuple[str, ...]]

    @property
    def none(self) -> bool:
        """Whether both decide the same about the same cells, and there are cells."""
        return self.compared > 0 and not any(self.found.values())


@dataclass(frozen=True)
class Version:
    """A version to run: `name` for people, `root` its checkout, `bundle` None for its default bundle."""

    name: str
    root: Path
    bundle: Path | None = None

    def run(self, *arguments: object) -> str:
        """Run `python -m` in this version's checkout; returns what it printed.

        Raises:
            CheckFailedError: it ended with another exit code than 0; its own message stands above.
        """
        told = [str(argument) for argument in arguments]
        click.echo(f"[{self.name}] $ python -m {' '.join(told)}", err=True)
        done = subprocess.run(
            [sys.executable, "-m", *told], cwd=self.root, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise CheckFailedError(f"{self.name}: 'python -m {' '.join(told)}' ended with {done.returncode}")
        return done.stdout


@click.group(cls=Commands)
def main() -> None:
    """Compare versions of cellgate."""


@main.command()
@click.option("--against", required=True, help="A revision that git knows: commit, tag or branch.")
@click.option("--cells", type=click.Path(path_type=Path), help="Crops: the NIH archive as zip or folder.")
@click.option("--frames", type=click.Path(path_type=Path), help=f"Frames: a folder, or a zip with {FRAMES}.")
@click.option(
    "--run", "folder", type=click.Path(path_type=Path), help="Decide by a bundle of this run folder."
)
@click.option("--limit", type=click.IntRange(1), help="Score so many crops, spread over all.")
def compare(
    against: str, cells: Path | None, frames: Path | None, folder: Path | None, limit: int | None
) -> None:
    """Compare this checkout's decisions with another revision's; exit code 1 if any differs."""
    if cells is None and (frames is None or folder is not None):
        raise click.UsageError("give --cells (needed with --run), or --frames, or both")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        versions = [Version(against, check_out(against, work / "old")), Version("this checkout", HERE)]
        for version in versions:
            check_imports(version)
        if folder is not None:
            assert cells is not None
            versions = [seal(v, folder, cells.resolve(), work / f"run-{i}") for i, v in enumerate(versions)]
        same = True
        if cells is not None:
            crops = cells.resolve() if limit is None else sample(cells, limit, work / "crops")
            told = [score(version, crops) for version in versions]
            same &= report("crops", compare_verdicts(*told))
        if frames is not None:
            fields = frames.resolve() if frames.is_dir() else unpack_frames(frames, work / "frames")
            told = [read(version, fields, work / f"slide-{i}") for i, version in enumerate(versions)]
            same &= report("cells in frames", compare_verdicts(*told))
    sys.exit(0 if same else 1)


def check_out(revision: str, folder: Path) -> Path:
    """Write a revision's files into a new folder, leaving no trace in the repository.

    Raises:
        SourceError: git does not know the revision.
    """
    done = subprocess.run(
        ["git", "archive", "--format=zip", revision],  # noqa: S607 - whichever git is there
        cwd=HERE,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SourceError(f"{revision}: {done.stderr.decode().strip()}; give a commit, tag or branch")
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder)
    return folder


def check_imports(version: Version) -> None:
    """Refuse to compare where Python would import an installed cellgate: both would run the same code."""
    code = "import edge_runtime; print(edge_runtime.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=version.root, capture_output=True, text=True, check=False
    )
    if not Path(done.stdout.strip()).is_relative_to(version.root.resolve()):
        raise CheckFailedError(
            f"{version.name}: Python imports {done.stdout.strip() or 'no edge_runtime'}, "
            f"expected one in {version.root}; unset PYTHONSAFEPATH and PYTHONPATH"
        )


def seal(version: Version, run: Path, cells: Path, folder: Path) -> Version:
    """Calibrate a copy of a run folder and seal a bundle of it, both with one version."""
    shutil.copytree(run, folder)
    version.run("training", "calibrate", "--run", folder, "--cells", cells)
    bundle = folder / "bundle"
    version.run("export", "bundle", "--run", folder, "--out", bundle, "--cells", cells)
    return Version(version.name, version.root, bundle)


def sample(cells: Path, limit: int, folder: Path) -> Path:
    """So many crops of a zip or folder, evenly spread over the sorted names, numbered in a new folder."""
    folder.mkdir()
    images = [image for image in list_images(cells) if not image.left_out]
    count = min(limit, len(images))
    for number in range(count):
        image = images[number * len(images) // count]
        (folder / f"{number:05}-{PurePath(image.name).name}").write_bytes(image.read())
    return folder


def unpack_frames(fields: Path, folder: Path) -> Path:
    """The frames of the NIH smears out of the archive of whole fields, as a folder.

    Raises:
        SourceError: no such frame is in it.
    """
    with open_zip(fields) as archive:
        names = [name for name in archive.namelist() if name.startswith(FRAMES) and name.endswith(SUFFIXES)]
        if not names:
            raise SourceError(f"{fields}: holds no image below {FRAMES}; check --frames")
        archive.extractall(folder, names)
    return folder / FRAMES


def score(version: Version, crops: Path) -> Verdicts:
    """What a version decides about crops, by their path."""
    printed = version.run("edge_runtime.cli", "score", crops, "--json", *_bundle(version))
    return verdicts_of_scores(printed.splitlines())


def read(version: Version, frames: Path, out: Path) -> Verdicts:
    """What a version finds and decides in frames, by frame and box."""
    version.run("edge_runtime.cli", "read", frames, "--slide", "compared", "--out", out, *_bundle(version))
    return verdicts_of_record(out / "slide.sqlite")


def verdicts_of_scores(lines: Iterable[str]) -> Verdicts:
    """Read what `cellgate score --json` printed, of this version or an older one."""
    rows = [json.loads(line) for line in lines]
    return {row["path"]: Verdict(row["label"], row["rejected"], _word(row["reason"])) for row in rows}


def verdicts_of_record(record: Path) -> Verdicts:
    """Read a slide record, of this version or an older one; a cell is known by its frame and box."""
    query = (
        "SELECT field.name, x, y, cell.width, cell.height, status, reason, label "
        "FROM cell JOIN field ON cell.field = field.number"
    )
    with closing(sqlite3.connect(f"{record.resolve().as_uri()}?mode=ro", uri=True)) as opened:
        rows = opened.execute(query).fetchall()
    return {
        f"{PurePath(frame).name} {tuple(box)}": Verdict(label, status == "rejected", _word(reason), status)
        for frame, *box, status, reason, label in rows
    }


def compare_verdicts(theirs: Verdicts, ours: Verdicts) -> Differences:
    """What another version said against what this one says, cell by cell."""
    both = [name for name in theirs if name in ours]
    found = {ONE_SIDED: tuple(f"{name}: {ONE_SIDED}" for name in sorted(theirs.keys() ^ ours.keys()))}
    for kind in ("label", "rejected", "reason", "status"):
        pairs = [(name, getattr(theirs[name], kind), getattr(ours[name], kind)) for name in both]
        found[kind] = tuple(f"{name}: {kind} {old!r} -> {new!r}" for name, old, new in pairs if old != new)
    return Differences(len(both), found)


def report(what: str, differences: Differences) -> bool:
    """Print counts and the first few differences of each kind; tells whether there are none."""
    counts = ", ".join(f"{kind}: {len(lines)}" for kind, lines in differences.found.items())
    click.echo(f"{differences.compared} {what} compared; that differ: {counts}")
    for lines in differences.found.values():
        for line in lines[:SHOWN]:
            click.echo(f"  {line}")
        if len(lines) > SHOWN:
            click.echo(f"  … and {len(lines) - SHOWN} more")
    return differences.none


def _word(reason: str) -> str:
    return RENAMED.get(reason, reason)


def _bundle(version: Version) -> tuple[object, ...]:
    return () if version.bundle is None else ("--bundle", version.bundle)


if __name__ == "__main__":
    main()
