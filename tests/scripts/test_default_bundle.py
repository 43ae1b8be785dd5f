"""`make default-bundle`: each step once, an old bundle in its place until the new one is sealed."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from edge_runtime.bundle.files import open_bundle
from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import CheckFailedError, SourceError
from export.__main__ import main as export_commands
from scripts import default_bundle
from scripts.default_bundle import EPOCHS, is_sealed, main, next_step, seal, train, unpacked
from training.__main__ import main as training_commands
from training.run import RunConfig, RunInfo, add_metrics, load_run, save_run

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"
CELLS = "simulated:slides=20,fields=3,seed=1000,parasitized=0.45"
INFO = RunInfo(
    config=RunConfig(
        (CELLS,), "edge", "patient", seed=0, epochs=1, batch_size=64, learning_rate=0.1, test="none"
    ),
    input=InputSpec(),
    classes=("uninfected", "parasitized"),
    layers=("stem",),
    parasitized=("parasitized",),
    cells_digest="",
    labels_digest="",
    split_digest="",
    counts={},
    git_commit="",
    torch="",
)


class Stage:
    """Stands in for the commands: does to the folders what each would do, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.cut_off_at = ""

    @property
    def names(self) -> list[str]:
        return [" ".join(arguments[:2]) for arguments in self.asked]

    def __call__(self, *arguments: str) -> None:
        self.asked.append(list(arguments))
        name = arguments[1]
        if name == "crossfit" and not self.option("--run").exists():
            self.option("--run").mkdir(parents=True)
            save_run(self.option("--run"), INFO)
        if name == self.cut_off_at:
            self.cut_off_at = ""
            raise KeyboardInterrupt
        getattr(self, f"_{name}")()

    def option(self, name: str) -> Path:
        return Path(self.asked[-1][self.asked[-1].index(name) + 1])

    def _crossfit(self) -> None:
        for name in ("weights.pt", "gaussians.npz"):
            (self.option("--run") / name).write_text(name)
        (self.option("--run") / "calibration.json").write_text("{}")
        add_metrics(self.option("--run"), validation_accuracy=0.9, test={}, folds=5, corruptions={})

    def _test(self) -> None:
        add_metrics(self.option("--run"), test={}, ood={})

    def _bundle(self) -> None:
        shutil.copytree(TINY, self.option("--out"))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    stand_in = Stage()
    monkeypatch.setattr(default_bundle, "command", stand_in)
    monkeypatch.chdir(tmp_path)  # no ../shared/data here
    return stand_in


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "default"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "package" / "default_bundle"


@pytest.fixture
def make(stage: Stage, run: Path, out: Path) -> Callable[..., str]:
    """Run the script; returns what it printed."""

    def made(*more: str, cells: str = CELLS, code: int = 0) -> str:
        out.parent.mkdir(exist_ok=True)
        arguments = ["--cells", cells, "--run", str(run), "--out", str(out), *more]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result.output

    return made


ALL = ["training crossfit", "export bundle"]


def test_every_step_is_done_and_the_bundle_is_in_its_place(
    make: Callable[..., str], stage: Stage, run: Path, out: Path
) -> None:
    told = make()
    assert stage.names == ALL
    asked = [each for each in stage.asked[0] if each not in {"--precision", "bfloat16"}]
    assert asked == [
        "training",
        "crossfit",
        "--run",
        str(run),
        "--network",
        "edge",
        "--split",
        "patient",
        "--epochs",
        str(EPOCHS),
        "--cells",
        CELLS,
    ]
    assert open_bundle(out).title in told
    assert [file.name for file in out.parent.iterdir()] == ["default_bundle"]


def test_a_second_run_does_nothing(make: Callable[..., str], stage: Stage, run: Path) -> None:
    make()
    stage.asked.clear()
    assert f"made from {run} already, nothing to do" in make()
    assert stage.asked == []


