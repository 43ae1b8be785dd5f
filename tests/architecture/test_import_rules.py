"""Who may import whom, and what the device must do without."""

import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import edge_runtime

ROOT = Path(__file__).parents[2]
HEAVY = (
    *("torch", "onnx", "onnxscript", "sklearn", "scipy", "matplotlib", "PIL"),
    *("fhir", "pydantic", "training", "export"),
)

IMPORT_EVERYTHING = """
import importlib, sys
sys.modules.update(dict.fromkeys({heavy}))
for name in {modules}:
    importlib.import_module(name)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def runtime_modules() -> list[str]:
    return ["edge_runtime", *(m.name for m in pkgutil.walk_packages(edge_runtime.__path__, "edge_runtime."))]


def test_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    linter = pytest.importorskip("importlinter.cli", reason="import-linter is not installed: make install")
    code = linter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None)
    told = capsys.readouterr().out
    assert code == 0, told
    assert "0 broken" in told


def test_contracts_speak_of_all_wings() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    wings = {"edge_runtime", "training", "export"}
    contracts = settings["contracts"]
    by_type = {contract["type"]: contract for contract in contracts if "containers" not in contract}
    assert set(settings["root_packages"]) == wings
    assert by_type["layers"]["layers"] == ["export", "training", "edge_runtime"]
    assert set(by_type["acyclic_siblings"]["ancestors"]) == wings
    assert set(by_type["forbidden"]["forbidden_modules"]) == set(HEAVY) - wings


def test_the_rooms_of_every_wing_have_an_order_and_none_is_left_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    rooms = [contract for contract in settings["contracts"] if "containers" in contract]
    assert {"edge_runtime", "training", "export"} <= {name for room in rooms for name in room["containers"]}
    assert all(room["type"] == "layers" and room["exhaustive"] for room in rooms)


def test_runtime_imports_where_nothing_heavy_is_installed() -> None:
    modules = runtime_modules()
    assert {"edge_runtime.cli", "edge_runtime.simulator.field", "edge_runtime.report.page"} <= set(modules)
    done = python(IMPORT_EVERYTHING.format(heavy=HEAVY, modules=modules))
    assert done.returncode == 0, done.stderr


def test_the_block_would_be_noticed() -> None:
    done = python(IMPORT_EVERYTHING.format(heavy=HEAVY, modules=["training.networks"]))
    assert "ModuleNotFoundError" in done.stderr


def test_runtime_brings_nothing_heavy_along() -> None:
    """Where it is installed it is not loaded either."""
    names = python(f"import sys\nfor name in {runtime_modules()}: __import__(name)\nprint(*sys.modules)")
    assert names.returncode == 0, names.stderr
    loaded = {name.partition(".")[0] for name in names.stdout.split()}
    assert {"numpy", "cv2", "onnxruntime", "click"} <= loaded
    assert loaded & set(HEAVY) == set()
