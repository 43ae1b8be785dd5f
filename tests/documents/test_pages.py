"""Pages that a person can read: short, few numbers, one word for one thing; README's first screen."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page.parent != DOCS / "experiments"]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
README = (ROOT / "README.md").read_text(encoding="utf-8")

MOST_LINES, MOST_NUMBERS = 120, 4.0  # per page, and per 100 words
SCREEN = 60  # lines
LARGEST_PICTURE = 300_000  # bytes

# What is no prose: code (in fences, indented, in line), links' targets, tags, dates, numbers of entries.
_NO_PROSE = (
    r"(?ms)^```.*?^```",
    r"(?m)^ {4}.*$",
    r"`[^`]*`",
    r"\]\([^)]*\)",
    r"(?s)<[^>]*>",
    r"\d{4}-\d\d-\d\d",
    r"(?m)^#* *\d+\. ",
)
_NUMBER, _WORD = r"(?<!\w)\d[\d.,]*", r"[^\W\d_][\w'-]*"


def prose(text: str) -> str:
    for pattern in _NO_PROSE:
        text = re.sub(pattern, " ", text)
    return text


def density(text: str) -> float:
    """Numbers per 100 words."""
    told = prose(text)
    return 100 * len(re.findall(_NUMBER, told)) / max(len(re.findall(_WORD, told)), 1)


def test_numbers_are_counted_in_prose_alone() -> None:
    text = (
        "Of 3,267 cells 4.6 % are rejected by `edge2`, see [five](2026-11-26-x9.md).\n\n    run --limit 400\n"
    )
    assert len(re.findall(_NUMBER, prose(text))) == 2
    assert density("one two three 4") == pytest.approx(100 / 3)


def test_there_are_pages() -> None:
    names = {page.relative_to(DOCS).as_posix() for page in PAGES}
    wanted = {
        "index.md",
        "decision.md",
        "results.md",
        "glossary.md",
        "how-to/add-a-test.md",
        "decisions/index.md",
    }
    assert wanted <= names
    assert len(list((DOCS / "experiments").glob("2026-*.md"))) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_page_is_short_and_holds_few_numbers(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert density(text) <= MOST_NUMBERS


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_uses_the_words_of_the_glossary(page: Path) -> None:
    older = r"\b([Ss]trangers?|[Ss]often\w*|[Ss]teadiness|[Uu]nsteady|[Uu]nsure)\b"
    assert re.findall(older, page.read_text(encoding="utf-8")) == []


def test_an_experiment_says_when() -> None:
    names = [page.name for page in (DOCS / "experiments").glob("*.md") if page.name != "index.md"]
    assert [name for name in names if not re.match(r"\d{4}-\d\d-\d\d-", name)] == []


def test_the_first_screen_of_the_readme_tells_a_newcomer_what_this_is() -> None:
    screen = "\n".join(README.splitlines()[:SCREEN])
    for said in ("malaria", "uninfected", "parasitized", "rejected"):
        assert said in screen
    for command in ("make demo", "make test"):
        assert f"    {command} " in screen
    assert "## What it cannot do" in screen
    assert screen.count("\n- ") >= 4
    pictures = re.findall(r'<img src="([^"]+)"[^>]* alt="[^"]+"', screen)
    assert pictures == ["docs/report.png"]
    assert 10_000 < (ROOT / pictures[0]).stat().st_size < LARGEST_PICTURE


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 110


@pytest.mark.parametrize("page", TOP, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / target).exists()] == []