@pytest.mark.parametrize(
    ("step", "again"),
    [
        ("crossfit", ALL),
        ("bundle", ALL[1:]),
    ],
)
def test_cut_off_it_goes_on_where_it_stood(
    make: Callable[..., str], stage: Stage, step: str, again: list[str]
) -> None:
    stage.cut_off_at = step
    make(code=130)
    stage.asked.clear()
    make()
    assert stage.names == again


def test_an_old_bundle_stays_until_the_new_one_is_sealed(
    make: Callable[..., str], stage: Stage, out: Path
) -> None:
    shutil.copytree(TINY, out)
    (out / "old").touch()
    stage.cut_off_at = "bundle"
    make(code=130)
    assert (out / "old").exists()
    make()
    assert not (out / "old").exists()
    assert [file.name for file in out.parent.iterdir()] == ["default_bundle"]


def test_an_old_bundle_that_was_moved_aside_comes_back(
    stage: Stage, make: Callable[..., str], out: Path
) -> None:
    """Cut off between the two renames, there would be none until the next sealing has ended."""
    shutil.copytree(TINY, out.with_name("default_bundle.old"))
    stage.cut_off_at = "bundle"
    make(code=130)
    assert open_bundle(out).manifest.name == "tiny"


def test_too_large_a_bundle_is_not_moved_in(
    make: Callable[..., str], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_bundle, "LARGEST", 1000)
    assert "the wheel takes 0 at most" in make(code=1)
    assert not out.exists()


def test_a_bundle_of_another_state_of_the_run_is_sealed_again(
    make: Callable[..., str], stage: Stage, run: Path, out: Path
) -> None:
    make()
    (run / "weights.pt").write_text("others")
    assert not is_sealed(run, out)
    stage.asked.clear()
    make()
    assert stage.names == ["export bundle"]


def test_an_altered_bundle_is_sealed_again(
    make: Callable[..., str], stage: Stage, run: Path, out: Path
) -> None:
    make()
    (out / "MODEL_CARD.md").write_text("Perfect.")
    assert not is_sealed(run, out)


def test_a_new_calibration_is_pooled_again(make: Callable[..., str], stage: Stage, run: Path) -> None:
    make()
    later = (run / "run.json").stat().st_mtime_ns + 10**9
    os.utime(run / "calibration.json", ns=(later, later))
    again = next_step(run, CELLS, None)
    assert again is not None
    assert again[0] == "crossfit"


def test_ood_images_are_judged_where_they_are_given(
    make: Callable[..., str], stage: Stage, tmp_path: Path
) -> None:
    make()
    stage.asked.clear()
    (tmp_path / "others").mkdir()
    make("--ood", str(tmp_path / "others"))
    assert stage.names == ["training test", "export bundle"]
    assert stage.option("--cells") == Path(CELLS)
    assert stage.asked[0][2:4] == ["--ood", str(tmp_path / "others")]


def test_a_second_reading_goes_along(make: Callable[..., str], stage: Stage, tmp_path: Path) -> None:
    make("--reread", str(tmp_path / "reread.csv"))
    assert stage.asked[0][stage.asked[0].index("--reread") + 1] == str(tmp_path / "reread.csv")
    assert "--overlays" in stage.asked[0]  # which are cut from what a second reading doubts


def test_a_path_inside_a_zip_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("set/masked/wbc/1.png", "set/masked/notes.txt", "set/whole/2.png"):
            archive.writestr(name, b"content")
    folder = Path(unpacked(f"{tmp_path}/x.zip/set/masked", tmp_path / "unpacked"))
    files = [file for file in folder.parents[1].rglob("*") if file.is_file()]
    assert files == [folder / "wbc" / "1.png"]
    assert unpacked(f"{tmp_path}/x.zip", tmp_path / "unpacked") == f"{tmp_path}/x.zip"


@pytest.mark.parametrize(
    ("ood", "told"), [("gone.zip/a", "check --ood"), ("x.zip/gone", "check the path inside")]
)
def test_ood_images_that_are_not_there_are_refused(tmp_path: Path, ood: str, told: str) -> None:
    zipfile.ZipFile(tmp_path / "x.zip", "w").close()
    with pytest.raises(SourceError, match=told):
        unpacked(f"{tmp_path}/{ood}", tmp_path / "unpacked")


