"""Overlays: what is cut out of a cell, and how it comes to lie on another one."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import SourceError
from training.fitting import fit
from training.overlays import COLUMNS, OF_PARASITIZED, blobs, overlaid
from training.run import RunConfig

PALE, DARK = (210, 150, 170), (90, 40, 130)


def cell(*specks: tuple[tuple[int, int], int]) -> np.ndarray:
    """A pale round cell with dark round specks: (x, y) and radius each."""
    image = np.zeros((125, 125, 3), np.uint8)
    cv2.circle(image, (62, 62), 55, PALE, -1)
    for at, radius in specks:
        cv2.circle(image, at, radius, DARK, -1)
    return image


SPECK, BLOB = blobs(cell(((50, 60), 5))[None])[0], blobs(cell(((50, 60), 14))[None])[0]


def uniform(cells: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((cells, COLUMNS), np.float32)


def darkened(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where a cell has become clearly darker: bool [N, H, W]."""
    return before[..., 1].astype(int) - after[..., 1] > 15


def test_what_is_darker_than_its_cell_is_cut_out_and_nothing_else() -> None:
    assert [blob.shape[2] for blob in blobs(np.stack([cell(((40, 60), 5), ((80, 70), 8)), cell()]))] == [3, 3]
    # The absorbance beyond the cell's own: the ratio of the two lights.
    assert SPECK.max(axis=(0, 1)) == pytest.approx(np.log(np.add(PALE, 1) / np.add(DARK, 1)), abs=0.02)
    assert blobs(np.zeros((1, 125, 125, 3), np.uint8)) == []


def test_what_lies_at_the_very_rim_is_left_to_the_rim() -> None:
    assert blobs(cell(((62, 8), 3))[None]) == []


def test_the_share_of_cells_is_that_which_was_asked_for_and_less_of_parasitized_ones() -> None:
    cells = np.stack([cell()] * 400)
    infected = np.arange(400) >= 200
    made = overlaid(cells, infected, [SPECK], uniform(400), 0.3)
    changed = (made != cells).any(axis=(1, 2, 3))
    assert changed[:200].mean() == pytest.approx(0.3, abs=0.08)
    assert changed[200:].mean() == pytest.approx(0.3 * OF_PARASITIZED, abs=0.06)
    assert (overlaid(cells, infected, [SPECK], uniform(400), 0.0) == cells).all()


def test_a_large_blob_lies_on_the_rim_or_beside_the_cell_and_a_speck_anywhere() -> None:
    cells = np.stack([cell()] * 200)
    nobody = np.zeros(200, bool)
    y, x = np.indices((125, 125))
    middle = np.hypot(x - 62, y - 62) < 25
    large, small = (overlaid(cells, nobody, [one], uniform(200), 1.0) for one in (BLOB, SPECK))
    assert not darkened(cells, large)[:, middle].any()
    inside = darkened(cells, small)[:, middle].any(axis=1)
    assert 0.03 < inside.mean() < 0.4
    assert (large.any(axis=(1, 2, 3))).all()
    beside = large[:, cells[0].max(axis=2) == 0].any(axis=(1, 2))
    assert beside.mean() > 0.5  # what lies there becomes part of the crop


def test_two_in_five_overlays_are_several_blobs() -> None:
    cells, nobody, drawn = np.stack([cell()] * 200), np.zeros(200, bool), uniform(200)
    drawn[:, 6] = 0.99  # anywhere on the cell, where all of them can be counted
    drawn[:, 2] = 0.5
    alone = drawn.copy()
    alone[:, 7] = 1.0
    together, single = (
        darkened(cells, overlaid(cells, nobody, [SPECK], one, 1.0)).sum(axis=(1, 2)) for one in (drawn, alone)
    )
    assert (together > single).mean() == pytest.approx(0.4, abs=0.08)
    assert (together >= single).all()


def test_between_a_blob_and_the_cell_it_lies_beside_there_is_no_crack() -> None:
    cells, nobody = np.stack([cell()] * 60), np.zeros(60, bool)
    laid = overlaid(cells, nobody, [BLOB], uniform(60), 1.0)
    for image in laid:
        mask = (image.max(axis=2) > 0).astype(np.uint8)
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
        assert (closed == mask).mean() > 0.999
        assert cv2.connectedComponents(mask)[0] == 2  # the background, and one piece


def test_the_same_numbers_lay_the_same() -> None:
    cells, nobody = np.stack([cell()] * 8), np.zeros(8, bool)
    one, other = (overlaid(cells, nobody, [SPECK, BLOB], uniform(8, seed), 1.0) for seed in (3, 4))
    assert (one == overlaid(cells, nobody, [SPECK, BLOB], uniform(8, 3), 1.0)).all()
    assert (one != other).any()
    assert one.dtype == np.uint8


def test_overlays_need_cells_to_cut_them_from(config: RunConfig, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="140 cells without a parasite hold nothing to cut out"):
        fit(replace(config, overlays=0.1), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()
