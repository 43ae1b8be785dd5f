"""Which device this is and what runs on it, as a slide record notes it."""

import hashlib
import platform
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

_MACHINE = Path("/etc/machine-id")  # secret-like: only a hash of it may leave the device (machine-id(5))
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
    found = {"onnxruntime": onnxruntime.__version__, "OpenCV": cv2.__version__, "NumPy": np.__version__}
    found |= {"Python": platform.python_version(), platform.system(): platform.machine()}
    return ", ".join(f"{name} {version}" for name, version in found.items())
