"""What is installed on this device, and whether it will work."""

import os
import platform
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from edge_runtime.bundle import files
from edge_runtime.clock import doubt, now
from edge_runtime.device.footprint import (
    ONNXRUNTIME,
    OPENCV,
    PACKAGE,
    folder_size,
    installed,
    measure_install,
)
from edge_runtime.errors import BundleError
from edge_runtime.version import __version__

_LEAST_FREE = 2e9  # bytes; a slide of a hundred fields with its crops and report takes about a tenth of it


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it will work.
        found: what was found.
        advice: what to do if it will not.
        size: in bytes, where something was measured.
    """

    name: str
    ok: bool
    found: str
    advice: str = ""
    size: int | None = None


def examine() -> list[Finding]:
    """Look at the installation and its size, the processor and the disk."""
    return [
        Finding("cellgate", ok=True, found=__version__),
        Finding("python", ok=True, found=f"{platform.python_version()} on {platform.machine()}"),
        Finding("numpy", ok=True, found=np.__version__),
        _one_of("opencv", cv2.__version__, OPENCV, "opencv-python-headless"),
        _one_of(
            "onnxruntime",
            ort.__version__,
            ONNXRUNTIME,
            "onnxruntime (or onnxruntime-gpu on a GPU)",
        ),
        Finding("execution providers", ok=True, found=", ".join(ort.get_available_providers())),
        Finding("sqlite", ok=True, found=sqlite3.sqlite_version),
        Finding("processor cores", ok=True, found=str(os.cpu_count())),
        _disk(),
        _clock(),
        _default_bundle(),
        _own_size(),
        _whole_size(),
    ]


def _one_of(name: str, version: str, packages: tuple[str, ...], keep: str) -> Finding:
    """Packages that install the same module overwrite each other's files: only one may be there."""
    present = installed(packages)
    return Finding(
        name,
        ok=len(present) <= 1,
        found=f"{version} ({', '.join(present) or 'not from a package'})",
        advice=f"uninstall all of these, then install only {keep}",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "free disk space here",
        ok=free > _LEAST_FREE,
        found=f"{free / 1e9:.1f} GB",
        advice="free some space before reading slides here",
    )


def _clock() -> Finding:
    return Finding(
        "clock",
        ok=not doubt(now()),
        found=now(),
        advice="set it, with date or timedatectl: what is read here could not be dated",
    )


def _default_bundle() -> Finding:
    name = "default bundle"
    if not files.DEFAULT.is_dir():
        # No fault: whoever names a bundle each time needs none.
        told = "none came with this cellgate; 'make default-bundle' makes it, --bundle names another"
        return Finding(name, ok=True, found=told)
    size = folder_size(files.DEFAULT)
    try:
        title = files.open_bundle(files.DEFAULT).title
    except BundleError as error:
        return Finding(name, ok=False, found=str(error), advice="install cellgate again", size=size)
    return Finding(name, ok=True, found=f"{_megabytes(size)}, {title}", size=size)


def _own_size() -> Finding:
    size = folder_size(PACKAGE)
    return Finding("cellgate's own size", ok=True, found=f"{_megabytes(size)}, bundle included", size=size)


def _whole_size() -> Finding:
    name, install = "size of the install", measure_install()
    if install is None:
        return Finding(name, ok=True, found="unknown: cellgate runs here without having been installed")
    found = f"{_megabytes(install.size)}, cellgate with {', '.join(install.packages)}"
    if not install.from_package:
        found += f"; editable: cellgate itself is counted where it runs, in {PACKAGE}"
    if install.unlisted:
        found += f"; not counted, since they list no files: {', '.join(install.unlisted)}"
    return Finding(name, ok=True, found=found, size=install.size)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
