"""`cellgate doctor`: what is installed, and what would not work."""

import json
import os
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from click.testing import Result

import edge_runtime
from edge_runtime.doctor import Finding, examine

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


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def only(*packages: str) -> None:
        def version(package: str) -> str:
            if package not in packages:
                raise metadata.PackageNotFoundError(package)
            return "1.0"

        monkeypatch.setattr(metadata, "version", version)

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
    assert {tuple(item) for item in found} == {("name", "ok", "found", "advice")}
    assert [item["name"] for item in found if not item["ok"]] == ["opencv"]


def test_a_folder_that_is_gone_is_no_traceback(
    cellgate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    result = cellgate("doctor")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
