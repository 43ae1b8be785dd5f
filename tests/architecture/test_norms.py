"""The house's norms for size and annotations; see CONTRIBUTING."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WINGS = ("edge_runtime", "training", "export")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    return [file for wing in (*WINGS, "scripts") for file in sorted((ROOT / wing).rglob("*.py"))]


def functions(file: Path) -> Iterator[tuple[str, Function]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield f"{file.relative_to(ROOT)}:{node.lineno} {node.name}", node


def lengths_of_functions() -> dict[str, int]:
    return {
        name: (node.end_lineno or node.lineno) - node.lineno + 1
        for file in sources()
        for name, node in functions(file)
    }


def test_files_are_short() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in sources()}
    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > 350} == {}
    assert sum(length > 250 for length in lengths.values()) <= len(lengths) / 10


def test_functions_are_short() -> None:
    lengths = lengths_of_functions()
    assert len(lengths) > 400
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    assert sum(length > 30 for length in lengths.values()) <= len(lengths) / 10


def test_functions_are_annotated() -> None:
    bare = []
    for file in sources():
        for name, function in functions(file):
            given = function.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            untyped = [a for a in arguments if a.annotation is None and a.arg not in ("self", "cls", "_")]
            if function.returns is None or untyped:
                bare.append(name)
    assert bare == []


@pytest.mark.parametrize("name", ["utils", "util", "common", "helpers", "misc", "base"])
def test_no_room_for_odds_and_ends(name: str) -> None:
    assert [file for file in sources() if name in (file.stem, file.parent.name)] == []
