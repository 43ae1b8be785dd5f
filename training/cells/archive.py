"""Cell crops in the layout of the official NIH archive, from a zip or a folder."""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_runtime.errors import SourceError
from edge_runtime.sources.items import SkippedFrame
from edge_runtime.sources.names import SUFFIXES, left_by_system, printable, suffix_of
from edge_runtime.sources.zips import open_zip
from training.cells.listing import CellFile

_NO_CROPS = {*SUFFIXES, ".heic", ".webp", ".gif"} - {".png"}
_LABELS = {"Uninfected": "uninfected", "Parasitized": "parasitized"}
# C68P29N_ThinF_IMG_…: clinic number and patient number; what follows ("N", "Re", "AP", "thinF") names the
# slide.
_PATIENT = re.compile(r"C\d+(?:[A-Z]?P\d+)?")


def patient_of(file_name: str) -> str:
    """The patient a crop was taken from, by the name of its file.

    Raises:
        SourceError: the name does not begin as the archive's names do.
    """
    match = _PATIENT.match(file_name)
    if match is None:
        raise SourceError(
            f"{file_name}: no patient in the name; expected C<number>P<number>…_IMG_…_cell_N.png"
        )
    return match[0]


def list_cells(path: Path) -> list[CellFile]:
    """List the crops of an archive in the official layout, sorted by name.

    Raises:
        SourceError: absent, broken, not in the layout cell_images/{Parasitized,Uninfected}/*.png, or with two
            crops of one name that are not the same.
    """
    named: dict[str, _Found] = {}
    for found in _found(path):
        # One published copy holds every crop twice, in a nested second folder.
        if named.setdefault(found.cell.name, found).content != found.content:
            raise SourceError(
                f"{path}: holds two different files named {found.cell.name}; rename or remove one of them"
            )
    cells = [named[name].cell for name in sorted(named)]
    absent = [name for name, label in _LABELS.items() if label not in {c.label for c in cells}]
    if absent:
        raise SourceError(
            f"{path}: no PNG below a folder named {' or '.join(absent)}; "
            "expected cell_images/Parasitized and cell_images/Uninfected"
        )
    return cells


def not_read(path: Path) -> list[SkippedFrame]:
    """What lies among the crops of an archive in the official layout and is an image, but no PNG.

    Raises:
        SourceError: as `list_cells`.
    """
    reason = "no PNG, as the crops of the archive are; convert it"
    return [
        SkippedFrame(printable(str(member)), reason)
        for member in _members(path)
        if _is_among_crops(member) and suffix_of(member.name) in _NO_CROPS
    ]


def _members(path: Path) -> list[PurePosixPath]:
    if path.is_dir():
        return sorted(PurePosixPath(file.relative_to(path).as_posix()) for file in path.rglob("*"))
    with open_zip(path) as archive:
        return sorted(PurePosixPath(name) for name in archive.namelist())


@dataclass(frozen=True)
class _Found:
    cell: CellFile
    content: str  # what tells two contents apart without reading them


def _found(path: Path) -> Iterator[_Found]:
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return _in_zip(path)
    raise SourceError(
        f"{path}: no such file or folder; give the NIH archive as zip or folder, or 'simulated'"
    )


def _in_folder(path: Path) -> Iterator[_Found]:
    for file in path.rglob("*"):
        if _is_crop(PurePosixPath(file.relative_to(path).as_posix())):
            stat = file.stat()
            stamp = f"{stat.st_size}-{stat.st_mtime_ns}"
            yield _Found(_cell(file.parent.name, file.name, stamp, file.read_bytes), f"{stat.st_size}")


def _in_zip(path: Path) -> Iterator[_Found]:
    archive = open_zip(path)
    for info in archive.infolist():
        member = PurePosixPath(info.filename)
        if _is_crop(member):
            stamp = f"{info.file_size}-{info.CRC:08x}"
            yield _Found(_cell(member.parent.name, member.name, stamp, _reader(archive, info)), stamp)


def _is_crop(member: PurePosixPath) -> bool:
    """Whether a path in the archive is a crop."""
    return _is_among_crops(member) and suffix_of(member.name) == ".png"


def _is_among_crops(member: PurePosixPath) -> bool:
    """Whether a path lies where crops do; deleted files and the shadows of macOS do not."""
    return member.parent.name in _LABELS and not any(map(left_by_system, member.parts))


def _reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceError(
                f"{archive.filename}: {info.filename} is damaged; download the archive again"
            ) from error

    return read


def _cell(folder: str, file_name: str, stamp: str, read: Callable[[], bytes]) -> CellFile:
    return CellFile(f"{folder}/{file_name}", _LABELS[folder], patient_of(file_name), stamp, read)
