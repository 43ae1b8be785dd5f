"""Where no bundle is named, the one that came with cellgate decides; where none came, we say what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import edge_runtime
from edge_runtime.bundle import files
from edge_runtime.bundle.files import default_bundle, open_bundle
from edge_runtime.errors import BundleError
from edge_runtime.record.slide_record import SlideRecord

Run = Callable[..., Result]


def test_it_lies_in_the_package() -> None:
    assert Path(edge_runtime.__file__).with_name("default_bundle") == files.DEFAULT


def test_it_is_opened_where_it_lies(as_default: Path) -> None:
    assert default_bundle() == as_default


def test_score_uses_it_and_says_so(cellgate: Run, as_default: Path, crops_folder: Path) -> None:
    result = cellgate("score", crops_folder, "--json")
    assert result.exit_code == 0
    title = open_bundle(as_default).title
    assert {json.loads(line)["bundle"] for line in result.stdout.splitlines()} == {title}
    assert f"by {title}" in result.stderr


def test_read_uses_it_and_summary_record_and_report_say_so(
    cellgate: Run, as_default: Path, slide_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = cellgate("read", slide_folder, "--slide", "S", "--out", out, "--fields", "1")
    assert result.exit_code == 0
    used = open_bundle(as_default)
    assert f"bundle {used.title} on CPUExecutionProvider" in result.stdout
    with SlideRecord.open(out / "slide.sqlite") as record:
        assert (record.header().bundle, record.header().bundle_digest) == (used.title, used.digest)
    page = (out / "report.html").read_text()
    assert used.title in page
    assert used.digest in page


def test_verify_and_inspect_use_it(cellgate: Run, as_default: Path) -> None:
    used = open_bundle(as_default)
    verified = cellgate("verify")
    assert verified.exit_code == 0
    assert verified.stdout.splitlines()[-1].startswith(f"{used.title} decides here as its PyTorch reference")
    assert f"{as_default}: {used.title}, every hash is right" in cellgate("inspect").stdout
    assert json.loads(cellgate("inspect", "--json").stdout)["digest"] == used.digest


@pytest.mark.usefixtures("without_default")
def test_a_bundle_that_is_named_goes_before(
    cellgate: Run, tiny_bundle: Path, crops_folder: Path, slide_folder: Path, tmp_path: Path
) -> None:
    """The default is not even looked for."""
    named = ("--bundle", tiny_bundle)
    assert cellgate("score", crops_folder, *named).exit_code == 0
    out = tmp_path / "out"
    read = cellgate("read", slide_folder, *named, "--slide", "S", "--out", out, "--fields", "1")
    assert read.exit_code == 0
    assert cellgate("verify", tiny_bundle).exit_code == 0
    assert cellgate("inspect", tiny_bundle).exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["score"], ["read", "--slide", "S", "--out", "o"], ["verify"], ["inspect"]]
)
def test_where_none_came_it_is_said_what_to_do(
    refusal: Callable[..., str],
    without_default: Path,
    crops_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    source = [crops_folder] if command in ("score", "read") else []
    told = refusal(command, *source, *options)
    assert told.startswith(f"{without_default}: this cellgate came without a default bundle; ")
    assert "make it with 'make default-bundle'" in told
    assert "--bundle" in told
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_its_hashes_are_checked(refusal: Callable[..., str], as_default: Path, command: str) -> None:
    (as_default / "MODEL_CARD.md").write_text("Perfect.")
    assert refusal(command).startswith(f"{as_default}/MODEL_CARD.md: altered since the bundle was sealed")


def test_a_folder_without_manifest_is_no_absence(as_default: Path) -> None:
    """Something is broken then, and making another would hide it."""
    (as_default / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"manifest\.json: missing from the bundle; copy the bundle again"):
        open_bundle(default_bundle())


@pytest.mark.parametrize("command", ["score", "read", "verify", "inspect"])
def test_help_says_what_is_used_where_none_is_named(cellgate: Run, command: str) -> None:
    told = " ".join(cellgate(command, "--help").stdout.split())
    assert "the default bundle, which came with cellgate, if left out" in told
