"""Crops in, one decision each out: from Python and from the command line."""

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

from edge_runtime.bundle.classifier import BATCH, Classifier
from edge_runtime.bundle.scoring import CellScore, score_images
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.decision import table
from edge_runtime.decision.appearance import APPEARANCE
from edge_runtime.simulator import SimulatedField
from edge_runtime.sources.items import SkippedFrame

KEYS = [
    "path",
    "label",
    "probabilities",
    "confidences",
    "values",
    "limits",
    "appearance",
    "rejected",
    "reason",
    "reasons",
    "provider",
    "bundle",
]
# By test, gravest first.
CODES = {
    "wholeness": "not-one-cell",
    "colour": "faint",
    "texture": "faint",
    "confidence": "far-from-training",
    "stability": "unstable",
    "margin": "suspect",
}
LAYERS = ["stem", "layer1", "layer2", "layer3", "layer4"]


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def scored(cellgate: Callable[..., Result], tiny_bundle: Path) -> Callable[[object], list[dict[str, Any]]]:
    return lambda images: lines(cellgate("score", images, "--bundle", tiny_bundle, "--json"))


def test_json_has_exactly_the_promised_keys(
    scored: Callable[[object], list[dict[str, Any]]], crops_folder: Path, classifier: Classifier
) -> None:
    found = scored(crops_folder)
    assert [row["path"] for row in found] == [str(file) for file in sorted(crops_folder.iterdir())]
    for row in found:
        assert list(row) == KEYS
        assert list(row["probabilities"]) == ["uninfected", "parasitized"]
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
        assert list(row["confidences"]) == LAYERS
        assert list(row["limits"]) == [test.name for test in table.TESTS]
        assert set(row["values"]) - {"certainty"} == set(CODES)  # of crops no frame is known
        assert ("certainty" in row["values"]) == (row["label"] == "parasitized")
        assert row["limits"] == classifier.bundle.manifest.detector.limits
        low, high = sorted(row["probabilities"].values())
        assert row["values"]["margin"] == pytest.approx(np.log(high / low), rel=1e-4)
        assert list(row["appearance"]) == list(APPEARANCE)
        assert {name: row["values"][name] for name in ("colour", "texture")} == {
            name: row["appearance"][name] for name in ("colour", "texture")
        }
        codes = {**CODES, "certainty": "suspect"}
        failed = [codes[name] for name, value in row["values"].items() if value < row["limits"][name]]
        assert row["rejected"] is bool(failed)
        assert row["reasons"] == list(dict.fromkeys(failed))
        assert row["reason"] == next(iter(failed), "")
        assert row["provider"] == "CPUExecutionProvider"
        assert row["bundle"] == classifier.bundle.title


def test_the_confidence_can_be_recomputed_from_what_is_printed(
    scored: Callable[[object], list[dict[str, Any]]], crops_folder: Path, tiny_bundle: Path
) -> None:
    detector = json.loads((tiny_bundle / "manifest.json").read_text())["detector"]
    for row in scored(crops_folder):
        total = sum(w * c for w, c in zip(detector["weights"], row["confidences"].values(), strict=True))
        assert row["values"]["confidence"] == pytest.approx(total + detector["bias"])


def test_folder_zip_and_single_file_agree(
    scored: Callable[[object], list[dict[str, Any]]], crops_folder: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for file in crops_folder.iterdir():
            archive.write(file, file.name)
    by_folder = {Path(row["path"]).name: row for row in scored(crops_folder)}
    by_zip = {row["path"]: row for row in scored(tmp_path / "cells.zip")}
    assert list(by_folder) == list(by_zip)
    for name, zipped in by_zip.items():
        (alone,) = scored(crops_folder / name)
        for row in (by_folder[name], zipped):
            assert {**row, "path": "", **numbers(alone)} == {**alone, "path": ""}
            np.testing.assert_allclose(flat(row), flat(alone), rtol=1e-3, atol=1e-3)


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """What may differ in the last digits with the size of the batch."""
    return {key: row[key] for key in ("probabilities", "confidences", "values")}


def flat(row: dict[str, Any]) -> list[float]:
    return [*row["probabilities"].values(), *row["confidences"].values(), *row["values"].values()]


def test_python_says_what_the_command_line_says(
    scored: Callable[[object], list[dict[str, Any]]], crops_folder: Path, classifier: Classifier
) -> None:
    found = list(score_images(crops_folder, classifier))
    assert all(isinstance(item, CellScore) for item in found)
    for item, row in zip(found, scored(crops_folder), strict=True):
        assert isinstance(item, CellScore)
        assert {**asdict(item), **numbers(row)} == row


def test_lines_for_people_name_the_answer_and_the_rejection(
    cellgate: Callable[..., Result], crops_folder: Path, tiny_bundle: Path
) -> None:
    result = cellgate("score", crops_folder, "--bundle", tiny_bundle)
    rows = result.stdout.splitlines()
    assert len(rows) == len(list(crops_folder.iterdir()))
    assert any(": uninfected, uninfected 0.9" in row for row in rows)
    summary = result.stderr.splitlines()[-1]
    assert summary.startswith(f"{len(rows)} cells, ")
    assert "cells per second on CPUExecutionProvider, 0 skipped, by tiny 1 (" in summary


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        *(({test: 1e6}, code) for test, code in CODES.items()),
        ({"texture": 1e6, "colour": 1e6}, "faint"),
        ({"margin": 1e6, "colour": 1e6}, "faint, suspect"),
        (dict.fromkeys(CODES, 1e6), "not-one-cell, faint, far-from-training, unstable, suspect"),
    ],
)
def test_a_rejected_cell_says_so_before_its_label(
    cellgate: Callable[..., Result],
    crops_folder: Path,
    edited_bundle: Callable[..., Path],
    limits: dict[str, float],
    told: str,
) -> None:
    """With all reasons, the gravest first."""
    out_of_reach = dict.fromkeys((test.name for test in table.TESTS), -1e6) | limits
    strict = edited_bundle(lambda manifest: manifest["detector"].update(limits=out_of_reach))
    result = cellgate("score", crops_folder, "--bundle", strict)
    assert result.exit_code == 0
    assert all(f": rejected ({told}), " in row for row in result.stdout.splitlines())


