"""What stands in a sealed bundle, and when none is made."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import numpy_helper

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import open_bundle, save_bundle
from edge_runtime.bundle.parity import all_passed
from edge_runtime.bundle.verification import replay
from edge_runtime.decision import table
from edge_runtime.errors import BundleError, CheckFailedError, StorageError
from export import contents, sealing
from export.__main__ import main
from export.comparison import verify_bundle
from export.sealing import seal_bundle
from training.cells.source import CellSource
from training.handover import hand_over
from training.run import load_run, load_split
from training.trained import TrainedDetector

pytestmark = pytest.mark.slow

FILES = {"manifest.json", "model.onnx", "reference.npz", "MODEL_CARD.md"}
LAYERS = ["stem", "layer1", "layer2", "layer3", "layer4"]


@pytest.fixture(scope="module")
def manifest(bundle_folder: Path) -> Mapping:
    return json.loads((bundle_folder / "manifest.json").read_text())


@pytest.fixture
def own_run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def bundle_command(run: Path, out: Path, cache: Path, *more: str) -> Result:
    options = ["--run", str(run), "--out", str(out), "--cache", str(cache), *more]
    return CliRunner().invoke(main, ["bundle", *options])


def test_holds_four_files_and_their_hashes(bundle_folder: Path, manifest: Mapping) -> None:
    assert {file.name for file in bundle_folder.iterdir()} == FILES
    assert manifest["files"] == {
        name: hashlib.sha256((bundle_folder / name).read_bytes()).hexdigest()
        for name in FILES - {"manifest.json"}
    }


def test_manifest_says_what_the_device_needs(manifest: Mapping) -> None:
    assert (manifest["schema"], manifest["name"], manifest["version"]) == (12, "cellgate", "1")
    assert manifest["classes"] == ["uninfected", "parasitized"]
    assert manifest["input"]["size"] == 125
    assert manifest["input"]["color_order"] == "RGB"
    assert manifest["perturbation"] == "per-layer"
    assert manifest["outputs"] == [
        "logits",
        "logits.smoothed",
        *(f"features.{layer}" for layer in LAYERS),
        "distances",
        "confidences",
        *(f"gradient.{layer}" for layer in ("asked", *LAYERS)),
    ]
    assert manifest["orientation"] == "high-is-in-distribution"
    assert manifest["requires"] == {"opset": 18, "ir_version": 9, "onnxruntime": "1.20"}
    assert manifest["intended_use"].startswith("Research use only")


def test_manifest_says_what_the_run_says(manifest: Mapping, run_folder: Path) -> None:
    run = json.loads((run_folder / "run.json").read_text())
    calibration = json.loads((run_folder / "calibration.json").read_text())
    assert manifest["detector"] == calibration["detector"]
    assert manifest["detector"]["epsilon"] == 0.002
    assert manifest["calibrated"] == {
        key: calibration[key]
        for key in ("mode", "anomaly", "alpha", "fusion_cells", "threshold_cells", "correlation", "how")
    }
    counts, source = run["counts"], Path(run["config"]["cells"][0]).name
    assert manifest["provenance"] == {
        "network": "edge",
        "trained_on": f"{counts['train']} cells of {source}, split by image; "
        f"{counts['validation']} others calibrated it, {counts['test']} tested it",
        "seed": 0,
        **{key: run[key] for key in ("cells_digest", "split_digest", "git_commit", "torch")},
    }
    tested = run["metrics"]["test"]
    performance = manifest["performance"]
    same = ("parasitized", "uninfected", "accuracy", "sensitivity", "rejected", "accuracy_of_accepted")
    archive = tested["archive"]
    assert {key: performance[key] for key in same} == {key: archive[key] for key in same}
    assert (
        performance["agreed"] == performance["parasitized"] + performance["uninfected"]
    )  # nobody read again
    assert performance["folds"] == 1
    assert performance["counts"] == [patient["counts"] for patient in tested["patients"]]
    assert performance["called_of_healthy"] == tested["called_of_healthy"]
    assert performance["split"] == "image"
    assert performance["patients"] == len(tested["patients"])
    assert performance["false_positive_rate"] == pytest.approx(1 - archive["specificity"])
    assert performance["sensitivity_interval"] == archive["intervals"]["sensitivity"]
    low, high = archive["intervals"]["specificity"]
    assert performance["false_positive_rate_interval"] == pytest.approx([1 - high, 1 - low])
    assert performance["ood_rejected"] == {}  # nobody asked `test` for them
    assert archive["parasitized"] + archive["uninfected"] == run["counts"]["test"]


def test_cells_whose_light_was_not_changed_in_training_are_told_of(run_folder: Path) -> None:
    info = load_run(run_folder)
    as_in_the_paper = replace(info, config=replace(info.config, augmentation="paper"))
    assert "split by image without change of light or focus; " in sealing._trained_on(as_in_the_paper)
    harsh = replace(info, config=replace(info.config, augmentation="harsh"))
    assert "split by image with harsh light, fading and dust; " in sealing._trained_on(harsh)
    assert "split by image; " in sealing._trained_on(info)


def test_parity_was_measured_for_every_output(manifest: Mapping) -> None:
    names = {name.removesuffix(", signs") for name in manifest["parity"]}
    decided = {"decisions that differ", *(f"value of {test.name}" for test in table.TESTS)}
    whats = {"cells found elsewhere", "confidences", "appearance", *decided}
    frame = {f"frame: {what}" for what in whats}
    assert names == {*manifest["outputs"], "appearance", *decided, *frame}
    assert all(value < 5e-3 for value in manifest["parity"].values())


def test_weights_are_stored_once(bundle_folder: Path, trained: TrainedDetector) -> None:
    """Convolutions and the last layer, a bias per channel for each batch norm, and the statistics."""
    matrices = sum(p.numel() for p in trained.network.parameters() if p.dim() > 1)
    statistics = sum(g.whitening.size + g.means.size for g in trained.model.gaussians.values())
    size = (bundle_folder / "model.onnx").stat().st_size
    assert (matrices + statistics) * 4 < size < (matrices + statistics) * 4 * 1.05


def test_reference_inputs_are_test_cells_of_both_classes(
    bundle_folder: Path, run_folder: Path, cell_cache: Path
) -> None:
    cells, split = load_split(load_run(run_folder), CellSource(cache=cell_cache))
    labels = {cells.images[i].tobytes(): int(cells.labels[i]) for i in split.test}
    with np.load(bundle_folder / "reference.npz", allow_pickle=False) as stored:
        images, signs = stored["images"], stored["signs.layer4"]
        assert not any(name.startswith("gradient") for name in stored.files)
    assert (images.shape, images.dtype) == ((4, 125, 125, 3), np.uint8)
    assert (signs.shape, signs.dtype) == ((4, 3, 125, 125), np.int8)
    assert set(np.unique(signs).tolist()) == {-1, 0, 1}
    assert [labels[image.tobytes()] for image in images] == [0, 0, 1, 1]


def test_a_device_can_replay_it(bundle_folder: Path) -> None:
    assert all_passed(replay(Classifier.open(bundle_folder)))


@pytest.mark.usefixtures("built_once")
def test_command_seals_into_an_empty_folder(run_folder: Path, tmp_path: Path, cell_cache: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    result = bundle_command(run_folder, out, cell_cache, "--name", "ward 3", "--version", "2026-07")
    assert result.exit_code == 0, result.output
    assert open_bundle(out).title.startswith("ward 3 2026-07 (")
    assert f"{out}: ward 3 2026-07 (" in result.stdout
    assert "perturbation per-layer" in result.stdout


def test_refuses_a_folder_that_is_not_empty(run_folder: Path, tmp_path: Path, cell_cache: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    result = bundle_command(run_folder, tmp_path, cell_cache)
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path}: not empty; choose another folder for the bundle\n"
    assert [file.name for file in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("calibration.json", "python -m training calibrate --run"),
        ("gaussians.npz", "run fit again with --resume"),
        ("weights.pt", "fit --resume"),
        ("run.json", "make one with fit"),
    ],
)
def test_an_unfinished_run_names_the_command_that_is_missing(
    own_run: Path, tmp_path: Path, cell_cache: Path, missing: str, command: str
) -> None:
    (own_run / missing).unlink()
    result = bundle_command(own_run, tmp_path / "bundle", cell_cache)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {own_run}")
    assert command in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "bundle").exists()


def test_refuses_to_leave_out_a_perturbation_that_was_calibrated(
    run_folder: Path, tmp_path: Path, cell_cache: Path
) -> None:
    result = bundle_command(run_folder, tmp_path / "bundle", cell_cache, "--perturbation", "none")
    assert result.exit_code == 1
    assert "calibrate with --epsilon 0" in result.stderr


def test_without_epsilon_the_graph_does_not_perturb(
    monkeypatch: pytest.MonkeyPatch, own_run: Path, tmp_path: Path, cell_cache: Path, cell_folder: Path
) -> None:
    calibration = json.loads((own_run / "calibration.json").read_text())
    calibration["detector"]["epsilon"] = 0.0
    (own_run / "calibration.json").write_text(json.dumps(calibration))
    made = hand_over(own_run, CellSource(cache=cell_cache), reference_cells=4)
    bundle = seal_bundle(made, tmp_path / "bundle")
    assert bundle.manifest.perturbation == "none"
    model = onnx.load_from_string(bundle.contents["model.onnx"])
    assert [given.name for given in model.graph.input] == ["image", "asked"]
    # The gradient of the maps stands in the branch of a node of its own.
    assert "HardSigmoid" not in {node.op_type for node in model.graph.node}
    monkeypatch.setattr(contents, "build_graph", lambda *_args, **_settings: model)  # an export takes seconds
    found = verify_bundle(own_run, tmp_path / "bundle", (str(cell_folder),), limit=3, batches=(2,))
    assert found.passed
    signs = [check.name for check in found.checks if "signs" in check.name]
    assert signs == ["reference: gradient.asked, signs", "batch 2: gradient.asked, signs"]


def test_a_graph_that_disagrees_is_fatal(
    monkeypatch: pytest.MonkeyPatch,
    run_folder: Path,
    run_graph: onnx.ModelProto,
    tmp_path: Path,
    cell_cache: Path,
) -> None:
    wrong = onnx.ModelProto()
    wrong.CopyFrom(run_graph)
    (bias,) = [t for t in wrong.graph.initializer if t.name == "network.fc.bias"]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    monkeypatch.setattr(sealing, "build_graph", lambda *_args, **_settings: wrong)
    made = hand_over(run_folder, CellSource(cache=cell_cache), reference_cells=4)
    with pytest.raises(CheckFailedError, match="FAIL logits"):
        seal_bundle(made, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_cut_off_by_a_full_disk_is_none(
    monkeypatch: pytest.MonkeyPatch, bundle_folder: Path, tmp_path: Path
) -> None:
    bundle, replace_file = open_bundle(bundle_folder), os.replace

    def on_a_full_disk(unfinished: Path, file: Path) -> None:
        if file.name == "reference.npz":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(unfinished, file)

    monkeypatch.setattr(os, "replace", on_a_full_disk)
    with pytest.raises(StorageError, match=r"reference\.npz: the disk is full; free some space"):
        save_bundle(tmp_path / "bundle", bundle.manifest, bundle.contents)
    with pytest.raises(BundleError, match=r"manifest\.json: missing"):
        open_bundle(tmp_path / "bundle")


def test_sealing_again_hashes_again(bundle_folder: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_folder)
    files = {**bundle.contents, "MODEL_CARD.md": b"another"}
    save_bundle(tmp_path / "bundle", replace(bundle.manifest, name="other"), files)
    again = open_bundle(tmp_path / "bundle")
    assert again.contents["MODEL_CARD.md"] == b"another"
    assert again.manifest.name == "other"
    assert again.digest != bundle.digest
