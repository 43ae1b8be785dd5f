"""The commands of the device that are not tested elsewhere, and how they refuse to be used wrongly."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import edge_runtime
from edge_runtime.bundle.files import open_bundle, save_bundle
from edge_runtime.commands import slides
from edge_runtime.console import to_json
from edge_runtime.decision import table
from edge_runtime.fields.gates import GATES

Run = Callable[..., Result]


def test_help_lists_every_command(cellgate: Run) -> None:
    result = cellgate("--help")
    assert result.exit_code == 0
    assert "Research use only" in result.stdout
    for command in ("score", "read", "report", "verify", "inspect", "doctor"):
        assert f"\n  {command} " in result.stdout
        assert cellgate(command, "--help").exit_code == 0


def test_version(cellgate: Run) -> None:
    assert cellgate("--version").stdout == f"cellgate, version {edge_runtime.__version__}\n"


def test_the_installed_command_is_the_same() -> None:
    script = Path(sys.executable).with_name("cellgate")
    if not script.exists():
        pytest.skip("cellgate is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"cellgate, version {edge_runtime.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["diagnose"], "No such command 'diagnose'"),
        (["score"], "Missing argument 'IMAGES'"),
        (["score", "--bundle", "b"], "Missing argument 'IMAGES'"),
        (["score", "x.png", "--bundle", "b", "--provider", "tpu"], "'tpu' is not one of 'cpu', 'cuda'"),
        (["score", "x.png", "--bundle", "b", "--threads", "0"], "0 is not in the range x>=1"),
        (["score", "x.png", "--bundle", "b", "--fast"], "No such option"),
        (["read", "x", "--bundle", "b", "--out", "o"], "Missing option '--slide'"),
        (["read", "x", "--bundle", "b", "--slide", "s"], "Missing option '--out'"),
        (
            ["read", "x", "--bundle", "b", "--slide", "s", "--out", "o", "--fields", "0"],
            "0 is not in the range",
        ),
        (
            ["read", "x", "--bundle", "b", "--slide", "s", "--out", "o", "--every", "-1"],
            "-1.0 is not in the range",
        ),
        (
            ["read", "x", "--bundle", "b", "--slide", "s", "--out", "o", "--every", "soon"],
            "not a valid float",
        ),
    ],
)
def test_wrong_use_is_told_with_exit_code_2(cellgate: Run, arguments: list[str], told: str) -> None:
    result = cellgate(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_verify_prints_every_check_and_passes(cellgate: Run, tiny_bundle: Path) -> None:
    result = cellgate("verify", tiny_bundle)
    assert result.exit_code == 0
    *checks, verdict = result.stdout.splitlines()
    told = " ".join(checks)
    for test in table.TESTS:
        assert f" value of {test.name} " in told
        assert f" frame: value of {test.name} " in told
    assert all(line.startswith("ok   ") for line in checks)
    assert verdict == (
        f"{open_bundle(tiny_bundle).title} decides here as its PyTorch reference did, on CPUExecutionProvider"
    )


def test_verify_fails_with_exit_code_1_where_the_device_decides_otherwise(
    cellgate: Run, edited_bundle: Callable[..., Path], tiny_bundle: Path, tmp_path: Path
) -> None:
    with np.load(tiny_bundle / "reference.npz") as stored:
        vectors = {name: stored[name] for name in stored.files}
    vectors["logits"] = vectors["logits"][:, ::-1]
    np.savez(tmp_path / "other.npz", **vectors)
    bundle = edited_bundle(files={"reference.npz": (tmp_path / "other.npz").read_bytes()})
    result = cellgate("verify", bundle)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    failed = [line.removeprefix("FAIL ").split("  ")[0] for line in lines if line.startswith("FAIL")]
    assert failed == ["logits", "value of stability", "decisions that differ"]
    assert "does NOT decide as its reference did, on CPUExecutionProvider" in result.stdout
    as_json = cellgate("verify", bundle, "--json")
    assert as_json.exit_code == 1
    told = json.loads(as_json.stdout)
    assert told["passed"] is False
    assert [check["name"] for check in told["checks"] if not check["passed"]] == failed


def test_verify_as_json_has_every_check(cellgate: Run, tiny_bundle: Path) -> None:
    result = cellgate("verify", tiny_bundle, "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert list(told) == ["bundle", "provider", "passed", "checks"]
    assert told["bundle"] == open_bundle(tiny_bundle).title
    assert told["provider"] == "CPUExecutionProvider"
    assert told["passed"] is True
    assert all(list(check) == ["name", "value", "limit", "passed"] for check in told["checks"])
    assert all(check["value"] <= check["limit"] and check["passed"] for check in told["checks"])
    assert f"value of {table.TESTS[0].name}" in [check["name"] for check in told["checks"]]


def test_inspect_shows_the_card(cellgate: Run, tiny_bundle: Path) -> None:
    result = cellgate("inspect", tiny_bundle)
    assert result.exit_code == 0
    assert f"{tiny_bundle}: tiny 1 (" in result.stdout
    assert open_bundle(tiny_bundle).digest in result.stdout
    assert (tiny_bundle / "MODEL_CARD.md").read_text() in result.stdout
    assert "Research use only" in result.stdout


def test_inspect_as_json_is_the_manifest_with_its_digest(cellgate: Run, tiny_bundle: Path) -> None:
    shown = json.loads(cellgate("inspect", tiny_bundle, "--json").stdout)
    assert shown.pop("digest") == open_bundle(tiny_bundle).digest
    assert shown == json.loads((tiny_bundle / "manifest.json").read_text())


def test_report_is_written_again_byte_for_byte(
    cellgate: Run, slide_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    read = cellgate(
        "read", slide_folder, "--bundle", tiny_bundle, "--slide", "<b>&", "--out", out, "--fields", "1"
    )
    assert read.exit_code == 0
    first = (out / "report.html").read_bytes()
    assert b"&lt;b&gt;&amp;" in first
    (out / "report.html").unlink()
    assert cellgate("report", out).exit_code == 0
    assert (out / "report.html").read_bytes() == first


def no_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def test_report_and_verdict_are_in_the_language_that_was_asked_for(
    cellgate: Callable[..., Result],
    read_arguments: Callable[..., list[object]],
    slide_folder: Path,
    tmp_path: Path,
) -> None:
    done = cellgate(*read_arguments(slide_folder, "--language", "fr"))
    assert "LECTURE NON EXPLOITABLE, non relu par une personne" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="fr">' in page
    again = cellgate("report", tmp_path / "out")
    assert "NOT READABLE, not reviewed by a person" in again.stdout
    assert '<html lang="en">' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    cellgate("report", tmp_path / "out", "--language", "fr")
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8") == page


def test_read_and_report_as_json_tell_the_slide_in_numbers(
    cellgate: Run, slide_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """The shape on which other programs rely."""
    out = tmp_path / "out"
    read = cellgate("read", slide_folder, "--bundle", tiny_bundle, "--slide", "S-9", "--out", out, "--json")
    assert read.exit_code == 0
    told = json.loads(read.stdout, parse_constant=no_constant)
    assert list(told) == ["header", "counts", "group", "unread", "verdict", "estimate", "reviewed", "report"]
    header, counts, group = told["header"], told["counts"], told["group"]
    assert list(header) == [
        "slide", "source", "bundle", "bundle_digest", "tests", "gates", "classes", "parasitized", "usual",
        "correlation", "provider", "software", "started", "finished", "repeats", "sensitivity",
        "false_positives", "findable", "until", "every", "operator", "device", "libraries",
    ]  # fmt: skip
    assert (header["slide"], header["source"]) == ("S-9", str(slide_folder))
    limits = open_bundle(tiny_bundle).manifest.detector.limits
    assert header["tests"] == [
        {
            "name": test.name,
            "reason": test.reason.code,
            "sentence": test.reason.sentence,
            "whole": test.reason.whole,
            "side": test.side,
            "limit": limits[test.name],
        }
        for test in table.TESTS
    ]
    assert list(counts) == [
        "uninfected", "parasitized", "rejected", "not_judged", "fields", "skipped", "stopped", "stops",
        "reasons", "broken", "classes",
    ]  # fmt: skip
    assert list(counts["reasons"]) == list(dict.fromkeys(test.reason.code for test in table.TESTS))
    assert sum(counts["reasons"].values()) == counts["rejected"] > 0
    assert list(counts["stops"]) == list(dict.fromkeys(gate.reason for gate in GATES))
    assert (counts["fields"], counts["stopped"], counts["skipped"]) == (3, 0, 0)
    assert told["unread"] == ""
    assert told["verdict"]["word"] == "not-readable"
    assert told["verdict"]["reasons"][0].startswith("3 of at least 10 fields")
    assert told["estimate"] is None
    assert (header["classes"], header["parasitized"]) == (["uninfected", "parasitized"], ["parasitized"])
    assert counts["classes"] == {name: counts[name] for name in ("uninfected", "parasitized")}
    assert header["gates"] == [
        {
            "name": gate.name,
            "reason": gate.reason,
            "sentence": gate.sentence,
            "advice": gate.advice,
            "side": gate.side,
            "limit": open_bundle(tiny_bundle).manifest.gates[gate.name],
        }
        for gate in GATES
    ]
    assert list(group) == ["cells", "rejected", "most", "p_value", "alarm"]
    assert group["rejected"] == counts["rejected"] - counts["broken"]
    assert told["report"] == str(out / "report.html")
    assert [line.split(" (")[0] for line in read.stderr.splitlines()] == ["field 1", "field 2", "field 3"]
    again = cellgate("report", out, "--json")
    assert (again.exit_code, again.stdout, again.stderr) == (0, read.stdout, "")


def test_json_has_null_where_there_is_no_number() -> None:
    value = {"a": math.nan, "b": [math.inf, (1.5, -math.inf)], "c": {"d": True, "e": "nan", "f": None}}
    told = json.loads(to_json(value), parse_constant=no_constant)
    assert told == {"a": None, "b": [None, [1.5, None]], "c": {"d": True, "e": "nan", "f": None}}


def test_the_simulated_camera_is_read_end_to_end(cellgate: Run, tiny_bundle: Path, tmp_path: Path) -> None:
    result = cellgate(
        "read",
        "simulated:fields=1,seed=3",
        "--bundle",
        tiny_bundle,
        "--slide",
        "S",
        "--out",
        tmp_path / "out",
    )
    assert result.exit_code == 0
    counted = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines()[:2])
    assert int(counted["uninfected"]) > 50
    assert int(counted["parasitized"]) >= 1


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
def test_a_reader_that_leaves_early_is_no_traceback(
    crops_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    command = (
        f"{sys.executable} -m edge_runtime.cli score {crops_folder} --bundle {tiny_bundle} --json | head -n 1"
    )
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["path"].endswith("cell-00.png")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_clock_that_was_never_set_is_told_in_one_line(
    cellgate: Run, read_arguments: Callable[..., list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slides, "now", lambda: "1970-01-01T00:03:07+00:00")
    told = cellgate(*read_arguments("simulated:fields=1,seed=5")).stderr.splitlines()
    assert told[0].startswith("note: the clock of this device was not set: it said 1970-01-01; ")
    assert not any("clock" in line for line in told[1:])


def test_read_tells_further_classes_by_name(
    cellgate: Run, slide_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = open_bundle(tiny_bundle)
    named = replace(bundle.manifest, classes=("uninfected", "ring"))
    save_bundle(tmp_path / "named", named, bundle.contents)
    done = cellgate(
        "read", slide_folder, "--bundle", tmp_path / "named", "--slide", "S", "--out", tmp_path / "o"
    )
    assert done.exit_code == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    at = next(number for number, line in enumerate(lines) if line[0] == "parasitized")
    assert lines[at + 1] == [lines[at][1], "ring"]
    assert lines[at - 1][0] == "uninfected"  # there is one class of that name, so it is not named again
    told = json.loads(cellgate("report", tmp_path / "o", "--json").stdout)
    assert told["counts"]["classes"]["ring"] == int(lines[at][1]) > 0
