"""The whole evaluation, once, of a small run on simulated cells; then what it left is looked at."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from edge_runtime.errors import SourceError
from edge_runtime.simulator.corruptions import CORRUPTIONS, SEVERITIES
from scripts import compare_layers
from training.__main__ import main
from training.cells.source import CellSource
from training.evaluation import evaluate as room
from training.evaluation.attacked import ATTACKS
from training.evaluation.evaluate import LEVELS
from training.evaluation.kept import load_kept
from training.evaluation.plots import FIGURES
from training.evaluation.rows import check_possible
from training.evaluation.segmentation_errors import SEGMENTATION_ERRORS
from training.evaluation.subject import load_subject

pytestmark = pytest.mark.slow

LIMIT = 40


def command(*arguments: object, threads: int = 1) -> Result:
    return CliRunner().invoke(main, ["--threads", str(threads), "evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def out(run: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    before = torch.get_num_threads()
    made = command("--run", run, "--out", folder, "--limit", LIMIT, "--cache", cache, threads=2)
    torch.set_num_threads(before)
    assert made.exit_code == 0, made.output
    assert all(Path(line).exists() for line in made.stdout.splitlines())
    return folder


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


def test_every_plot_is_drawn(out: Path) -> None:
    assert {path.stem for path in (out / "plots").iterdir()} == set(FIGURES)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (out / "plots").iterdir())


def test_every_set_has_a_row_of_every_detector(results: dict[str, Any]) -> None:
    rows = {(row["images"], row["detector"], row["mode"]): row for row in results["rows"]}
    detectors = {(detector, mode) for _, detector, mode in rows if mode != "paper protocol"}
    assert {("ODIN", "-")} <= detectors
    assert {(name, "unsupervised") for name in ("shipped", "Mahalanobis", "LID")} <= detectors
    turned = {name for name, counts in results["attacks"].items() if counts["turned"] >= 2}
    assert set(results["attacks"]) == {attack.name for attack in ATTACKS}
    assert "BIM 8/255, cell only, 8 bit" in turned
    for images in {"binary, made anew", "simulated OOD", *SEGMENTATION_ERRORS, *turned}:
        for detector, mode in detectors:
            row = rows[images, detector, mode]
            check_possible(images, row["separation"])
            assert row["inside"] == LIMIT
            low, high = row["auroc_interval"]
            assert 0 <= low <= high <= 1
    known = rows["half the scale", "Mahalanobis", "paper protocol"]
    assert known["outside"] == LIMIT // 2


def test_every_corruption_is_judged(results: dict[str, Any]) -> None:
    found = [(row["corruption"], row["severity"]) for row in results["corruptions"]]
    assert found == [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    assert {row["verdict"] for row in results["corruptions"]} <= {"harmless", "harmful", ""}
    assert set(results["harmless_accepted"]) >= {
        "shipped [unsupervised]",
        "Mahalanobis [unsupervised]",
        "softmax margin",
    }


def test_an_attacker_who_knows_more_is_no_weaker(results: dict[str, Any]) -> None:
    curve = results["adaptive"]
    assert curve["levels"] == list(LEVELS)
    assert curve["adaptive"] == sorted(curve["adaptive"])
    assert all(a >= u for a, u in zip(curve["adaptive"], curve["unnoticed"], strict=True))
    assert all(t >= u for t, u in zip(curve["classifier"], curve["unnoticed"], strict=True))
    assert curve["adaptive"][-1] > curve["adaptive"][0]


def test_every_detector_has_a_standing(results: dict[str, Any]) -> None:
    standings = {one["title"]: one for one in results["standings"]}
    assert set(standings) == set(results["thresholds"])
    means = [one["mean"] for one in results["standings"]]
    assert means == sorted(means, reverse=True)
    one = standings["shipped [unsupervised]"]
    rows = [row for row in results["rows"] if (row["detector"], row["mode"]) == ("shipped", "unsupervised")]
    errors = [row["separation"]["auroc"] for row in rows if row["group"] == "segmentation"]
    assert one["aurocs"][1] == pytest.approx(np.mean(errors))
    assert one["mean"] == pytest.approx(np.mean(one["aurocs"]))
    assert one["interval"][0] <= one["mean"] <= one["interval"][1]


def test_layers_are_compared_on_the_sets_that_were_kept(run: Path, cache: Path, out: Path) -> None:
    done = CliRunner().invoke(
        compare_layers.main, ["--run", str(run), "--evaluated", str(out), "--cache", str(cache)]
    )
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("|")][2:]
    # All layers, the deepest four to one, the others; each without stability and with it.
    assert len(lines) == len(compare_layers.FEATURES) * 6 * 2
    for stable in ("no", "yes"):
        told = f"| layer3 to layer4 | {stable} |"
        assert sum(told in line for line in lines) == len(compare_layers.FEATURES)


def test_tables_hold_the_rows(out: Path, results: dict[str, Any]) -> None:
    paper, honest = (out / "paper.md").read_text(), (out / "honest.md").read_text()
    assert f"| binary, made anew | {LIMIT} + " in paper
    assert "cell only" not in paper
    for name in (*SEGMENTATION_ERRORS, *CORRUPTIONS, "BIM 2/255, cell only, 8 bit", f"{LIMIT} test cells"):
        assert name in honest
    shares = [row["kept"] for row in results["rows"] if row["detector"] == "shipped"]
    assert f"| shipped [unsupervised] | {100 * (1 - shares[0]):.1f} |" in honest


def test_a_set_holds_what_was_made(out: Path, run: Path, cache: Path, results: dict[str, Any]) -> None:
    kept = load_kept(out / "cache", "BIM 8/255, cell only, 8 bit")
    assert kept is not None
    assert kept.set.attempts == results["attacks"][kept.set.name]["attacked"]
    assert not kept.right.any()  # every one of them is turned
    trained = load_subject(run, CellSource(cache=cache)).trained
    decided = trained.decide(np.asarray(kept.set.images, np.uint8))
    assert set(kept.answers) == {"stability", "margin"}
    for name, values in kept.answers.items():
        assert values == pytest.approx(decided.value(name), rel=1e-3, abs=1e-3)
    assert kept.set.images.dtype == np.uint8
    floats = load_kept(out / "cache", "DeepFool, whole frame, float")
    assert floats is not None
    assert floats.set.images.dtype == np.float32


@pytest.mark.parametrize("name", ["clean", "BIM 8/255, cell only, 8 bit"])
def test_the_shipped_score_is_the_decision(out: Path, run: Path, cache: Path, name: str) -> None:
    subject, kept = load_subject(run, CellSource(cache=cache)), load_kept(out / "cache", name)
    assert kept is not None
    decided = subject.trained.decide(np.asarray(kept.set.images, np.uint8))
    score = kept.scores["shipped [unsupervised]"]
    clear = np.abs(score + 1) > 1e-3
    assert clear.mean() > 0.9
    assert np.array_equal((score < -1)[clear], decided.rejected[clear])


def test_rejected_is_what_the_deployed_decision_rejects(
    out: Path, run: Path, cache: Path, results: dict[str, Any]
) -> None:
    subject = load_subject(run, CellSource(cache=cache))
    rows = {row["images"]: row for row in results["rows"] if row["detector"] == "shipped"}
    assert results["thresholds"]["shipped [unsupervised]"] == -1.0
    for name in ("half the scale", "simulated OOD"):
        kept = load_kept(out / "cache", name)
        assert kept is not None
        decided = subject.trained.decide(np.asarray(kept.set.images, np.uint8))
        assert rows[name]["refused"] == pytest.approx(decided.rejected.mean(), abs=1.5 / len(kept.set))


def test_what_was_cut_off_goes_on(
    out: Path, run: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "evaluated"
    shutil.copytree(out, folder)
    (folder / "cache" / "two-cells.npz").unlink()
    damaged = folder / "cache" / "no-cell.npz"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    made = []
    job = room._done

    def counted(*arguments: Any) -> object:
        if load_kept(arguments[1], arguments[0].name) is None:
            made.append(arguments[0].name)
        return job(*arguments)

    monkeypatch.setattr(room, "_done", counted)
    again = command("--run", run, "--out", folder, "--limit", LIMIT, "--cache", cache, "--resume")
    assert again.exit_code == 0, again.output
    assert made == ["two cells", "no cell"]
    assert (folder / "results.json").read_text() == (out / "results.json").read_text()


def test_another_evaluation_is_not_overwritten(out: Path, run: Path, cache: Path) -> None:
    subject = load_subject(run, CellSource(cache=cache))
    with pytest.raises(SourceError, match="holds an evaluation already; go on with --resume"):
        room.evaluate(subject, out, limit=LIMIT)
    with pytest.raises(SourceError, match="with other settings; choose another --out"):
        room.evaluate(subject, out, limit=LIMIT + 1, resume=True)


def test_unknown_rows_are_refused(run: Path, tmp_path: Path) -> None:
    wrong = command("--run", run, "--out", tmp_path / "x", "--rows", "paper,colour")
    assert wrong.exit_code == 2
    assert "choose among paper,ood,segmentation,corruptions,attacks" in wrong.output
    assert not (tmp_path / "x").exists()
