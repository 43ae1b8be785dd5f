"""The default bundle's figures in the pages: as its manifest has them, and written by the command."""

from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from edge_runtime.bundle.performance import Rate
from edge_runtime.errors import CheckFailedError
from scripts import figures

PAGE = f"# Title\n\n{figures.START}\nold\n{figures.END}\n\nMore.\n"


def manifest(**changes: Any) -> Any:
    performance: dict[str, Any] = {
        "split": "patient",
        "patients": 24,
        "parasitized": 1600,
        "uninfected": 1650,
        "accuracy": 0.9596,
        "accuracy_interval": (0.9508, 0.9697),
        "sensitivity": 0.9579,
        "false_positive_rate": 0.0388,
        "rejected": 0.0459,
        "accuracy_of_accepted": 0.966,
        "agreed": 3100,
        "agreed_accuracy_of_accepted": 0.9958,
        "folds": 1,
        "called_of_parasitized": Rate(1500, 1520, (0.9712, 0.9961), 0.02),
        "called_of_healthy": Rate(3, 1200, (0.0, 0.00613), 0.01),
        "ood_rejected": {
            "nih_native_ood/masked/platelet (18)": 1.0,
            "nih_native_ood/masked/wbc (2)": 0.5,
            "nih_native_ood/context/platelet (18)": 0.0,
            "natural (40)": 0.9,
            "histology (6)": 1.0,
        },
        "corruptions_accepted": {"dimmer light": 0.971, "warm cast": 0.95},
        "corruptions_accuracy": {"dimmer light": 0.963, "warm cast": 0.964},
    }
    return SimpleNamespace(name="a-bundle", version="7", performance=SimpleNamespace(**performance | changes))


def test_figures_are_those_of_the_manifest() -> None:
    ood = "`training test --ood`"
    assert figures.figures(manifest()) == (
        "The bundle a-bundle 7, tested on 3,250 cells of 24 patients:\n\n"
        "| what | value | command |\n|---|---|---|\n"
        "| accuracy | 96.0 % (95 % interval over patients: 95.1 to 97.0) | `training test` |\n"
        "| parasitized cells called so (sensitivity) | 95.8 % | `training test` |\n"
        "| uninfected cells called so (specificity) | 96.1 % | `training test` |\n"
        "| cells rejected | 4.6 % | `training test` |\n"
        "| accuracy of the accepted cells | 96.6 % | `training test` |\n"
        "| the same where both readings of a cell agree | 99.6 % | `training test` |\n"
        "| accepted parasitized cells, called so "
        "| 1,500 of 1,520 (97.1 to 99.6 % over patients) | `training test` |\n"
        "| accepted cells of healthy patients, called parasitized "
        "| 3 of 1,200 (0.0 to 0.6 % over patients) | `training test` |\n"
        f"| white cells, platelets and debris of the same slides, rejected | 19 of 20 | {ood} |\n"
        f"| white cells of other laboratories and other images, rejected | 42 of 46 | {ood} |\n"
        "| cells accepted when light, colour or focus is a little off "
        "| at least 95.0 %, of these right at least 96.3 % | `training test --corruptions` |\n"
    )


def test_what_was_not_measured_has_no_row() -> None:
    without = {"ood_rejected": {}, "corruptions_accepted": {}, "corruptions_accuracy": {}}
    none = Rate(0, 0, (0.0, 1.0), 0.0)
    nobody = {"agreed": 0, "called_of_parasitized": none, "called_of_healthy": none}
    assert len(figures.figures(manifest(**without)).splitlines()) == 12
    table = figures.figures(manifest(**without, **nobody))
    assert len(table.splitlines()) == 9
    assert "--ood" not in table


def test_a_cross_fitted_bundle_names_what_measured_it() -> None:
    table = figures.figures(manifest(folds=5))
    assert table.count("`training crossfit`") == 9
    assert "`training test`" not in table


def test_only_what_is_between_the_markers_is_written() -> None:
    written = figures.with_table(PAGE, "new\n", "page.md")
    assert written == f"# Title\n\n{figures.START}\n\nnew\n\n{figures.END}\n\nMore.\n"
    assert figures.with_table(written, "new\n", "page.md") == written


@pytest.mark.parametrize(
    "text", ["no marker", figures.START, f"{figures.END}\n{figures.START}", PAGE + PAGE], ids=range(4)
)
def test_a_page_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(CheckFailedError, match=r"page\.md: expected one line"):
        figures.with_table(text, "new\n", "page.md")


def test_the_pages_have_the_figures_of_the_default_bundle() -> None:
    result = CliRunner().invoke(figures.main, ["--check"], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_a_page_with_other_figures_fails_the_check_until_it_is_written(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "PAGES", ("page.md",))
    monkeypatch.setattr(figures, "default_bundle", lambda: tmp_path)
    monkeypatch.setattr(figures, "open_bundle", lambda _: SimpleNamespace(manifest=manifest()))
    (tmp_path / "page.md").write_text(PAGE)
    runner = CliRunner()
    stale = runner.invoke(figures.main, ["--check"])
    assert stale.exit_code == 1
    assert "page.md" in stale.output
    assert (tmp_path / "page.md").read_text() == PAGE
    assert runner.invoke(figures.main, []).output == "written: page.md\n"
    assert "| accuracy | 96.0 %" in (tmp_path / "page.md").read_text()
    assert runner.invoke(figures.main, ["--check"]).exit_code == 0
