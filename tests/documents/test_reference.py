"""Pages beside the code: one for every public name, and the table of tests as it is.

That the names of the pages are there in the code is what `make docs` checks.
"""

import re
from pathlib import Path

import edge_runtime
from edge_runtime.decision import table
from edge_runtime.fields.gates import GATES

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"


def documented() -> dict[str, str]:
    """Public names with the paths by which the pages ask for them."""
    pages = [page.read_text(encoding="utf-8") for page in sorted(REFERENCE.glob("*.md"))]
    paths = [path for page in pages for path in re.findall(r"(?m)^::: (\S+)$", page)]
    return {path.rpartition(".")[2]: path for path in paths}


def test_every_public_name_has_its_page() -> None:
    public = {name for name in getattr(edge_runtime, "__all__", ()) if not name.startswith("_")}
    assert public - documented().keys() == set()


def test_names_are_documented_where_they_are_defined() -> None:
    for name, path in documented().items():
        public = getattr(edge_runtime, name, None)
        if public is not None:
            assert f"{public.__module__}.{public.__qualname__}" == path


def test_the_list_of_names_leads_to_every_page() -> None:
    linked = re.findall(r"\]\((\w+\.md)\)", (REFERENCE / "index.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(page.name for page in REFERENCE.glob("*.md") if page.name != "index.md")


def test_the_decisions_page_has_the_table_of_tests() -> None:
    row = r"(?m)^\| (\w+) \| [^|]+ \| `([\w-]+)` \| (fixed|[\d.]+ %) \|$"
    told = re.findall(row, (DOCS / "decision.md").read_text(encoding="utf-8"))
    shares = ["fixed" if test.share == 0 else f"{100 * test.share:g} %" for test in table.TESTS]
    assert told == [
        (test.name, test.reason.code, share) for test, share in zip(table.TESTS, shares, strict=True)
    ]


def test_the_page_of_frames_has_the_table_of_gates() -> None:
    row = r"(?m)^\| (\w+) \| [^|]+ \| `([\w-]+)` \|$"
    told = re.findall(row, (DOCS / "frames.md").read_text(encoding="utf-8"))
    assert told == [(gate.name, gate.reason) for gate in GATES]
