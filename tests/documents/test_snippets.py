"""The Python that stands in the pages runs as it stands."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autograd_oracle
import cv2
import numpy as np
import pytest
import torch

from edge_runtime.decision import table, values
from edge_runtime.decision.evidence import Evidence
from edge_runtime.simulator import simulate_field
from export.differentiation import backward, tape

ROOT = Path(__file__).parents[2]
TINY_BUNDLE = ROOT / "tests" / "edge_runtime" / "tiny-bundle"

Run = Callable[[str], dict[str, Any]]


def snippets(page: str) -> list[str]:
    return re.findall(r"(?ms)^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the only snippet of a page in a folder with a crop, `cell.png`, a folder `crops` and a bundle."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crops").mkdir()
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "gradient").symlink_to(TINY_BUNDLE)
    field = simulate_field(5, 0)
    x, y, width, height = next(true.box for true in field.objects if true.kind == "ring")
    crop = cv2.cvtColor(field.frame[y : y + height, x : x + width], cv2.COLOR_RGB2BGR)
    for file in ("cell.png", "crops/cell.png"):
        cv2.imwrite(file, crop)

    def run_page(page: str) -> dict[str, Any]:
        (snippet,) = snippets(page)
        Path("snippet.py").write_text(snippet)
        return runpy.run_path("snippet.py")

    return run_page


def test_the_gradient_is_to_be_had_from_the_graph(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    made = run("docs/how-to/use-the-gradient.md")
    assert len(made["gradients"]) == len(made["layers"]) == 5
    assert all(gradient.shape == made["image"].shape for gradient in made["gradients"])
    # What the page promises: the step by hand is the step of the graph, and it leads nearer.
    assert made["by_hand"][0, -1] == pytest.approx(made["in_graph"][0, -1], rel=1e-4)
    assert made["by_hand"][0, -1] > made["plain"][0, -1]
    assert len(capsys.readouterr().out.splitlines()) == 6


@pytest.mark.parametrize("page", ["README.md", "docs/reference/index.md"])
def test_the_front_door_is_used_as_it_is_shown(run: Run, page: str) -> None:
    assert run(page)["slide"].counts.fields == 2
    assert Path("slides/demo/report.html").stat().st_size > 10_000


def test_an_operator_is_added_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, test = snippets("docs/how-to/add-an-operator.md")
    names: dict[str, Any] = {**vars(tape), **vars(autograd_oracle), "F": torch.nn.functional}
    names["NodeProto"] = backward.onnx.NodeProto
    exec(rule, names)
    with pytest.raises(tape.UnsupportedOperatorError, match="Softplus"):
        exec(test, names)
    monkeypatch.setattr(backward, "RULES", {**backward.RULES, "Softplus": names["softplus"]})
    exec(test, names)


def test_a_test_is_added_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    value, entry = snippets("docs/how-to/add-a-test.md")
    names: dict[str, Any] = dict(vars(values))
    exec(value, names)
    monkeypatch.setattr(values, "brightness", names["brightness"], raising=False)
    (test,) = eval(entry, dict(vars(table)))
    crops = np.zeros((2, 8, 8, 3), np.uint8)
    crops[0, 2:6, 2:6], crops[1, 1:4, 1:4] = 200, (30, 60, 90)
    np.testing.assert_allclose(test.value(Evidence.of_pictures(crops), None), [200, 60])
    assert test.reason.code not in {other.reason.code for other in table.TESTS}