def test_cells_that_are_not_there_are_refused_with_where_to_get_them(
    make: Callable[..., str], stage: Stage
) -> None:
    assert "python -m training download --out cell_images.zip" in make(cells="gone.zip", code=1)
    assert stage.asked == []


def test_a_run_of_other_cells_is_refused_also_when_all_is_done(
    make: Callable[..., str], stage: Stage, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    monkeypatch.setenv("CELLGATE_CACHE", str(run / "cache"))
    told = make(cells="simulated:slides=2,fields=1", code=1)
    assert (
        f"not the cells this run was trained on; give the same archive, or remove {run} to begin anew" in told
    )


@pytest.mark.parametrize("change", [{"network": "vgg19"}, {"split": "image"}, {"test": "30%"}])
def test_a_run_of_another_kind_is_refused(
    make: Callable[..., str], run: Path, change: dict[str, str]
) -> None:
    run.mkdir(parents=True)
    save_run(run, replace(INFO, config=replace(INFO.config, **change)))
    assert "expected edge, split by patient, tested on none: choose another folder with --run" in make(code=1)


def test_a_step_that_changes_nothing_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    monkeypatch.setattr(default_bundle, "command", lambda *_: None)
    with pytest.raises(CheckFailedError, match="changed nothing; remove that folder"):
        train(run, CELLS, None)


def test_the_commands_understand_what_they_are_asked(make: Callable[..., str], stage: Stage) -> None:
    """The stand-in would take anything."""
    make("--epochs", "1", "--ood", str(TINY), "--reread", "some.csv")
    groups = {"training": training_commands, "export": export_commands}
    assert len(stage.asked) == 3
    for room, name, *options in stage.asked:
        group = groups[room]
        context = group.commands[name].make_context(name, list(options), parent=click.Context(group))
        if name == "crossfit":  # which passes on what it does not know to every fit
            of_fit = ["--run", "run", *context.params["options"]]
            training_commands.commands["fit"].make_context("fit", of_fit, parent=click.Context(group))


def test_a_failing_command_ends_the_script_with_its_code(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        default_bundle.command("training", "calibrate", "--run", "gone")
    assert ended.value.code == 1
    told = capfd.readouterr()
    assert "$ python -m training calibrate --run gone" in told.out
    assert "error: gone: no run folder" in told.err


@pytest.mark.skipif(not Path("/proc").exists(), reason="the processes of a process are read from /proc")
def test_training_ends_with_the_script_even_if_that_is_killed(tmp_path: Path) -> None:
    asked = ("training", "fit", "--cells", "simulated:slides=400,fields=4", "--run", str(tmp_path / "run"))
    code = f"from scripts import default_bundle; default_bundle.command(*{asked})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as script:
        begun = Path(f"/proc/{script.pid}/task/{script.pid}/children")
        step = wait_for(lambda: begun.read_text().split(), seconds=30)[0]
        script.kill()
    state = Path(f"/proc/{step}/stat")

    def ended() -> bool:  # Z: nobody has asked for its exit code yet
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"

    assert wait_for(ended, seconds=30)


def wait_for(found: Callable[[], Any], *, seconds: float) -> Any:
    """What is found as soon as there is something."""
    last = time.monotonic() + seconds
    while not (something := found()):
        assert time.monotonic() < last
        time.sleep(0.05)
    return something


def test_what_was_sealed_is_noted_in_the_run(make: Callable[..., str], run: Path, out: Path) -> None:
    make()
    assert json.loads((run / "sealed.json").read_text())["bundle"] == open_bundle(out).digest
    assert load_run(run).metrics.keys() == {"validation_accuracy", "test", "folds", "corruptions"}
    assert is_sealed(run, out)
    assert not is_sealed(run, out.with_name("gone"))
    seal(run, out, CELLS, "2")
    assert is_sealed(run, out)
