"""Which device this is and what runs on it, as a slide record notes it."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_MACHINE = Path("/etc/machine-id")  # secret-like: only a hash of it may leave the device (machine-id(5))
_DECIDING = ("onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "numpy")
_LETTERS = 12


def device_id() -> str:
    """A name of this device that stays the same and tells nothing else about it."""
    try:
        known = _MACHINE.read_text().strip()
    except OSError:
        known = ""
    return hashlib.sha256(f"cellgate {known or platform.node()}".encode()).hexdigest()[:_LETTERS]


def libraries() -> str:
    """The versions of what decides: libraries, Python, system."""
    found = [f"{name} {installed}" for name in _DECIDING if (installed := _version(name))]
    return ", ".join(
        [*found, f"Python {platform.python_version()}", f"{platform.system()} {platform.machine()}"]
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
