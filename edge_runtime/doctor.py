"""What is installed on this device, and whether it will work."""

import os
import platform
import shutil
import sqlite3
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

import edge_runtime

_LEAST_FREE = 2e9  # bytes; a slide of a hundred fields with its crops and report takes about a tenth of it


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        ok: whether it will work.
        found: what was found.
        advice: what to do if it will not.
    """

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at the installation, the processor and the disk."""
    return [
        Finding("cellgate", ok=True, found=edge_runtime.__version__),
        Finding("python", ok=True, found=f"{platform.python_version()} on {platform.machine()}"),
        Finding("numpy", ok=True, found=np.__version__),
        _one_of("opencv", cv2.__version__, _OPENCV, "opencv-python-headless"),
        _one_of(
            "onnxruntime",
            ort.__version__,
            _ONNXRUNTIME,
            "onnxruntime (or onnxruntime-gpu on a GPU)",
        ),
        Finding("execution providers", ok=True, found=", ".join(ort.get_available_providers())),
        Finding("sqlite", ok=True, found=sqlite3.sqlite_version),
        Finding("processor cores", ok=True, found=str(os.cpu_count())),
        _disk(),
    ]


_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")


def _one_of(name: str, version: str, packages: tuple[str, ...], keep: str) -> Finding:
    """Packages that install the same module overwrite each other's files: only one may be there."""
    present = [package for package in packages if _installed(package)]
    return Finding(
        name,
        ok=len(present) <= 1,
        found=f"{version} ({', '.join(present) or 'not from a package'})",
        advice=f"uninstall all of these, then install only {keep}",
    )


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        "free disk space here",
        ok=free > _LEAST_FREE,
        found=f"{free / 1e9:.1f} GB",
        advice="free some space before reading slides here",
    )
