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
    return Kept(
        images,
        logits,
        logits / 2,
        {"shipped [unsupervised]": np.array([0.5, -1.5])},
        {"LID": np.ones((2, 5))},
    )


def test_a_set_comes_back_as_it_was(kept: Kept, tmp_path: Path) -> None:
    save_kept(tmp_path, kept)
    found = load_kept(tmp_path, "clean")
    assert found is not None
    assert found.set.patients.tolist() == ["a", "b"]
    for name in ("logits", "smoothed"):
        assert np.array_equal(getattr(found, name), getattr(kept, name))
    assert found.scores["shipped [unsupervised]"].tolist() == [0.5, -1.5]
    assert found.layers["LID"].shape == (2, 5)


def test_a_set_that_an_earlier_version_kept_must_be_made_again(kept: Kept, tmp_path: Path) -> None:
    save_kept(tmp_path, kept)
    (path,) = tmp_path.iterdir()
    with np.load(path) as arrays:
        stored = {name: arrays[name] for name in arrays.files if name != "smoothed"}
    np.savez(path, **stored)
    assert load_file(path) is None
