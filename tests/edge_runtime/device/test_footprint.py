"""Sizes are those of the files that packages list, each counted once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.device import footprint
from edge_runtime.device.footprint import ONNXRUNTIME, OPENCV, folder_size, installed, measure_install

Package = Callable[..., None]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages beside the real ones."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def package(site: Path) -> Package:
    """Install a package: its files with their sizes, and what it requires."""

    def install(name: str, files: dict[str, int], *requires: str, listed: bool = True) -> None:
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
        for path, size in files.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(bytes(size))
        if listed:
            (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))

    return install


@pytest.fixture
def reader(site: Path, package: Package, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Install a package "reader" in cellgate's place, whose running code is 1000 bytes in two files."""

    def install(*requires: str) -> None:
        package("reader", {"reader/footprint.py": 600, "reader/bundle/model.onnx": 400}, *requires)
        monkeypatch.setattr(footprint, "PACKAGE", site / "reader")
        monkeypatch.setattr(footprint, "__file__", str(site / "reader" / "footprint.py"))

    return install


def test_byte_code_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "deep" / "__pycache__").mkdir(parents=True)
    (tmp_path / "a.py").write_bytes(bytes(10))
    (tmp_path / "deep" / "b.py").write_bytes(bytes(5))
    (tmp_path / "deep" / "__pycache__" / "b.pyc").write_bytes(bytes(1000))
    assert folder_size(tmp_path) == 15


def test_what_is_required_counts_once_however_often_and_through_circles(
    reader: Package, package: Package
) -> None:
    reader("alpha>=1.0", "beta-lib")
    package("alpha", {"alpha.py": 20, "shared.txt": 3}, "Beta_Lib (>=1)")
    package("beta-lib", {"beta.py": 7, "shared.txt": 3}, "reader", "alpha")
    found = measure_install("reader")
    assert found is not None
    assert found.packages == ("alpha", "beta-lib")
    assert found.size == 1000 + 20 + 7 + 3
    assert found.from_package
    assert found.unlisted == ()


def test_extras_do_not_count_and_what_is_not_here_was_not_needed(reader: Package, package: Package) -> None:
    reader('heavy>=2; extra == "workstation"', 'absent-here; sys_platform == "win32"')
    package("heavy", {"heavy.py": 5000})
    found = measure_install("reader")
    assert found is not None
    assert (found.packages, found.size) == ((), 1000)


def test_another_package_of_the_same_module_stands_in(
    reader: Package, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "ONNXRUNTIME", ("runs", "runs-gpu"))
    reader("runs>=1")
    package("runs-gpu", {"runs.so": 50})
    found = measure_install("reader")
    assert found is not None
    assert (found.packages, found.size) == (("runs-gpu",), 1050)


def test_a_package_without_a_list_is_named(reader: Package, package: Package) -> None:
    """As a distribution's own package manager leaves them."""
    reader("alpha")
    package("alpha", {"alpha.py": 20}, listed=False)
    found = measure_install("reader")
    assert found is not None
    assert (found.unlisted, found.size) == (("alpha",), 1000)


def test_in_an_editable_install_the_running_folder_counts(
    reader: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader()
    elsewhere = tmp_path / "checkout" / "reader"
    elsewhere.mkdir(parents=True)
    (elsewhere / "footprint.py").write_bytes(bytes(77))
    monkeypatch.setattr(footprint, "PACKAGE", elsewhere)
    monkeypatch.setattr(footprint, "__file__", str(elsewhere / "footprint.py"))
    found = measure_install("reader")
    assert found is not None
    assert not found.from_package
    assert found.size == 1077  # what the package lists is on the disk as well


def test_a_listed_file_that_is_gone_counts_for_nothing(reader: Package, site: Path) -> None:
    reader()
    (site / "reader" / "bundle" / "model.onnx").unlink()
    found = measure_install("reader")
    assert found is not None
    assert found.size == 600


def test_what_was_never_installed_is_unknown() -> None:
    assert measure_install("cellgate-that-never-was") is None


def test_the_packages_that_run_here_are_known() -> None:
    assert len(installed(OPENCV)) == 1
    assert len(installed(ONNXRUNTIME)) == 1
    assert installed(["numpy", "cellgate-that-never-was"]) == ["numpy"]
