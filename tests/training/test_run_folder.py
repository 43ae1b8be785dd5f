"""The run folder: what goes in comes out, whole or not at all, and nothing else is taken for it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import SourceError
from training.cells.source import CellSet, CellSource
from training.networks import build_network
from training.run import (
    RunConfig,
    RunInfo,
    add_metrics,
    load_network,
    load_run,
    load_split,
    make_split,
    new_run,
    save_run,
    save_weights,
)

LAYERS = ("stem", "layer1")


@pytest.fixture
def info(cells: CellSet, config: RunConfig) -> RunInfo:
    return new_run(config, cells, make_split(config, cells), LAYERS)


def test_file_keeps_everything(tmp_path: Path, info: RunInfo) -> None:
    save_run(tmp_path, info)
    assert load_run(tmp_path) == info
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_new_run_says_what_it_works_on(info: RunInfo, cells: CellSet, config: RunConfig) -> None:
    assert info.config == config
    assert info.classes == ("uninfected", "parasitized")
    assert info.input == InputSpec(size=125)
    assert info.cells_digest == cells.digest
    assert sum(info.counts.values()) == len(cells)
    assert info.counts["train"] == pytest.approx(0.6 * len(cells), abs=2)
    assert info.torch == torch.__version__
    assert info.metrics == {}


def test_metrics_are_added_and_replaced(tmp_path: Path, info: RunInfo) -> None:
    save_run(tmp_path, info)
    add_metrics(tmp_path, accuracy=0.5, seconds=3)
    add_metrics(tmp_path, accuracy=0.75)
    assert load_run(tmp_path).metrics == {"accuracy": 0.75, "seconds": 3}


def test_folder_without_run(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no run folder \(run\.json is missing\); make one with fit"):
        load_run(tmp_path)


Alteration = Callable[[dict[str, object]], object]


def without(key: str) -> Alteration:
    return lambda raw: {name: value for name, value in raw.items() if name != key}


def configured(key: str, value: object) -> Alteration:
    return lambda raw: raw | {"config": raw["config"] | {key: value}}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (lambda raw: raw | {"schema": 1}, ""),
        (without("schema"), ""),
        (lambda raw: [raw], ""),
        (lambda _raw: None, ""),
        (without("layers"), ": missing key 'layers'"),
        (lambda raw: raw | {"colour": "red"}, ": unknown key 'colour'"),
        (lambda raw: raw | {"layers": "stem"}, ": layers cannot be 'stem'"),
        (lambda raw: raw | {"counts": {"train": 1.5}}, ": counts cannot be {'train': 1.5}"),
        (lambda raw: raw | {"metrics": 3}, ": metrics cannot be 3"),
        (lambda raw: raw | {"config": None}, ", config: missing key 'augmentation'"),
        (configured("colour", "red"), ", config: unknown key 'colour'"),
        (configured("epochs", "ten"), ", config: epochs cannot be 'ten'"),
        (configured("split", "clinic"), ", config: split cannot be 'clinic'"),
        (configured("precision", "float16"), ", config: precision cannot be 'float16'"),
        (configured("pretrained", 3), ", config: pretrained cannot be 3"),
        (lambda raw: raw | {"input": {"size": 125}}, ", input: missing key 'color_order'"),
    ],
)
def test_what_this_version_did_not_write_is_refused_and_named(
    tmp_path: Path, info: RunInfo, alter: Alteration, told: str
) -> None:
    save_run(tmp_path, info)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(alter(json.loads(path.read_text()))))
    with pytest.raises(SourceError) as caught:
        load_run(tmp_path)
    assert str(caught.value).startswith(f"{path}{told}")
    assert str(caught.value).endswith("written by another version of cellgate; fit again")


def test_file_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 1')
    with pytest.raises(SourceError, match=r"run\.json: cannot be read"):
        load_run(tmp_path)


def test_interrupted_writing_keeps_the_old_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_weights(path, {"one": torch.ones(3)})
    with pytest.raises(TypeError, match="cannot pickle"):
        save_weights(path, {"one": torch.zeros(3), "two": (number for number in range(3))})
    assert torch.load(path, weights_only=True)["one"].tolist() == [1, 1, 1]


def test_weights_come_back_in_evaluation_mode(tmp_path: Path, info: RunInfo) -> None:
    torch.manual_seed(0)
    network = build_network("edge", 2)
    save_weights(tmp_path / "weights.pt", network.state_dict())
    found = load_network(tmp_path, info)
    assert not found.training
    for name, value in found.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_training_that_has_not_ended(tmp_path: Path, info: RunInfo) -> None:
    with pytest.raises(SourceError, match=r"weights\.pt: training has not ended; go on with fit --resume"):
        load_network(tmp_path, info)


def test_weights_that_are_none(tmp_path: Path, info: RunInfo) -> None:
    path = tmp_path / "weights.pt"
    torch.save(build_network("edge", 2).state_dict(), path)
    whole = path.read_bytes()
    torch.save(build_network("resnet18", 2).state_dict(), tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for content in (
        whole[:-1000],
        b"",
        b"no weights at all",
        (tmp_path / "other.pt").read_bytes(),
        (tmp_path / "list.pt").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"weights\.pt: damaged, or not the weights of edge; fit again"):
            load_network(tmp_path, info)


def test_split_comes_back(fitted: Path, cells: CellSet, config: RunConfig, cache: Path) -> None:
    found, split = load_split(load_run(fitted), CellSource(cache=cache))
    assert found.digest == cells.digest
    assert np.array_equal(split.test, make_split(config, cells).test)


def test_changed_cells_are_refused(tmp_path: Path, fitted: Path, png: Callable[[int], bytes]) -> None:
    for number, name in enumerate(("Parasitized/C1P1_1.png", "Uninfected/C2P2_1.png")):
        (tmp_path / "cells" / name).parent.mkdir(parents=True)
        (tmp_path / "cells" / name).write_bytes(png(number))
    with pytest.raises(SourceError, match="cells: not the cells this run was trained on; give the same arch"):
        load_split(load_run(fitted), CellSource((str(tmp_path / "cells"),), tmp_path / "cache"))


def test_changed_split_is_refused(tmp_path: Path, fitted: Path, cache: Path) -> None:
    shutil.copy(fitted / "run.json", tmp_path)
    path = tmp_path / "run.json"
    raw = json.loads(path.read_text())
    raw["config"]["seed"] += 1
    path.write_text(json.dumps(raw))
    with pytest.raises(SourceError, match="not the cells this run was trained on"):
        load_split(load_run(tmp_path), CellSource(cache=cache))


def test_another_second_reading_is_refused(tmp_path: Path, fitted: Path, cells: CellSet, cache: Path) -> None:
    differing = tmp_path / "second.csv"
    other = cells.classes[1 - cells.labels[0]]
    differing.write_text(f"path,reread_label\n{cells.names[0]},{other}\n")
    with pytest.raises(SourceError, match="the labels are not those this run was trained on"):
        load_split(load_run(fitted), CellSource(cache=cache, reread=differing))
