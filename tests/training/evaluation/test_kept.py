"""What is kept of a scored set comes back as it was, and what an earlier version kept does not."""

from pathlib import Path

import numpy as np
import pytest

from training.evaluation.imagesets import image_set
from training.evaluation.kept import Kept, load_file, load_kept, save_kept


@pytest.fixture
def kept() -> Kept:
    """Two black images."""
    images = image_set("clean", "cells", np.zeros((2, 4, 4, 3), np.uint8), np.array(["a", "b"]), np.arange(2))
    logits = np.array([[1, 0], [2, 3]], np.float32)
    answers = {"stability": np.array([-0.25, 1 / 3]), "margin": np.array([1.0, 1.0])}
    scores = {"shipped [unsupervised]": np.array([0.5, -1.5])}
    return Kept(images, logits, answers, scores, {"LID": np.ones((2, 5))})


def test_a_set_comes_back_as_it_was(kept: Kept, tmp_path: Path) -> None:
    save_kept(tmp_path, kept)
    found = load_kept(tmp_path, "clean")
    assert found is not None
    assert found.set.patients.tolist() == ["a", "b"]
    assert found.logits.dtype == np.float32
    assert np.array_equal(found.logits, kept.logits)
    assert list(found.answers) == ["stability", "margin"]
    for name, values in kept.answers.items():
        assert np.array_equal(found.answers[name], values)
    assert found.scores["shipped [unsupervised]"].tolist() == [0.5, -1.5]
    assert found.layers["LID"].shape == (2, 5)


@pytest.mark.parametrize("version", [None, 1, 3])
def test_a_set_that_another_version_kept_must_be_made_again(
    kept: Kept, tmp_path: Path, version: int | None
) -> None:
    save_kept(tmp_path, kept)
    (path,) = tmp_path.iterdir()
    with np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files}
    assert stored.pop("version") == 2
    if version is not None:
        stored["version"] = np.array(version)
    np.savez(path, **stored)
    assert load_file(path) is None
