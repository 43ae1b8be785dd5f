"""Anybody's cells, in each layout, from the files to a bundle that reads them: with three classes."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

import edge_runtime.cli
import export.__main__
import training.__main__
from edge_runtime.bundle.files import open_bundle
from edge_runtime.cells.preprocessing import masked_crop
from edge_runtime.simulator import SimulatedField, simulate_field
from training.cells.simulated import matches
from training.run import load_run

pytestmark = pytest.mark.slow

KINDS = {"uninfected": "uninfected", "ring": "ring", "trophozoite": "late stage", "schizont": "late stage"}
WIDTH, HEIGHT = 640, 480


@pytest.fixture(scope="module")
def slides() -> list[SimulatedField]:
    """Four patients, a field each."""
    return [
        simulate_field(seed, width=WIDTH, height=HEIGHT, cells=40, parasitized_fraction=0.6)
        for seed in (70, 71, 72, 73)
    ]


def crops(slides: list[SimulatedField], folder: Path) -> list[tuple[str, str, str]]:
    """Write every red cell as JPEG into the folder of its class; name, class and patient of each."""
    written = []
    for patient, slide in enumerate(slides):
        for number, (found, true) in enumerate(matches(slide.frame, slide.objects)):
            if true.kind in KINDS and max(found.box[2:]) >= 20:
                label = KINDS[true.kind]
                name = f"{label.title()}/slide{patient}_{number}.jpg"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                crop = masked_crop(slide.frame, found.box, found.mask)
                cv2.imwrite(str(folder / name), cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
                written.append((name, label, f"slide{patient}"))
    return written


def class_folders(slides: list[SimulatedField], folder: Path) -> list[str]:
    crops(slides, folder / "cells")
    return ["--cells", str(folder / "cells"), "--patient-pattern", r"^(slide\d+)_"]


def table(slides: list[SimulatedField], folder: Path) -> list[str]:
    lines = [f"{name},{label},{patient}," for name, label, patient in crops(slides, folder)]
    lines[0] = lines[0] + "late stage"
    (folder / "cells.csv").write_text("\n".join(["path,label,patient,reread", *lines]) + "\n")
    return ["--cells", str(folder / "cells.csv")]


def boxes(slides: list[SimulatedField], folder: Path) -> list[str]:
    labels = sorted(set(KINDS.values()))
    annotations = []
    for image, slide in enumerate(slides):
        cv2.imwrite(str(folder / f"slide{image}_1.png"), cv2.cvtColor(slide.frame, cv2.COLOR_RGB2BGR))
        annotations += [
            {"image_id": image, "category_id": labels.index(KINDS[true.kind]), "bbox": list(true.box)}
            for true in slide.objects
            if true.kind in KINDS
            and min(true.box[:2]) >= 0
            and true.box[0] + true.box[2] <= WIDTH
            and true.box[1] + true.box[3] <= HEIGHT
        ]
    about = {
        "images": [
            {"id": image, "file_name": f"slide{image}_1.png", "width": WIDTH, "height": HEIGHT}
            for image in range(len(slides))
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(labels)],
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations)],
    }
    (folder / "boxes.json").write_text(json.dumps(about))
    return ["--cells", str(folder / "boxes.json"), "--patient-pattern", r"^(slide\d+)_"]


def command(main: object, *arguments: object) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])  # type: ignore[arg-type]
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("layout", [class_folders, table, boxes])
def test_cells_become_a_bundle_that_reads_them(
    slides: list[SimulatedField], tmp_path: Path, layout: Callable[[list[SimulatedField], Path], list[str]]
) -> None:
    (tmp_path / "given").mkdir()
    options, run, bundle = layout(slides, tmp_path / "given"), tmp_path / "run", tmp_path / "bundle"
    options += ["--parasitized", "Ring", "--parasitized", "late stage"]
    common = ["--run", run, "--cache", tmp_path / "cache"]
    command(training.__main__.main, "fit", *options, *common, "--epochs", 1, "--batch-size", 32)
    command(training.__main__.main, "calibrate", *common, "--alpha", 0.4)
    tested = json.loads(command(training.__main__.main, "test", *common, "--json"))
    assert all(row["patient"].startswith("slide") for row in tested["patients"])
    command(export.__main__.main, "bundle", *common, "--out", bundle)
    verify = ["--bundle", bundle, "--cells", options[1], "--limit", 8, "--run", run]
    assert "decides as its run does: 8 cells" in command(export.__main__.main, "verify", *verify)
    manifest = open_bundle(bundle).manifest
    assert manifest.classes == load_run(run).classes == ("uninfected", "late stage", "ring")
    assert manifest.parasitized == ("late stage", "ring")
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "film: uninfected, late stage, ring, or rejected." in card
    assert "What it calls late stage or ring counts as parasitized." in card
    crop = next((tmp_path / "given").rglob("*.jpg"), None) or crop_of(slides[0], tmp_path)
    scored = json.loads(command(edge_runtime.cli.main, "score", crop, "--bundle", bundle, "--json"))
    assert list(scored["probabilities"]) == ["uninfected", "late stage", "ring"]


def crop_of(slide: SimulatedField, folder: Path) -> Path:
    return folder / crops([slide], folder)[0][0]
