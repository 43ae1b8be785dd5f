"""Fusion of the layers, the limits of a run, and what is written down of them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.decision import table
from edge_runtime.decision.appearance import describe
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.limits import SWOLLEN
from edge_runtime.decision.values import within
from edge_runtime.errors import SourceError
from training import calibration
from training.calibration import DEEPEST, calibrate, calibrate_run, known_anomaly, logistic, z_sum
from training.calibration_file import Calibration, load_calibration, save_calibration
from training.cells.source import CellSet, CellSource
from training.cells.splits import calibration_halves
from training.reference import Reference, perturbed_outputs, plain_outputs
from training.run import load_model, load_run, load_split
from training.statistics import as_images

Array = NDArray[np.float64]


def confidences(cells: int, seed: int = 0) -> Array:
    """Of four layers that differ in scale, as they do in truth."""
    rng = np.random.default_rng(seed)
    return -rng.chisquare(5, (cells, 4)) * [1.0, 30.0, 5.0, 200.0]


def test_z_sum_is_the_mean_standard_score() -> None:
    values = confidences(300)
    fusion = z_sum(values)
    assert fusion.score(values) == pytest.approx(stats.zscore(values, axis=0).mean(axis=1))
    assert fusion.score(confidences(50, 1)) == pytest.approx(
        stats.zmap(confidences(50, 1), values, axis=0).mean(axis=1)
    )


def test_z_sum_does_not_care_about_scale() -> None:
    values, scale, shift = confidences(300), np.array([0.1, 7.0, 1.0, 300.0]), np.array([5.0, 0, -3, 1])
    assert z_sum(values * scale + shift).score(values * scale + shift) == pytest.approx(
        z_sum(values).score(values)
    )


def test_z_sum_of_the_deepest_layers_leaves_the_others_out() -> None:
    values = confidences(300)
    fusion = z_sum(values, 2)
    assert fusion.weights[:2].tolist() == [0.0, 0.0]
    assert fusion.score(values) == pytest.approx(stats.zscore(values[:, 2:], axis=0).mean(axis=1))
    assert z_sum(values, 9).score(values) == pytest.approx(z_sum(values).score(values))


def test_logistic_separates_a_known_anomaly() -> None:
    normal, strange = confidences(300), confidences(200, 1) - [0.0, 500.0, 0.0, 0.0]
    fusion = logistic(normal, strange)
    new_normal, new_strange = confidences(300, 2), confidences(300, 3) - [0.0, 500.0, 0.0, 0.0]
    scores = np.concatenate([fusion.score(new_normal), fusion.score(new_strange)])
    assert roc_auc_score(np.repeat([1, 0], 300), scores) > 0.995
    # Only the second layer tells them apart, and high confidence speaks for in-distribution.
    importance = fusion.weights * normal.std(axis=0)
    assert importance[1] > 0
    assert np.abs(importance[[0, 2, 3]]).max() < importance[1] / 5


def answer(scored: Reference) -> tuple[Array, Array]:
    """Margins and stability of two classes."""
    before, after = (
        np.diff(scored.answers[name].double().numpy(), axis=1)[:, 0] for name in ("logits", "logits.smoothed")
    )
    return np.abs(before), np.sign(before) * after - np.abs(before)


def test_limits_and_weights_come_from_different_halves(calibrated: Path, cells: CellSet, cache: Path) -> None:
    info, found = load_run(calibrated), load_calibration(calibrated)
    _, split = load_split(info, CellSource(cache=cache))
    halves = calibration_halves(split.validation, cells.labels, seed=info.config.seed)
    model = load_model(calibrated, info)
    scored = [plain_outputs(model, as_images(cells, half)) for half in halves]
    fusing, setting = (found.confidences.double().numpy() for found in scored)
    fusing_answer, setting_answer = (answer(part) for part in scored)
    assert (found.fusion_cells, found.threshold_cells) == (len(halves[0]), len(halves[1]))
    assert found.fusion_cells + found.threshold_cells == info.counts["validation"]
    weights = np.array(found.detector.weights)
    assert weights * fusing.std(axis=0) == pytest.approx([0, 1 / 4, 1 / 4, 1 / 4, 1 / 4], rel=1e-4)
    assert DEEPEST == 4
    appearance = [describe(cells.images[half]) for half in halves]
    usual = np.concatenate([appearance[0], describe(cells.images[split.train])])
    low, high = np.quantile(usual[:, :5], [0.01, 0.99], axis=0)
    assert found.detector.outline_low == pytest.approx(low.tolist())
    assert found.detector.outline_high == pytest.approx(high.tolist())

    def looks(seen: Array) -> list[Array]:
        return [within(seen, low, high), seen[:, 5], seen[:, 6]]

    def said(confidence: Array, answers: tuple[Array, Array]) -> list[Array]:
        margin, stability = answers
        return [confidence @ weights + found.detector.bias, stability, margin]

    second = np.column_stack([*looks(appearance[1]), *said(setting, setting_answer)])
    assert 19 <= len(second) < 39  # so that a share of 5 % means the worst cell, and nobody else
    names = ("wholeness", "colour", "texture", "confidence", "stability", "margin")
    shares = (0.1, 0.045, 0.005, 0.25, 0.35, 0.25)
    # What the picture shows is measured on training cells, too, for it does not depend on the network.
    measured = [*looks(usual), *said(fusing, fusing_answer)]
    rare = [np.quantile(test, 0.05 * share) for test, share in zip(measured, shares, strict=True)]
    middle = np.array([np.median(test) for test in measured])
    strict = ((second - middle) / (middle - rare)).min()
    expected = middle + strict * (middle - rare)
    limits = dict(found.detector.limits)
    fixed = {name: limits.pop(name) for name in ("small", "large", "certainty")}
    assert limits == pytest.approx(dict(zip(names, expected, strict=True)), rel=1e-3)
    assert (fixed["small"], fixed["large"]) == (0.55, 1.6)  # too few cells show another limit
    # Every slide here has parasites, so all cells without one say how sure of one an answer must be.
    first = np.column_stack([*looks(appearance[0]), *said(fusing, fusing_answer)])
    accepted = (np.concatenate([first, second]) >= expected).all(axis=1)
    odds = np.concatenate([np.diff(of.answers["logits"].double().numpy())[:, 0] for of in scored])
    healthy = accepted & (cells.labels[np.concatenate(halves)] == 0)
    assert fixed["certainty"] == pytest.approx(max(0.0, odds[healthy].max()), abs=1e-4)
    assert f"certainty: of {healthy.sum()} cells without a parasite at most 1 in 333" in found.how
    assert (found.mode, found.anomaly, found.auroc, found.alpha) == ("none", "", None, 0.05)
    assert (found.detector.epsilon, found.detector.layers) == (0.0, model.network.layers)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A folder of twelve images of nothing that is a cell."""
    folder = tmp_path / "noise"
    folder.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return folder