def test_cells_keep_their_order_over_many_batches(
    tmp_path: Path, crops_folder: Path, classifier: Classifier
) -> None:
    crop = next(crops_folder.iterdir()).read_bytes()
    for number in range(2 * BATCH + 3):
        (tmp_path / f"{number:03}.png").write_bytes(b"" if number in {5, 40} else crop)
    found = list(score_images(tmp_path, classifier))
    kept = [Path(item.path).stem for item in found if isinstance(item, CellScore)]
    skipped = [Path(item.name).stem for item in found if isinstance(item, SkippedFrame)]
    assert skipped == ["005", "040"]
    assert kept == [f"{n:03}" for n in range(2 * BATCH + 3) if n not in {5, 40}]


def test_a_confidence_that_is_no_number_is_rejected(
    classifier: Classifier, crops_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Classifier, images: np.ndarray, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        nothing = {name: np.zeros((len(images), 2), np.float32) for name in outputs}
        return nothing | {"confidences": np.full((len(images), 5), np.nan, np.float32)}

    monkeypatch.setattr(Classifier, "run", broken)
    for item in score_images(crops_folder, classifier):
        assert isinstance(item, CellScore)
        assert item.rejected
        assert item.reason == "far-from-training"


def write_image(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


@pytest.mark.parametrize(
    ("width", "told"), [(640, "640x480 pixels, far more than one cell has"), (240, "shows ")]
)
def test_a_whole_field_is_refused_towards_read(
    width: int,
    told: str,
    refusal: Callable[..., str],
    tiny_bundle: Path,
    fields: tuple[SimulatedField, ...],
    tmp_path: Path,
) -> None:
    frame = fields[0].frame[:, :width]
    write_image(tmp_path / "field.png", frame)
    message = refusal("score", tmp_path / "field.png", "--bundle", tiny_bundle)
    assert message.startswith(f"{tmp_path / 'field.png'}: {told}")
    assert "give whole fields to 'cellgate read'" in message


def test_among_crops_a_whole_field_is_left_out(
    classifier: Classifier, crops_folder: Path, fields: tuple[SimulatedField, ...], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(crops_folder, tmp_path / "crops"))
    write_image(folder / "field.png", fields[0].frame)
    found = list(score_images(folder, classifier))
    (skipped,) = [item for item in found if isinstance(item, SkippedFrame)]
    assert skipped.name == str(folder / "field.png")
    assert len(found) - 1 == len(list(crops_folder.iterdir()))


def test_a_crop_that_is_not_masked_is_rejected(
    classifier: Classifier, fields: tuple[SimulatedField, ...], tmp_path: Path
) -> None:
    cut, _ = cut_cells(fields[0].frame, 125)
    for number, cell in enumerate(cut):
        x, y, width, height = cell.box
        write_image(tmp_path / f"{number}.png", fields[0].frame[y : y + height, x : x + width])
    scores = [item for item in score_images(tmp_path, classifier) if isinstance(item, CellScore)]
    assert len(scores) > 5
    assert all("not-one-cell" in score.reasons for score in scores)


def test_sizes_of_crops_are_taken_from_a_list(
    classifier: Classifier, crops_folder: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in crops_folder.iterdir())
    sizes = tmp_path / "sizes.csv"
    sizes.write_text(f"path,relative_size\n{names[0]},0.4\n{names[1]},1.0\n{names[2]},1.9\n")
    found = {
        Path(item.path).name: item
        for item in score_images(crops_folder, classifier, sizes)
        if isinstance(item, CellScore)
    }
    assert found[names[0]].reason == "smaller"
    assert found[names[2]].reason == "larger"
    assert not {"smaller", "larger"} & set(found[names[1]].reasons)
    assert [found[name].values.get("small") for name in names[:4]] == [0.4, 1.0, 1.9, None]
    without = [item for item in score_images(crops_folder, classifier) if isinstance(item, CellScore)]
    assert not any({"smaller", "larger"} & set(item.reasons) for item in without)


@pytest.mark.parametrize("size", ["large", "0", "-1", "inf", "nan"])
def test_a_size_that_is_none_is_refused_by_its_line(
    size: str, refusal: Callable[..., str], crops_folder: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    sizes = tmp_path / "sizes.csv"
    sizes.write_text(f"path,relative_size\n{min(path.name for path in crops_folder.iterdir())},{size}\n")
    told = refusal("score", crops_folder, "--bundle", tiny_bundle, "--relative-size", sizes)
    assert f"sizes.csv, line 2: relative_size {size}; expected the cell's diameter" in told
