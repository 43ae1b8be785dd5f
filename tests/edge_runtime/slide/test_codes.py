"""A slide's code that looks like a person's name is questioned."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from edge_runtime.slide.codes import looks_like_a_name


@pytest.mark.parametrize(
    "code",
    [
        "Anna Meier",
        "Meier, Anna",
        "Dr. Ly",
        "jean-pierre dupont",
        "OKAFOR_CHIDI",
        "Фатима Диалло",
        "Meier 3.4.1987",
    ],
)
def test_a_name_is_questioned(code: str) -> None:
    assert looks_like_a_name(code)


@pytest.mark.parametrize(
    "code", ["S", "S-1", "2026-114", "A17/ü", "K 12", "slide-7", "QC", "2026-11-28", "site3_slide12", "S-17"]
)
def test_a_code_is_not(code: str) -> None:
    assert not looks_like_a_name(code)


def test_who_means_it_says_so(
    cellgate: Callable[..., Result], slide_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    line = ("read", slide_folder, "--slide", "Anna Meier", "--out", tmp_path / "out", "--bundle", tiny_bundle)
    told = cellgate(*line)
    assert told.exit_code == 2
    assert "'Anna Meier' looks like a person's name" in told.output
    assert not (tmp_path / "out").exists()
    assert cellgate(*line, "--no-name").exit_code == 0