def test_known_anomaly_chooses_epsilon_and_weights(
    fitted: Path, noise: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "EPSILONS", (0.0, 0.005))
    run = noise.with_name("run")
    shutil.copytree(fitted, run)
    anomaly = known_anomaly(str(noise), load_run(run).input)
    found = calibrate_run(run, CellSource(cache=cache), anomaly=anomaly, alpha=0.2)
    assert (found.mode, found.anomaly, found.anomaly_cells) == ("known", str(noise), 12)
    assert found.detector.epsilon in {0.0, 0.005}
    assert found.auroc is not None
    assert found.auroc > 0.95
    assert load_calibration(run) == found


def test_given_epsilon_is_used(fitted: Path, tmp_path: Path, cells: CellSet, cache: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    found = calibrate_run(run, CellSource(cache=cache), epsilon=0.004, alpha=0.3)
    assert found.detector.epsilon == 0.004
    info = load_run(run)
    _, split = load_split(info, CellSource(cache=cache))
    half = calibration_halves(split.validation, cells.labels, seed=info.config.seed)[1]
    scored = perturbed_outputs(load_model(run, info), as_images(cells, half), 0.004)
    scores = scored.confidences.double().numpy() @ found.detector.weights + found.detector.bias
    margin, stable = answer(scored)
    appearance, detector = describe(cells.images[half]), found.detector
    whole = within(appearance, np.array(detector.outline_low), np.array(detector.outline_high))
    values = {
        "wholeness": whole,
        "colour": appearance[:, 5],
        "texture": appearance[:, 6],
        "confidence": scores,
        "stability": stable,
        "margin": margin,
    }
    assert set(detector.limits) == {*values, "small", "large", "certainty"}
    below = [
        found < detector.limits[name] - 1e-3 * abs(detector.limits[name]) for name, found in values.items()
    ]
    rejected = np.any(below, axis=0)
    rank = int(0.3 * (len(half) + 1))
    # One cell sets the limit, and float32 may put it, or a neighbour, on either side.
    assert abs(int(rejected.sum()) - (rank - 1)) <= 1


def test_too_few_anomalies_are_refused(noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4, 12):
        (noise / f"{number}.png").unlink()
    (noise / "3.png").write_text("no image")
    with pytest.raises(SourceError, match="noise: 3 images; at least 10 are needed"):
        known_anomaly(str(noise), InputSpec())
    assert f"skipped: {noise / '3.png'}: not an image" in capsys.readouterr().err


EXAMPLE = Calibration(
    detector=Detector(
        layers=("stem", "layer1"),
        epsilon=0.002,
        weights=(0.1, 1 / 3),
        bias=-0.7,
        outline_low=(-1 / 3,) * 5,
        outline_high=(0.7,) * 5,
        limits={
            "wholeness": -0.1,
            "colour": -2 / 3,
            "texture": 0.7,
            "confidence": 1e-17,
            "stability": -1 / 7,
            "margin": 0.1 + 0.2,
            "certainty": 2 / 7,
            "small": 0.55,
            "large": 1.6,
        },
    ),
    mode="known",
    anomaly="white cells",
    alpha=0.05,
    fusion_cells=100,
    anomaly_cells=20,
    threshold_cells=101,
    correlation=0.0125,
    how="by a test",
    auroc=0.9999999999999999,
)


def test_file_keeps_every_bit(tmp_path: Path) -> None:
    save_calibration(tmp_path, EXAMPLE)
    assert load_calibration(tmp_path) == EXAMPLE
    save_calibration(tmp_path, replace(EXAMPLE, auroc=None))
    assert load_calibration(tmp_path).auroc is None
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"missing; run 'python -m training calibrate --run {tmp_path}'"):
        load_calibration(tmp_path)


