"""What `edge_runtime` exports: every public name, loaded when it is first used."""

import subprocess
import sys
from pathlib import Path

import pytest

import edge_runtime
from edge_runtime import errors


def python(script: str, cwd: Path) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("name", edge_runtime.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    found = getattr(edge_runtime, name)
    assert found.__name__ == name
    assert found.__doc__


def test_the_names_are_listed() -> None:
    assert {*edge_runtime.__all__, "__version__"} <= set(dir(edge_runtime))
    assert {"Classifier", "open_bundle", "read_slide", "score_images"} <= set(edge_runtime.__all__)


def test_every_error_is_public() -> None:
    raised = {name for name, found in vars(errors).items() if isinstance(found, type)}
    assert "CellgateError" in raised
    assert raised <= set(edge_runtime.__all__)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'edge_runtime' has no attribute 'Clasifier'"):
        _ = edge_runtime.Clasifier  # type: ignore[attr-defined]
    assert not hasattr(edge_runtime, "__wrapped__")


def test_importing_the_package_alone_loads_nothing_but_python_itself(tmp_path: Path) -> None:
    loaded = python("import edge_runtime, sys; print(*sys.modules)", tmp_path)
    own = [name for name in loaded if name.startswith("edge_runtime")]
    assert set(own) == {"edge_runtime", "edge_runtime.version"}
    assert not {"numpy", "cv2", "onnxruntime", "click", "jinja2", "sqlite3"} & set(loaded)


@pytest.mark.parametrize(
    ("name", "spared"),
    [
        ("CellgateError", {"numpy", "cv2", "onnxruntime", "click", "jinja2", "sqlite3"}),
        ("decide", {"onnxruntime", "click", "jinja2", "sqlite3"}),
        ("open_bundle", {"onnxruntime", "click", "jinja2", "sqlite3"}),
        ("score_images", {"click", "jinja2", "sqlite3"}),
    ],
)
def test_a_name_loads_what_it_needs_alone(name: str, spared: set[str], tmp_path: Path) -> None:
    assert not spared & set(
        python(f"from edge_runtime import {name}; import sys; print(*sys.modules)", tmp_path)
    )
