"""The example in the explanation of the room runs, and prints what stands below it."""

import re
from pathlib import Path

import pytest

EXPLANATION = Path(__file__).parents[3] / "export" / "differentiation" / "README.md"


def test_the_example_prints_what_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = EXPLANATION.read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (told,) = re.findall(r"It prints\n\n```\n(.*?)```", text, re.DOTALL)
    exec(compile(example, str(EXPLANATION), "exec"), {})
    assert capsys.readouterr().out == told


def test_every_file_of_the_room_is_explained() -> None:
    named = set(re.findall(r"\]\((\w+\.py)\)", EXPLANATION.read_text()))
    assert named == {file.name for file in EXPLANATION.parent.glob("[!_]*.py")}
