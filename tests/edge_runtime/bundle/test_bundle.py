"""Opening a bundle: nothing missing, nothing altered."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.bundle.files import open_bundle
from edge_runtime.errors import BundleError

FILES = ("manifest.json", "model.onnx", "reference.npz", "MODEL_CARD.md")


@pytest.fixture
def copied(tmp_path: Path, tiny_bundle: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copied"))


def test_a_bundle_is_known_by_the_hash_of_its_manifest(tiny_bundle: Path) -> None:
    bundle = open_bundle(str(tiny_bundle))
    assert bundle.digest == hashlib.sha256((tiny_bundle / "manifest.json").read_bytes()).hexdigest()
    assert bundle.title == f"tiny 1 ({bundle.digest[:12]})"
    assert bundle.contents == {name: (tiny_bundle / name).read_bytes() for name in FILES[1:]}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(BundleError, match=rf"/{name}: missing from the bundle; copy the bundle again$"):
        open_bundle(copied)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_changed_bit_is_found_and_its_file_named(copied: Path, name: str, place: float) -> None:
    data = bytearray((copied / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (copied / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"/{name}: altered since the bundle was sealed"):
        open_bundle(copied)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_truncated_file_is_found(copied: Path, name: str) -> None:
    (copied / name).write_bytes((copied / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=rf"/{name}: altered"):
        open_bundle(copied)


def test_a_file_that_cannot_be_read_is_named(copied: Path) -> None:
    (copied / "model.onnx").unlink()
    (copied / "model.onnx").mkdir()
    with pytest.raises(BundleError, match=r"/model\.onnx: cannot be read \(Is a directory\)"):
        open_bundle(copied)


@pytest.mark.parametrize("name", ["gone", "manifest.json"])
def test_no_folder_is_no_bundle(copied: Path, name: str) -> None:
    with pytest.raises(BundleError, match=rf"/{name}: no such folder; check the path"):
        open_bundle(copied / name)


@pytest.mark.parametrize("change", ["less", "more"])
def test_the_manifest_must_list_exactly_the_files_of_a_bundle(
    edited_bundle: Callable[..., Path], change: str
) -> None:
    def edit(manifest: dict[str, dict[str, str]]) -> None:
        if change == "less":
            del manifest["files"]["MODEL_CARD.md"]
        else:
            manifest["files"]["extra.bin"] = "0" * 64

    with pytest.raises(BundleError, match="the manifest lists"):
        open_bundle(edited_bundle(edit))


def test_what_is_wrong_with_a_manifest_is_told_with_the_bundles_path(
    edited_bundle: Callable[..., Path],
) -> None:
    path = edited_bundle(lambda manifest: manifest.update(colour="blue"))
    with pytest.raises(BundleError, match=rf"^{path}: manifest\.json: unknown key 'colour'"):
        open_bundle(path)
