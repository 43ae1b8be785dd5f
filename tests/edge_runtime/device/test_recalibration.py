"""Recalibration: a site whose cells look otherwise is accepted again, and nothing else is."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from detectors import evidence, lenient, with_margins

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import open_bundle
from edge_runtime.bundle.parity import all_passed
from edge_runtime.bundle.verification import replay
from edge_runtime.cells.cutting import cut_cells
from edge_runtime.decision import table
from edge_runtime.decision.decide import decide
from edge_runtime.decision.detector import Detector
from edge_runtime.decision.evidence import Evidence
from edge_runtime.device.labels import named_cells
from edge_runtime.device.recalibration import recalibrate, recalibrate_bundle
from edge_runtime.device.site import site_cells
from edge_runtime.device.trust import Named, check_named
from edge_runtime.errors import CheckFailedError, SourceError
from edge_runtime.fields.gates import default_limits
from edge_runtime.simulator import simulate_field

DETECTOR = lenient(
    ("a", "b"),
    (0.5, 0.5),
    wholeness=0.0,
    colour=-1e5,
    texture=-1e5,
    confidence=-1.0,
    stability=-0.5,
    margin=0.5,
)
ALPHA = 0.1
SHARE = 0.25 * ALPHA  # of the test of the features


def site(seed: int, cells: int = 400, shift: float = 0.0, spread: float = 1.0) -> Evidence:
    """Cells whose first layer is shifted and spread, with stable margins that all suffice."""
    rng = np.random.default_rng(seed)
    confidences = rng.normal(0, 0.3, (cells, 2)).astype(np.float32)
    confidences[:, 0] = confidences[:, 0] * spread + shift
    return with_margins([5.0] * cells, confidences)


def rejected(detector: Detector, seen: Evidence) -> float:
    """Share of the cells that are rejected for their features."""
    return float(decide(detector, seen).failed_by("confidence").mean())


def test_a_shifted_site_is_accepted_again() -> None:
    made = recalibrate(DETECTOR, site(0, shift=-1.2, spread=4), alpha=ALPHA)
    assert 0.2 < made.rejected_before < 0.5
    assert made.rejected_after <= SHARE
    assert rejected(made.detector, site(1, cells=20_000, shift=-1.2, spread=4)) == pytest.approx(
        SHARE, abs=0.03
    )


def test_the_share_is_that_of_the_table() -> None:
    seen = site(0, shift=-1.2)
    (test,) = (test for test in table.TESTS if test.name == "confidence")
    assert ALPHA * test.share == SHARE
    made = recalibrate(DETECTOR, seen, alpha=ALPHA).detector
    below = int((decide(made, seen).value("confidence") < made.limits["confidence"]).sum())
    assert below == int(401 * SHARE) - 1


def test_what_is_far_from_the_site_is_still_rejected() -> None:
    made = recalibrate(DETECTOR, site(0, shift=-1.2), alpha=ALPHA)
    assert rejected(made.detector, site(1, shift=-9)) == 1.0


def test_a_layer_that_was_widened_does_not_outweigh_the_others() -> None:
    made = recalibrate(DETECTOR, site(0, cells=20_000, spread=10), alpha=ALPHA)
    first, second = made.detector.weights
    assert second / first == pytest.approx(10, rel=0.1)


def test_all_other_limits_the_outline_and_the_layers_stay() -> None:
    made = recalibrate(DETECTOR, site(0, shift=-1.2), alpha=ALPHA).detector
    assert list(made.limits) == list(DETECTOR.limits)
    assert {name for name, limit in made.limits.items() if limit != DETECTOR.limits[name]} == {"confidence"}
    assert (made.layers, made.epsilon) == (("a", "b"), 0.0)
    assert (made.outline_low, made.outline_high) == (DETECTOR.outline_low, DETECTOR.outline_high)


def test_a_few_ood_cells_do_not_let_ood_cells_in() -> None:
    cells, ood = site(0, cells=400, shift=-1.2), site(1, cells=8, shift=-60)
    both = with_margins([5.0] * 408, np.concatenate([cells.confidences, ood.confidences]))
    made = recalibrate(DETECTOR, both, alpha=ALPHA)
    assert rejected(made.detector, ood) == 1.0
    assert rejected(made.detector, cells) <= 0.05


def test_too_few_cells() -> None:
    with pytest.raises(SourceError, match="99 cells; give at least 100"):
        recalibrate(DETECTOR, site(0, cells=99), alpha=ALPHA)


def test_a_site_whose_cells_are_all_unlike_is_fitted_if_the_answers_are_sure_and_stable() -> None:
    made = recalibrate(DETECTOR, site(0, shift=-6), alpha=ALPHA)
    assert made.rejected_before == made.failed["confidence"] == 1.0
    assert made.rejected_after <= SHARE
    assert {name: share for name, share in made.failed.items() if share} == {"confidence": 1.0}


def test_cells_that_fail_other_tests_do_not_say_what_the_sites_cells_look_like() -> None:
    cells, odd = site(0, cells=380, shift=-6), site(1, cells=20, shift=-60)
    both = with_margins([5.0] * 380 + [0.1] * 20, np.concatenate([cells.confidences, odd.confidences]))
    made, alone = (recalibrate(DETECTOR, seen, alpha=ALPHA).detector for seen in (both, cells))
    assert (made.weights, made.bias, made.limits) == (alone.weights, alone.bias, alone.limits)


def test_a_classifier_that_is_ambiguous_there_cannot_be_mended() -> None:
    ambiguous = with_margins([0.0] * 300, np.zeros((300, 2)))
    told = r"^100% of these cells .* \(100% perhaps a parasite\), and 15% may be: "
    with pytest.raises(CheckFailedError, match=told):
        recalibrate(DETECTOR, ambiguous, alpha=ALPHA)


@pytest.mark.parametrize(
    ("ambiguous", "unstable", "told"),
    [
        (0, 34, "17% of a class by the finest detail alone"),
        (17, 17, "8% of a class by the finest detail alone, 8% perhaps a parasite"),
        (34, 0, "17% perhaps a parasite"),
    ],
)
def test_ambiguous_and_unstable_cells_count_together(ambiguous: int, unstable: int, told: str) -> None:
    """Of 200 cells 30 may be lost."""

    def of(torn: int, hanging: int) -> Evidence:
        logits = np.tile([0.0, 5.0], (200, 1))
        logits[:torn] = 0
        smoothed = logits.copy()
        smoothed[torn : torn + hanging] = [4, 0]
        seen = evidence(logits, site(0, cells=200, shift=-1.2).confidences, smoothed=smoothed)
        found = decide(DETECTOR, seen)
        assert (found.failed_by("margin").sum(), found.failed_by("stability").sum()) == (torn, hanging)
        return seen

    with pytest.raises(CheckFailedError) as caught:
        recalibrate(DETECTOR, of(ambiguous, unstable), alpha=ALPHA)
    assert str(caught.value).startswith(f"17% of these cells are rejected for what no limit mends ({told}), ")
    few = of(ambiguous * 15 // 17, unstable * 15 // 17)
    assert recalibrate(DETECTOR, few, alpha=ALPHA).detector.limits["stability"] == -0.5


def test_a_site_where_too_many_parasites_are_uncertain_is_refused() -> None:
    detector = replace(DETECTOR, limits={**DETECTOR.limits, "certainty": 3.0})
    confidences = site(0, cells=200).confidences
    few, many = ([2.0] * count + [5.0] * (200 - count) for count in (60, 62))
    assert recalibrate(detector, with_margins(few, confidences), alpha=ALPHA).failed["certainty"] == 0.3
    with pytest.raises(CheckFailedError, match=r"^31% of these cells are called parasitized, but not surely"):
        recalibrate(detector, with_margins(many, confidences), alpha=ALPHA)


@pytest.mark.parametrize(
    ("number", "value", "told"),
    [
        (0, 2.5, "50% not one whole cell"),
        (5, -2e5, "50% too little colour or contrast"),
        (6, -2e5, "50% too little colour or contrast"),
    ],
)
def test_crops_that_are_mostly_in_no_order_cannot_be_mended(number: int, value: float, told: str) -> None:
    cells = site(0, shift=-1.2)
    appearance = cells.appearance.copy()
    appearance[:200, number] = value
    with pytest.raises(CheckFailedError) as caught:
        recalibrate(DETECTOR, replace(cells, appearance=appearance), alpha=ALPHA)
    assert str(caught.value) == (
        f"50% of these cells are rejected for what no limit mends ({told}), and 15% may be: check focus, "
        "light, stain and how cells are cut, or train with cells of this site"
    )


def test_a_cell_with_two_faults_of_one_reason_counts_once() -> None:
    cells = site(0, shift=-1.2)
    appearance = cells.appearance.copy()
    appearance[:160, 5] = appearance[80:240, 6] = -2e5
    with pytest.raises(CheckFailedError, match=r"^60% of .* \(60% too little colour or contrast\), "):
        recalibrate(DETECTOR, replace(cells, appearance=appearance), alpha=ALPHA)


def test_cells_that_are_all_the_same() -> None:
    with pytest.raises(CheckFailedError, match="do not vary"):
        recalibrate(DETECTOR, with_margins([5.0] * 300, np.full((300, 2), -1.0)), alpha=ALPHA)


def test_two_hundred_cells_do_not_set_the_limit_of_an_alpha_that_is_smaller_still() -> None:
    with pytest.raises(CheckFailedError, match="200 cells cannot set a limit; at least 399 are needed"):
        recalibrate(DETECTOR, site(0, cells=200), alpha=0.01)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten simulated fields under a light that no calibration has seen."""
    folder = tmp_path_factory.mktemp("frames")
    for seed in range(900, 910):
        field = simulate_field(seed, width=600, height=480, cells=30, parasitized_fraction=0.2)
        frame = np.clip(field.frame * np.array([0.8, 0.75, 0.65]), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return folder


@pytest.fixture(scope="module")
def crops(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their cells."""
    folder = tmp_path_factory.mktemp("crops")
    for path in sorted(frames.iterdir()):
        frame = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for number, cell in enumerate(cut_cells(frame, 64)[0]):
            crop = cv2.cvtColor(cell.crop, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / f"{path.stem}-{number:02}.png"), crop)
    return folder


def test_a_sites_bundle_verifies_and_accepts_its_cells(
    classifier: Classifier, crops: Path, tmp_path: Path
) -> None:
    size = classifier.bundle.manifest.input.size
    cells, skipped = site_cells(crops, size, default_limits())
    assert len(cells) > 200
    assert not skipped
    made = recalibrate_bundle(classifier, cells, "kisumu", tmp_path / "site")
    bundle = open_bundle(tmp_path / "site")
    assert bundle.manifest.name == f"{classifier.bundle.manifest.name}-kisumu"
    assert bundle.manifest.detector == made.detector
    assert f"{len(cells)} unlabelled cells of kisumu" in bundle.manifest.calibrated.how
    opened = Classifier.open(bundle, threads=1)
    assert all_passed(replay(opened))
    assert made.rejected_after == pytest.approx(float(opened.decide_resized(cells).rejected.mean()))
    assert made.rejected_after < made.rejected_before
    card = bundle.contents["MODEL_CARD.md"].decode()
    assert card.startswith(f"# {bundle.manifest.name}\n")
    assert "nothing is known of the" in card
    assert classifier.bundle.contents["MODEL_CARD.md"].decode() in card


def test_the_command_takes_crops_or_a_slide(
    cellgate: Callable[..., Result], tiny_bundle: Path, frames: Path, crops: Path, tmp_path: Path
) -> None:
    common = ["--bundle", str(tiny_bundle), "--threads", "1"]
    done = cellgate("recalibrate", str(crops), "--site", "a", "--out", str(tmp_path / "a"), *common)
    assert done.exit_code == 0, done.output
    assert f"{len(list(crops.iterdir()))} cells: " in done.output
    assert cellgate("verify", str(tmp_path / "a"), "--threads", "1").exit_code == 0

    slide = [str(frames), "--slide", "S", "--out", str(tmp_path / "slide")]
    done = cellgate("read", *slide, *common)
    assert done.exit_code == 1
    assert "fit the bundle to this site with 'cellgate recalibrate'" in done.output
    done = cellgate(
        "recalibrate", str(tmp_path / "slide"), "--site", "b", "--out", str(tmp_path / "b"), *common
    )
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert manifest["name"].endswith("-b")


def test_the_command_refuses_too_few_cells_and_leaves_nothing(
    cellgate: Callable[..., Result], tiny_bundle: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    cv2.imwrite(str(few / "one.png"), np.full((50, 50, 3), 120, np.uint8))
    done = cellgate(
        "recalibrate", str(few), "--site", "a", "--out", str(tmp_path / "a"), "--bundle", str(tiny_bundle)
    )
    assert done.exit_code == 1
    assert "give at least 100" in done.output
    assert not (tmp_path / "a").exists()


def test_a_bundle_is_never_written_over(classifier: Classifier, crops: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    cells, _ = site_cells(crops, classifier.bundle.manifest.input.size, default_limits())
    with pytest.raises(SourceError, match="not empty"):
        recalibrate_bundle(classifier, cells, "a", tmp_path)


def named_as(labels: Sequence[str], crops: Path, folder: Path) -> Path:
    """A CSV that names the first crops of a folder so, beside copies of them."""
    lines = ["path,label"]
    for label, crop in zip(labels, sorted(crops.iterdir()), strict=False):
        shutil.copy(crop, folder)
        lines.append(f"{crop.name},{label}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder / "labels.csv"


def test_named_cells_tell_what_a_fitted_bundle_is_worth(
    cellgate: Callable[..., Result], classifier: Classifier, crops: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """Named as the classifier calls them: right throughout."""
    size, classes = classifier.bundle.manifest.input.size, classifier.bundle.manifest.classes
    cells, _ = site_cells(crops, size, default_limits())
    called = [classes[label] for label in classifier.decide_resized(cells).label[:60]]
    labels = named_as(called, crops, tmp_path)
    done = cellgate(
        "recalibrate", str(crops), "--site", "a", "--out", str(tmp_path / "a"), "--json",
        "--bundle", str(tiny_bundle), "--threads", "1", "--labels", str(labels),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [named["label"] for named in told["named"]] == [name for name in classes if name in called]
    for named in told["named"]:
        assert named["cells"] == called.count(named["label"])
        assert named["cells"] >= named["accepted"] == named["right"] > 0
    assert told["cells"] == len(cells)
    assert set(told["failed"]) == {test.name for test in table.TESTS}
    card = (tmp_path / "a" / "MODEL_CARD.md").read_text()
    assert f"of {told['named'][0]['cells']} cells named {told['named'][0]['label']}" in card
    assert "nothing is known of the" not in card


def test_a_site_where_named_cells_are_called_otherwise_is_refused(
    cellgate: Callable[..., Result], classifier: Classifier, crops: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    size, classes = classifier.bundle.manifest.input.size, classifier.bundle.manifest.classes
    cells, _ = site_cells(crops, size, default_limits())
    other = [classes[1 - label] for label in classifier.decide_resized(cells).label[:60]]
    labels = named_as(other, crops, tmp_path)
    done = cellgate(
        "recalibrate", str(crops), "--site", "a", "--out", str(tmp_path / "a"),
        "--bundle", str(tiny_bundle), "--threads", "1", "--labels", str(labels),
    )  # fmt: skip
    assert done.exit_code == 1
    assert "are called otherwise: the classifier errs at this site" in done.output
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "{crop},monocyte",
            "labels.csv, line 2: no class 'monocyte'; expected one of uninfected, ",
        ),
        ("missing.png,uninfected", "labels.csv, line 2: .*missing.png cannot be read .*folder of the CSV"),
        ("{crop}", "labels.csv, line 2: 1 values in 2 columns; expected path,label"),
        ("labels.csv,uninfected", "labels.csv: none of its 1 cells can be judged"),
    ],
)
def test_a_list_of_names_that_does_not_fit_is_refused_by_its_line(
    line: str, told: str, crops: Path, tmp_path: Path
) -> None:
    crop = min(crops.iterdir())
    shutil.copy(crop, tmp_path)
    (tmp_path / "labels.csv").write_text(f"path,label\n{line.format(crop=crop.name)}\n")
    with pytest.raises(SourceError, match=told):
        named_cells(tmp_path / "labels.csv", 64, ("uninfected", "parasitized"))


def test_a_few_wrong_names_are_chance_and_many_are_not() -> None:
    check_named([Named("uninfected", 20, 0, 20, 18)])
    check_named([Named("uninfected", 20, 0, 0, 0)])
    check_named([Named("uninfected", 1000, 0, 1000, 951)])
    with pytest.raises(CheckFailedError, match="of 1000 accepted cells named uninfected, 70 are called"):
        check_named([Named("parasitized", 9, 9, 9, 9), Named("uninfected", 1000, 0, 1000, 930)])


def test_platelets_and_clumps_do_not_speak_against_a_site() -> None:
    """By their size: what else they fail is no fault of the site."""
    detector = replace(DETECTOR, limits={**DETECTOR.limits, "small": 0.55, "large": 1.6})
    cells, odd = site(0, cells=300), site(1, cells=100, shift=-60)
    margins = [5.0] * 300 + [0.0] * 100
    seen = with_margins(margins, np.concatenate([cells.confidences, odd.confidences]))
    sizes = np.array([1.0] * 300 + [0.3] * 50 + [2.0] * 50)
    made = recalibrate(detector, replace(seen, relative_size=sizes), alpha=ALPHA)
    assert (made.failed["small"], made.failed["large"]) == (0.125, 0.125)
    assert rejected(made.detector, cells) <= SHARE
    assert rejected(made.detector, odd) == 1.0
    with pytest.raises(CheckFailedError, match="25% perhaps a parasite"):
        recalibrate(detector, seen, alpha=ALPHA)


def test_without_a_red_cell_there_is_nothing_to_fit() -> None:
    detector = replace(DETECTOR, limits={**DETECTOR.limits, "small": 0.55})
    seen = replace(site(0, cells=100), relative_size=np.full(100, 0.3))
    with pytest.raises(CheckFailedError, match="none of these is as large as a red cell"):
        recalibrate(detector, seen, alpha=ALPHA)
