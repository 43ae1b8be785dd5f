"""`cellgate doctor`: what is installed, and what would not work."""

import json
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from click.testing import Result

import edge_runtime
from edge_runtime.bundle.files import open_bundle
from edge_runtime.device import doctor
from edge_runtime.device.doctor import Finding, examine
from edge_runtime.device.footprint import Install

Run = Callable[..., Result]


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_versions_are_those_installed() -> None:
    findings = named(examine())
    assert findings["cellgate"].found == edge_runtime.__version__
    assert findings["python"].found.startswith(platform.python_version())
    assert findings["numpy"].found == np.__version__
    assert findings["opencv"].found.startswith(f"{cv2.__version__} (opencv-")
    assert findings["onnxruntime"].found.startswith(f"{ort.__version__} (onnxruntime")
    assert "CPUExecutionProvider" in findings["execution providers"].found
    assert findings["processor cores"].found == str(os.cpu_count())


def test_a_clock_that_was_never_set_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named(examine())["clock"].ok
    monkeypatch.setattr(doctor, "now", lambda: "1970-01-01T00:03:07+00:00")
    found = named(examine())["clock"]
    assert not found.ok
    assert found.found.startswith("1970-01-01")
    assert found.advice.startswith("set it, ")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def only(*packages: str) -> None:
        monkeypatch.setattr(doctor, "installed", lambda among: [one for one in among if one in packages])

    return only


def test_two_packages_of_one_module_are_a_finding(installed: Callable[..., None]) -> None:
    installed("onnxruntime", "onnxruntime-gpu", "opencv-python-headless")
    findings = named(examine())
    assert findings["opencv"].ok
    found = findings["onnxruntime"]
    assert not found.ok
    assert found.found.endswith("(onnxruntime, onnxruntime-gpu)")
    assert found.advice.startswith("uninstall all of these, then install only onnxruntime")


def test_a_module_that_came_without_a_package_is_no_fault(installed: Callable[..., None]) -> None:
    installed()
    findings = named(examine())
    assert findings["opencv"].ok
    assert findings["opencv"].found.endswith("(not from a package)")


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "ok"), [(1_900_000_000, False), (2_100_000_000, True)])
def test_a_full_disk_is_a_finding(monkeypatch: pytest.MonkeyPatch, free: int, ok: bool) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    found = named(examine())["free disk space here"]
    assert found.ok is ok
    assert found.found == f"{free / 1e9:.1f} GB"


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**11))


@pytest.mark.usefixtures("room")
def test_a_sound_device_exits_with_0(cellgate: Run, installed: Callable[..., None]) -> None:
    installed("onnxruntime", "opencv-python-headless")
    result = cellgate("doctor")
    assert result.exit_code == 0
    assert all(line.startswith("ok   ") for line in result.stdout.splitlines())


@pytest.mark.usefixtures("room")
def test_a_fault_is_told_with_advice_and_exit_code_1(cellgate: Run, installed: Callable[..., None]) -> None:
    installed("opencv-python", "opencv-python-headless")
    result = cellgate("doctor")
    assert result.exit_code == 1
    warned = [line for line in result.stdout.splitlines() if line.startswith("WARN")]
    assert len(warned) == 1
    assert "opencv" in warned[0]
    assert "uninstall all of these, then install only opencv-python-headless" in result.stdout


@pytest.mark.usefixtures("room")
def test_json_tells_the_same(cellgate: Run, installed: Callable[..., None]) -> None:
    installed("opencv-python", "opencv-python-headless")
    result = cellgate("doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert {tuple(item) for item in found} == {("name", "ok", "found", "advice", "size")}
    assert [item["name"] for item in found if not item["ok"]] == ["opencv"]


@pytest.mark.usefixtures("without_default", "room")
def test_no_default_bundle_is_told_and_no_fault(cellgate: Run) -> None:
    result = cellgate("doctor")
    assert result.exit_code == 0
    (told,) = [line for line in result.stdout.splitlines() if "default bundle" in line]
    assert told.startswith("ok   default bundle         none came with this cellgate; 'make default-bundle'")


@pytest.mark.usefixtures("room")
def test_sizes_are_printed_and_in_json_in_bytes(cellgate: Run, as_default: Path) -> None:
    found = {item["name"]: item for item in json.loads(cellgate("doctor", "--json").stdout)}
    size = sum(file.stat().st_size for file in as_default.iterdir())
    assert found["default bundle"]["size"] == size
    assert found["default bundle"]["found"] == f"{size / 1e6:.1f} MB, {open_bundle(as_default).title}"
    own = found["cellgate's own size"]
    assert own["found"] == f"{own['size'] / 1e6:.1f} MB, bundle included"
    assert found["cellgate"]["size"] is None


@pytest.mark.usefixtures("room")
def test_an_altered_default_bundle_is_a_fault(cellgate: Run, as_default: Path) -> None:
    (as_default / "MODEL_CARD.md").write_text("Perfect.")
    result = cellgate("doctor")
    assert result.exit_code == 1
    (told,) = [line for line in result.stdout.splitlines() if line.startswith("WARN")]
    assert f"default bundle         {as_default}/MODEL_CARD.md: altered since the bundle was sealed" in told
    assert "install cellgate again" in result.stdout


def whole(monkeypatch: pytest.MonkeyPatch, install: Install | None) -> Finding:
    monkeypatch.setattr(doctor, "measure_install", lambda: install)
    return named(examine())["size of the install"]


def test_the_size_of_the_whole_names_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = whole(monkeypatch, Install(123_456_789, ("click", "numpy"), (), from_package=True))
    assert (found.size, found.found) == (123_456_789, "123.5 MB, cellgate with click, numpy")


def test_what_could_not_be_counted_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = whole(monkeypatch, Install(1, ("numpy",), ("numpy",), from_package=False))
    assert (
        f"editable: cellgate itself is counted where it runs, in {Path(edge_runtime.__file__).parent}"
        in found.found
    )
    assert "not counted, since they list no files: numpy" in found.found
    found = whole(monkeypatch, None)
    assert (found.ok, found.size) == (True, None)
    assert found.found == "unknown: cellgate runs here without having been installed"


def test_a_folder_that_is_gone_is_no_traceback(
    cellgate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    result = cellgate("doctor")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
