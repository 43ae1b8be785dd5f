"""Cell crops in the layout of the official NIH archive, from a zip or a folder."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_runtime.errors import SourceError
from edge_runtime.sources.images import open_zip

CLASSES = ("uninfected", "parasitized")

_LABELS = {"Uninfected": 0, "Parasitized": 1}
# C68P29N_ThinF_IMG_…: clinic number and patient number; what follows ("N", "Re", "AP", "thinF") names the
# slide.
_PATIENT = re.compile(r"C\d+(?:[A-Z]?P\d+)?")


@dataclass(frozen=True)
class CellFile:
    """One crop of the archive.

    Attributes:
        name: "Parasitized/C…cell_N.png", the same in a zip and in a folder.
        label: index into CLASSES.
        patient: the patient's prefix, for example "C68P29".
        stamp: changes whenever the file does (size and checksum or modification time).
        read: returns the encoded bytes.
    """

    name: str
    label: int
    patient: str
    stamp: str
    read: Callable[[], bytes]


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
        SourceError: absent, broken, or not in the layout cell_images/{Parasitized,Uninfected}/*.png.
    """
    if path.is_dir():
        found = _in_folder(path)
    elif path.exists():
        found = _in_zip(path)
    else:
        raise SourceError(
            f"{path}: no such file or folder; give the NIH archive as zip or folder, or 'simulated'"
        )
    # One published copy holds every crop twice, in a nested second folder: the name decides.
    cells = sorted({cell.name: cell for cell in found}.values(), key=lambda cell: cell.name)
    absent = [name for name, label in _LABELS.items() if label not in {c.label for c in cells}]
    if absent:
        raise SourceError(
            f"{path}: no PNG below a folder named {' or '.join(absent)}; "
            "expected cell_images/Parasitized and cell_images/Uninfected"
        )
    return cells


def stamp_of(cells: list[CellFile]) -> str:
    """A hash that changes when any file of the archive changes, without reading their contents."""
    lines = "\n".join(f"{cell.name} {cell.stamp}" for cell in cells)
    return hashlib.sha256(lines.encode()).hexdigest()


def _in_folder(path: Path) -> list[CellFile]:
    cells = []
    for file in path.rglob("*"):
        if _is_crop(PurePosixPath(file.relative_to(path).as_posix())):
            stat = file.stat()
            cells.append(
                _cell(
                    file.parent.name,
                    file.name,
                    f"{stat.st_size}-{stat.st_mtime_ns}",
                    file.read_bytes,
                )
            )
    return cells


def _in_zip(path: Path) -> list[CellFile]:
    archive = open_zip(path)
    cells = []
    for info in archive.infolist():
        member = PurePosixPath(info.filename)
        if _is_crop(member):
            stamp = f"{info.file_size}-{info.CRC:08x}"
            cells.append(_cell(member.parent.name, member.name, stamp, _reader(archive, info)))
    return cells


def _is_crop(member: PurePosixPath) -> bool:
    """Whether a path in the archive is a crop; not so the shadow files that macOS puts beside them."""
    shadow = member.name.startswith("._") or "__MACOSX" in member.parts
    return member.suffix.lower() == ".png" and member.parent.name in _LABELS and not shadow


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
