"""Opening and saving a bundle: nothing in it is used before every file's hash has been checked."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.bundle.manifest import Manifest, manifest_from_json, manifest_to_json
from edge_runtime.errors import BundleError
from edge_runtime.storage import write_whole

MANIFEST, MODEL, REFERENCE, MODEL_CARD = (
    "manifest.json",
    "model.onnx",
    "reference.npz",
    "MODEL_CARD.md",
)
FILES = (MODEL, REFERENCE, MODEL_CARD)
DEFAULT = Path(__file__).parents[1] / "default_bundle"  # package data of the wheel


@dataclass(frozen=True)
class Bundle:
    """An opened bundle, checked.

    Attributes:
        path: its folder.
        manifest: what it says about itself.
        digest: sha256 of manifest.json, which names the hash of everything else: the bundle's identity.
        contents: the bytes of every other file, exactly those whose hashes were checked.
    """

    path: Path
    manifest: Manifest
    digest: str
    contents: Mapping[str, bytes]

    @property
    def title(self) -> str:
        """Name, version and the start of the hash, as people see it."""
        return f"{self.manifest.name} {self.manifest.version} ({self.digest[:12]})"


def default_bundle() -> Path:
    """The folder of the bundle that came with cellgate, to be opened where it lies.

    Raises:
        BundleError: this cellgate came without one.
    """
    if not DEFAULT.is_dir():
        raise BundleError(
            f"{DEFAULT}: this cellgate came without a default bundle; make it with 'make default-bundle' "
            "in a checkout, or name a bundle folder (--bundle, of verify and inspect the argument BUNDLE)"
        )
    return DEFAULT


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle folder and check every file in it.

    Raises:
        BundleError: no bundle, a file missing, added or altered, or a manifest of another version.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(f"{path}: no such folder; check the path, or make a bundle with 'python -m export'")
    text = _read(path / MANIFEST)
    try:
        manifest = manifest_from_json(text.decode("utf-8", errors="replace"))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
    if set(manifest.files) != set(FILES):
        raise BundleError(f"{path}: the manifest lists {sorted(manifest.files)}; expected {sorted(FILES)}")
    contents = {}
    for name, expected in manifest.files.items():
        data = _read(path / name)
        if hashlib.sha256(data).hexdigest() != expected:
            raise BundleError(f"{path / name}: altered since the bundle was sealed; copy the bundle again")
        contents[name] = data
    return Bundle(path, manifest, hashlib.sha256(text).hexdigest(), contents)


def save_bundle(out: str | Path, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """Write a bundle's files and, last, the manifest with their hashes: a folder cut off is no bundle."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_whole(out / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    write_whole(out / MANIFEST, manifest_to_json(replace(manifest, files=hashes)))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{file}: missing from the bundle; copy the bundle again") from error
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror}); copy the bundle again") from error
