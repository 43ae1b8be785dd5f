"""A slide's cells, judged once more, are answered as they were; whatever was changed is told."""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.errors import BundleError
from edge_runtime.slide.reading import read_slide
from edge_runtime.slide.replay import replay_slide

Cellgate = Callable[..., Result]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, slide_folder: Path, classifier: Classifier) -> Path:
    out = tmp_path_factory.mktemp("read") / "out"
    read_slide(slide_folder, classifier, "S", out, language="fr")
    return out


@pytest.fixture
def out(read: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(read, tmp_path / "out"))


def changed(out: Path, statement: str) -> None:
    with sqlite3.connect(out / "slide.sqlite") as connection:
        connection.execute(statement)
    connection.close()


def test_a_slide_is_judged_as_it_was(read: Path, classifier: Classifier) -> None:
    found = replay_slide(read, classifier)
    assert found.passed
    assert found.cells > 30
    assert (found.differing, found.misfits, found.report) == ((), (), "")


def test_a_changed_answer_is_told_with_its_cell(out: Path, classifier: Classifier) -> None:
    changed(
        out,
        "UPDATE cell SET status = 'rejected', reason = 'far-from-training' WHERE rowid = "
        "(SELECT rowid FROM cell WHERE status = 'uninfected' AND field = 2 LIMIT 1)",
    )
    found = replay_slide(out, classifier)
    (told,) = found.differing
    assert "of field 2: rejected far-from-training uninfected before, uninfected uninfected now" in told
    assert found.misfits == ("entry 3 (field 2) is not as it was written",)
    assert "is not what the record says" in found.report


def test_a_changed_crop_is_told(out: Path, classifier: Classifier) -> None:
    changed(
        out,
        "UPDATE cell SET crop = (SELECT crop FROM cell WHERE status = 'parasitized' LIMIT 1) "
        "WHERE status = 'uninfected'",
    )
    found = replay_slide(out, classifier)
    assert found.differing
    assert not found.passed


def test_a_report_that_is_gone_or_changed_is_told(out: Path, classifier: Classifier) -> None:
    (out / "report.html").write_text((out / "report.html").read_text().replace("S", "T"))
    assert "is not what the record says; 'cellgate report'" in replay_slide(out, classifier).report
    (out / "report.html").unlink()
    assert "is not there; 'cellgate report'" in replay_slide(out, classifier).report


def test_the_bundle_that_read_the_slide_is_named(read: Path, classifier: Classifier) -> None:
    other = replace(classifier, bundle=replace(classifier.bundle, digest="0" * 64))
    with pytest.raises(BundleError, match=r"but the slide was read by tiny 1 .*sha256 .*--bundle"):
        replay_slide(read, other)


def test_the_command_says_so_by_its_exit_code(out: Path, cellgate: Cellgate, tiny_bundle: Path) -> None:
    told = cellgate("replay", out, "--bundle", tiny_bundle)
    assert told.exit_code == 0, told.output
    assert "0 answered otherwise; the record and its report are as they were" in told.output
    changed(out, "UPDATE slide SET slide = 'T'")
    told = cellgate("replay", out, "--bundle", tiny_bundle)
    assert told.exit_code == 1
    assert "entry 1 (started) is not as it was written" in told.output
    assert "NOT as they were" in told.output
