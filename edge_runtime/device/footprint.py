"""How many bytes cellgate takes on this device: its bundle, itself, and everything it needs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# Packages that install the same module: a device has one of each line, whichever suits its processor.
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")

PACKAGE = Path(__file__).parents[1]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r";.*\bextra\b")


@dataclass(frozen=True)
class Install:
    """What cellgate and all that it needs take.

    Attributes:
        size: bytes of the files, each counted once.
        packages: names of the installed packages that were counted, sorted; without cellgate.
        unlisted: names of those that do not list their files, and so count for nothing.
        from_package: whether the running cellgate is the one that its package lists; not so in an editable
            install, where the folder that is running is counted instead.
    """

    size: int
    packages: tuple[str, ...]
    unlisted: tuple[str, ...]
    from_package: bool


def folder_size(folder: Path) -> int:
    """Bytes of the files below a folder, without the byte code that Python leaves there."""
    return _size(_files(folder))


def measure_install(package: str = "cellgate") -> Install | None:
    """Add up cellgate and, transitively, what it requires; None if it was not installed by a package.

    Files are those that the packages list (`importlib.metadata`). Requirements of extras do not count.
    """
    if _found(package) is None:
        return None
    files, unlisted = set(_files(PACKAGE)), []
    needed = _needed(package)
    for name in needed:
        listed = _listed(name)
        if not listed:
            unlisted.append(name)
        files |= listed
    return Install(
        size=_size(files),
        packages=tuple(sorted(needed - {package})),
        unlisted=tuple(sorted(unlisted)),
        from_package=Path(__file__).resolve() in _listed(package),
    )


def installed(packages: Iterable[str]) -> list[str]:
    """Those of some packages that are installed."""
    return [package for package in packages if _found(package) is not None]


def _needed(package: str) -> set[str]:
    """Names of the package and of all installed ones that it requires, directly or not."""
    needed: set[str] = set()
    waiting = [package]
    while waiting:
        name = waiting.pop()
        distribution = _found(name)
        # What stands under a condition ("on Windows only") and is not here was not needed here.
        if name in needed or distribution is None:
            continue
        needed.add(name)
        for requirement in distribution.requires or []:
            if not _EXTRA.search(requirement):
                waiting += _stand_ins(_canonical(requirement))
    return needed


def _stand_ins(name: str) -> list[str]:
    """The packages that can stand for a required one: itself, unless others install the same module."""
    return next((list(group) for group in (OPENCV, ONNXRUNTIME) if name in group), [name])


def _canonical(requirement: str) -> str:
    """The name in a requirement, in the one spelling in which names are compared."""
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def _found(package: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):  # an empty name
        return None


def _listed(package: str) -> set[Path]:
    distribution = _found(package)
    files = (distribution.files or []) if distribution else []
    return {Path(str(file.locate())).resolve() for file in files}


def _files(folder: Path) -> Iterable[Path]:
    return (file.resolve() for file in folder.rglob("*") if "__pycache__" not in file.parts)


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
