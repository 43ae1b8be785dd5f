"""The runtime starts without what only a workstation has."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("torch", "onnx", "onnxscript", "sklearn", "scipy", "matplotlib", "PIL"),
    *("fhir", "pydantic", "training", "export"),
)


def run(script: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("module", ["edge_runtime", "edge_runtime.cli"])
def test_importing_pulls_in_nothing_heavy(module: str, tmp_path: Path) -> None:
    script = f"import sys, {module}; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    assert not set(HEAVY) & set(run(script, tmp_path).split())


def test_every_module_works_where_nothing_heavy_can_be_imported(tmp_path: Path, tiny_bundle: Path) -> None:
    """Also what is imported late, on the way through a whole reading."""
    script = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # an import of it fails from now on
import importlib, pkgutil, edge_runtime
for module in pkgutil.walk_packages(edge_runtime.__path__, "edge_runtime."):
    importlib.import_module(module.name)
from edge_runtime.cli import main
for arguments in (
    ["verify", {str(tiny_bundle)!r}],
    ["read", "simulated:fields=1", "--bundle", {str(tiny_bundle)!r}, "--slide", "S", "--out", "out"],
):
    try:
        main(arguments)
    except SystemExit as end:
        assert not end.code, end.code
"""
    assert "decides here as its PyTorch reference did" in run(script, tmp_path)
    assert (tmp_path / "out" / "report.html").exists()


def test_importing_does_no_work(tmp_path: Path) -> None:
    """Nothing is written, nothing printed."""
    assert run("import edge_runtime.cli", tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
