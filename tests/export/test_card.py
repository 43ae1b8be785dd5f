"""The model card: every figure in it is the manifest's."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.bundle.files import open_bundle
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.performance import Rate
from export.card import model_card

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def manifest(bundle_folder: Path) -> Manifest:
    """With figures that can be told apart."""
    sealed = open_bundle(bundle_folder).manifest
    return replace(
        sealed,
        name="ward 3",
        version="7",
        detector=replace(
            sealed.detector,
            weights=(0.5, 0.25, 0.125, 0.0625, 0.03125),
            bias=1.23456,
            epsilon=0.005,
            outline_low=(-1.25, -2.0, -3.0, -4.0, -5.0),
            outline_high=(1.5, 2.0, 3.0, 4.0, 5.0),
            limits={
                "wholeness": -0.125,
                "colour": -6.25,
                "texture": -7.5,
                "confidence": -0.98765,
                "stability": -0.65432,
                "margin": 0.4321,
                "certainty": 2.5,
                "small": 0.625,
                "large": 1.375,
            },
        ),
        calibrated=replace(
            sealed.calibrated, mode="none", anomaly="", alpha=0.07, fusion_cells=611, threshold_cells=612
        ),
        performance=replace(
            sealed.performance,
            sensitivity=0.9725,
            sensitivity_interval=(0.95, 0.99),
            parasitized=401,
            false_positive_rate=0.0314,
            false_positive_rate_interval=(0.01, 0.05),
            uninfected=402,
            rejected=0.055,
            rejected_interval=(0.03, 0.08),
            split="patient",
            folds=5,
            patients=24,
            agreed=790,
            agreed_accuracy=0.98,
            agreed_accuracy_of_accepted=0.9925,
            called_of_parasitized=Rate(388, 400, (0.95, 0.98), 0.0123),
            called_of_healthy=Rate(0, 0, (0.0, 1.0), 0.0),
            ood_rejected={"wbc (12)": 0.75},
            corruptions_accepted={"warm cast": 0.95},
            corruptions_accuracy={"warm cast": 0.965},
        ),
        parity={"logits": 1.5e-6, "confidences": 2.5e-4},
    )


def test_states_the_figures(manifest: Manifest) -> None:
    card = model_card(manifest)
    assert card.startswith("# ward 3 7\n")
    outline = (
        "fill -1.25 to 1.5, irregularity -2 to 2, elongation -3 to 3, skewness -4 to 4, contrast -5 to 5"
    )
    for line in (
        f"- Outline of ordinary cells: {outline}.",
        "| small | at least 0.625 | smaller: smaller than a red cell | fixed |",
        "| large | at most 1.375 | larger: larger than a red cell | fixed |",
        "| wholeness | at least -0.125 | not-one-cell: not one whole cell | 10.0% |",
        "| colour | at least -6.25 | faint: too little colour or contrast | 4.5% |",
        "| texture | at least -7.5 | faint: too little colour or contrast | 0.5% |",
        "| confidence | at least -0.9877 | far-from-training: unlike the training cells | 25.0% |",
        "| stability | at least -0.6543 | unstable: of a class by the finest detail alone | 35.0% |",
        "| margin | at least 0.4321 | suspect: perhaps a parasite | 25.0% |",
        "| certainty | at least 2.5 | suspect: perhaps a parasite | fixed |",
        "| sensitivity | 97.25% | 95.00% to 99.00% | 401 parasitized |",
        "| false positive rate | 3.14% | 1.00% to 5.00% | 402 uninfected |",
        "| rejected | 5.50% | 3.00% to 8.00% | 803 |",
        "| accuracy, where all readings agree | 98.00% | | 790 |",
        "| the same of the accepted | 99.25% | | |",
        "| parasitized and accepted: called so | 97.00% | 95.00% to 98.00% | 388 of 400 |",
        "| of healthy patients and accepted: called parasitized | not measured | 0.00% to 100.00% | 0 of 0 |",
        "| wbc (12) | 75.0% | 25.0% |",
        "| warm cast | 95.0% | 96.5% |",
        "| logits | 1.5e-06 |",
        "| confidences | 2.5e-04 |",
        "## What was measured on test cells, split by patient",
        f"- Network: edge, trained on {manifest.provenance.trained_on}.",
        "- Input: 125x125 RGB, black outside the cell.",
    ):
        assert f"\n{line}\n" in card


def test_says_how_many_networks_were_measured_and_how_patients_differ(manifest: Manifest) -> None:
    text = " ".join(model_card(manifest).split())
    assert "cells of one patient correlate by 0.012 and 0.000" in text
    assert "judged by 5 networks of one recipe, each on patients that it never saw" in text
    alone = replace(manifest.performance, folds=1, agreed=0)
    text = model_card(replace(manifest, performance=alone))
    assert "networks of one recipe" not in text
    assert "readings agree" not in text


def test_states_how_it_rejects(manifest: Manifest) -> None:
    text = " ".join(model_card(manifest).split())
    assert "stem 0.5, layer1 0.25, layer2 0.125, layer3 0.0625, layer4 0.0312" in text
    assert "bias 1.235, epsilon 0.005." in text
    assert "A cell is rejected if it fails any of these tests." in text
    assert "Calibrated with no anomaly known on 611 cells; limits on 612 others, together " in text
    assert "set to reject 7% of cells like them" in text


def test_names_the_known_anomaly(manifest: Manifest) -> None:
    calibrated = replace(manifest.calibrated, mode="known", anomaly="white cells of ward 3")
    assert "Calibrated with white cells of ward 3" in model_card(replace(manifest, calibrated=calibrated))


def test_says_what_it_is_not_for(manifest: Manifest) -> None:
    card = model_card(manifest)
    assert "**Research use only. Not for use in diagnostic procedures.**" in card
    assert "an acceptance is no diagnosis" in card


def test_says_where_it_comes_from(manifest: Manifest) -> None:
    card, made = model_card(manifest), manifest.provenance
    for told in (made.git_commit, made.torch, made.cells_digest[:16], made.split_digest[:16]):
        assert told in card


def test_stands_in_the_bundle(bundle_folder: Path) -> None:
    bundle = open_bundle(bundle_folder)
    assert bundle.contents["MODEL_CARD.md"].decode() == model_card(bundle.manifest)
