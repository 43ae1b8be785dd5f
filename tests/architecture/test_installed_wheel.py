"""The built wheel, with a default bundle in it, works in a fresh environment with nothing else there."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.files import open_bundle
from edge_runtime.cells.preprocessing import masked_crop
from edge_runtime.cells.segmentation import segment
from edge_runtime.simulator import simulate_field

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "edge_runtime" / "tiny-bundle"
PARTS = ("edge_runtime", "pyproject.toml", "README.md", "LICENSE")  # all that a wheel is built from
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
TOOLS = ("pip", "setuptools", "_distutils", "distutils", "pkg_resources")  # they install, and do not run
PATIENCE = ("--retries", "1", "--timeout", "20")  # where there is no network, it is not waited for long
MOST_SECONDS = 60  # of each command on the device

Run = Callable[..., subprocess.CompletedProcess[str]]


def call(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that knows nothing of this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    arguments = [str(argument) for argument in command]
    return subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with what the wheel needs and nothing else; skips where that is not to be had."""
    folder = tmp_path_factory.mktemp("device") / "environment"
    venv.create(folder, with_pip=True)
    fresh = folder / "bin" / "python"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    # What builds the wheel is fetched as well: the tests' own Python has it only on a workstation.
    wanted = settings["project"]["dependencies"] + settings["build-system"]["requires"]
    constraints = ("--constraint", ROOT / "constraints.txt")
    done = call(fresh, *PIP, "install", "--upgrade", *PATIENCE, *constraints, *wanted, cwd=folder)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no reason")
        pytest.skip(f"offline? The packages that a device needs cannot be fetched: {reason}")
    return fresh


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Path:
    """The wheel of this source with the tiny bundle as its default."""
    folder = tmp_path_factory.mktemp("build")
    for name in PARTS:
        if (ROOT / name).is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "default_bundle*")
            shutil.copytree(ROOT / name, folder / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, folder / name)
    shutil.copytree(TINY, folder / "edge_runtime" / "default_bundle")
    build = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder / "dist")
    done = call(python, *PIP, *build, folder, cwd=folder)
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="module")
def cellgate(python: Path, wheel: Path, empty_folder: Path) -> Run:
    """The installed command, run in an empty folder; it must end with 0."""
    # Without an index: what the wheel needs, and its description of it, is there already.
    done = call(python, *PIP, "install", "--no-index", wheel, cwd=empty_folder)
    assert done.returncode == 0, done.stderr

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [python.with_name("cellgate"), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(
            [str(part) for part in command],
            cwd=empty_folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=MOST_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for index in range(2):
        write(folder / f"{index}.png", simulate_field(5, index, width=640, height=480, cells=22).frame)
    return folder


@pytest.fixture(scope="module")
def crop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = simulate_field(5, 0, width=640, height=480, cells=22).frame
    cell = next(cell for cell in segment(frame) if not cell.at_edge and not cell.clump)
    return write(tmp_path_factory.mktemp("crop") / "cell.png", masked_crop(frame, cell.box, cell.mask))


def test_the_wheel_holds_the_runtime_and_its_bundle_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        bundled = {name: archive.read(name) for name in names if "default_bundle" in name}
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"edge_runtime", "cellgate"}
    assert bundled == {
        f"edge_runtime/default_bundle/{file.name}": file.read_bytes() for file in TINY.iterdir()
    }


def test_the_wheel_holds_the_pages_of_the_report(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    report = Path(__file__).parents[2] / "edge_runtime" / "report"
    pages = [file for kind in ("*.html", "*.css", "texts/*.json") for file in report.glob(kind)]
    assert len(pages) > 5
    assert {f"edge_runtime/report/{page.relative_to(report)}" for page in pages} <= names


PUBLIC = """
import sys
from edge_runtime import Classifier, SlideRecord, default_bundle, open_bundle, read_slide, score_images
classifier = Classifier.open(open_bundle(default_bundle()), threads=1)
(cell,) = score_images(sys.argv[1], classifier)
summary = read_slide(sys.argv[2], classifier, "S", "from-python")
with SlideRecord.open("from-python/slide.sqlite") as record:
    assert record.counts() == summary.counts
print(cell.bundle, summary.counts.fields, sep="\\n")
"""


def test_the_public_names_work_from_python(
    cellgate: Run, python: Path, crop: Path, frames: Path, empty_folder: Path
) -> None:
    done = call(python, "-c", PUBLIC, crop, frames, cwd=empty_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [open_bundle(TINY).title, "2"]
    assert (empty_folder / "from-python" / "report.html").exists()


def test_score(cellgate: Run, crop: Path) -> None:
    (line,) = cellgate("score", crop, "--json").stdout.splitlines()
    assert json.loads(line)["bundle"] == open_bundle(TINY).title


def test_read(cellgate: Run, frames: Path, empty_folder: Path) -> None:
    told = cellgate("read", frames, "--slide", "S", "--out", "out").stdout
    assert f"bundle {open_bundle(TINY).title} on" in told
    assert open_bundle(TINY).digest in (empty_folder / "out" / "report.html").read_text()


def test_verify(cellgate: Run) -> None:
    assert f"{open_bundle(TINY).title} decides here as its PyTorch reference did" in cellgate("verify").stdout


def test_inspect(cellgate: Run, python: Path) -> None:
    told = cellgate("inspect").stdout
    assert open_bundle(TINY).digest in told
    installed = python.parents[1] / "lib"
    assert told.startswith(str(installed)), "opened elsewhere than where it was installed"


def test_doctor_measures_what_was_installed(cellgate: Run, python: Path) -> None:
    told: list[dict[str, Any]] = json.loads(cellgate("doctor", "--json").stdout)
    found = {item["name"]: item for item in told}
    (package,) = python.parents[1].glob("lib/python*/site-packages/edge_runtime")
    own = [file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert found["default bundle"]["size"] == sum(file.stat().st_size for file in TINY.iterdir())
    assert found["cellgate's own size"]["size"] == sum(file.stat().st_size for file in own)
    whole = found["size of the install"]
    assert "editable" not in whole["found"]
    assert {"numpy", "onnxruntime", "opencv-python-headless", "click", "jinja2"} <= set(
        whole["found"].partition(" with ")[2].split(", ")
    )
    everything = sum(
        file.stat().st_size
        for top in package.parent.iterdir()
        if not top.name.startswith(TOOLS)
        for file in [top, *top.rglob("*")]
        if file.is_file()
    )
    assert whole["size"] == pytest.approx(everything, rel=0.02)


def test_nothing_of_the_checkout_is_needed(python: Path, cellgate: Run, empty_folder: Path) -> None:
    where = "import edge_runtime; print(edge_runtime.__file__)"
    assert str(python.parents[1]) in call(python, "-c", where, cwd=empty_folder).stdout
    assert sys.prefix != str(python.parents[1])
    heavy = call(python, "-c", "import torch", cwd=empty_folder)
    assert "ModuleNotFoundError" in heavy.stderr