def change(key: str, value: object) -> Callable[[dict[str, object]], object]:
    return lambda raw: raw | {key: value}


@pytest.mark.parametrize(
    "alter",
    [
        change("schema", 7),
        change("colour", "red"),
        change("detector", {"layers": ["stem"]}),
        change("detector", 7),
        change("mode", "unknown"),
        change("fusion_cells", 1.5),
        lambda raw: {key: value for key, value in raw.items() if key != "alpha"},
        lambda raw: [raw],
    ],
)
def test_another_schema_is_refused(tmp_path: Path, alter: Callable[[dict[str, object]], object]) -> None:
    save_calibration(tmp_path, EXAMPLE)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(alter(json.loads(path.read_text()))))
    with pytest.raises(SourceError, match="written by another version of cellgate; calibrate again"):
        load_calibration(tmp_path)


def test_limits_of_other_tests_than_those_of_the_table_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_calibration(tmp_path, EXAMPLE)
    every = table.TESTS
    monkeypatch.setattr(table, "TESTS", every[1:])
    with pytest.raises(
        SourceError, match=r"limits of .*'wholeness'.*, but this cellgate tests .*calibrate again"
    ):
        load_calibration(tmp_path)
    monkeypatch.setattr(table, "TESTS", (*every, replace(every[0], name="roundness")))
    with pytest.raises(SourceError, match=r"this cellgate tests .*'roundness'.*; calibrate again"):
        load_calibration(tmp_path)


def test_file_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text('{"schema": 8')
    with pytest.raises(SourceError, match="cannot be read"):
        load_calibration(tmp_path)


def test_sizes_that_are_known_set_the_limits_of_the_size(
    calibrated: Path, cells: CellSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, plain = load_run(calibrated), load_calibration(calibrated)
    _, split = load_split(info, CellSource(cache=cache))
    halves = calibration_halves(split.validation, cells.labels, seed=info.config.seed)
    counted = np.concatenate([split.train, halves[0]])
    sizes = np.full(len(cells), 0.1)  # of cells that must not count
    sizes[counted] = np.linspace(0.8, 1.2, len(counted))
    sizes[counted[0]] = np.nan
    monkeypatch.setattr(calibration, "WRONG_SIZES", 0.1)
    model = load_model(calibrated, info)
    sized = calibrate(model, replace(cells, relative_size=sizes), halves, split.train)
    assert 0.82 < sized.detector.limits["small"] < 0.86
    assert 1.14 < sized.detector.limits["large"] / SWOLLEN < 1.18
    assert f"; sizes: of {len(counted) - 1} cells in photographs of many at most 1 in 10 lies" in sized.how
    unknown = np.full(len(cells), np.nan)
    without = calibrate(model, replace(cells, relative_size=unknown), halves, split.train)
    assert without.detector.limits["small"] == table.SMALLEST
    assert "sizes" not in without.how
    others = without.detector.limits.keys() - {"small", "large"}
    assert {name: sized.detector.limits[name] for name in others} == {
        name: plain.detector.limits[name] for name in others
    }
