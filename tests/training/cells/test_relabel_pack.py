"""A slide that was read and reviewed on the device trains: from the field to the next network."""

import json
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.cells.boxes import best_match
from edge_runtime.exchange.relabel import LABELS, write_relabel_pack
from edge_runtime.record.readings import Answer, Call
from edge_runtime.record.slide_record import RECORD, SlideRecord
from edge_runtime.simulator import PARASITIZED_KINDS, RED_CELL_KINDS, SimulatedObject, simulate_field
from edge_runtime.slide.reading import read_slide
from training.__main__ import main
from training.cells.layouts import list_sources

TINY = Path(__file__).parents[2] / "edge_runtime" / "tiny-bundle"


def read_and_reviewed(folder: Path, slide: str, seed: int) -> tuple[Path, int]:
    """Read a simulated slide and review it by what the simulator knows; the pack and its cells."""
    frames, truth = folder / slide, {}
    frames.mkdir()
    for number in (1, 2):
        simulated = simulate_field(seed, number, width=960, height=720, cells=50, parasitized_fraction=0.5)
        cv2.imwrite(str(frames / f"{number}.png"), cv2.cvtColor(simulated.frame, cv2.COLOR_RGB2BGR))
        truth[f"{number}.png"] = simulated.objects
    out = folder / f"read-{slide}"
    read_slide(frames, Classifier.open(TINY, threads=1), slide, out)
    with SlideRecord.open_for_calls(out / RECORD) as record:
        for field in record.fields():
            for number, cell in enumerate(field.cells, start=1):
                answer = answer_of(cell.box, truth[Path(field.name).name])
                if cell.crop and answer is not None:
                    record.add_call(Call(field.number, number, answer, "", "simulator", field.read_at))
        pack = write_relabel_pack(record, folder / f"pack-{slide}")
    return folder / f"pack-{slide}" / LABELS, sum(pack.cells.values())


def answer_of(box: tuple[int, int, int, int], objects: tuple[SimulatedObject, ...]) -> Answer | None:
    true = best_match(box, objects)
    if true is None or true.kind not in RED_CELL_KINDS:
        return None
    return "parasite" if true.kind in PARASITIZED_KINDS else "none"


@pytest.mark.slow
def test_the_pack_of_a_reviewed_slide_trains(tmp_path: Path) -> None:
    packs = [read_and_reviewed(tmp_path, f"S{seed}", seed) for seed in (70, 71, 72)]
    assert all(number > 30 for _, number in packs)
    sources = [part for labels, _ in packs for part in ("--cells", str(labels))]
    common = ["--run", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    settings = ["--network", "edge", "--epochs", "1", "--batch-size", "32", "--split", "patient"]
    done = CliRunner().invoke(main, ["fit", *sources, *common, *settings])
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert sum(run["counts"].values()) == sum(number for _, number in packs)
    assert run["classes"] == ["uninfected", "parasitized"]


def test_fit_reads_the_pack_as_a_table_and_as_folders(tmp_path: Path) -> None:
    labels, number = read_and_reviewed(tmp_path, "S70", 70)
    table, folders = list_sources((str(labels), str(labels.parent)))
    files = list(table.files)
    assert len(files) == number
    assert {file.patient for file in files} == {"S70"}
    assert {file.label for file in files} == {"uninfected", "parasitized"}
    assert sorted((file.name, file.label) for file in folders.files) == sorted(
        (file.name, file.label) for file in files
    )
