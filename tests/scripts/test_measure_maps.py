"""The measurement of why-maps: the truth in a crop, its table, its picture, and a small run of it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.bundle.classifier import Classifier
from scripts.measure_maps import Found, Mapped, cells, main, measure, picture, table

TINY = Path(__file__).parents[1] / "edge_runtime" / "tiny-bundle"
SIZE = 64


@pytest.fixture(scope="module")
def found() -> list[Found]:
    return list(cells(3, SIZE))


def test_the_object_is_where_the_crop_is_darkest(found: list[Found]) -> None:
    """Parasites, platelets and specks take up more light than the cell around them."""
    assert {one.kind for one in found} >= {"ring", "platelet"}
    darker = []
    for one in found:
        cell = one.crop.max(axis=2) > 0
        inside, outside = one.object & cell, cell & ~one.object
        assert 0 < inside.sum() < cell.sum()
        darker.append(one.crop[inside, 1].mean() < one.crop[outside, 1].mean())
    assert np.mean(darker) > 0.85


def test_maps_of_the_tiny_bundle_have_their_mass_measured(found: list[Found]) -> None:
    mapped = measure(Classifier.open(TINY, threads=1), found)
    assert len(mapped) == len(found)
    told = [one for one in mapped if one.why.any()]
    assert told
    for one in told:
        assert one.mass == pytest.approx(one.why[one.found.object].sum())
        assert one.why.sum() == pytest.approx(1, abs=1e-4)
    area = np.mean([one.found.object.sum() / (one.found.crop.max(axis=2) > 0).sum() for one in told])
    assert np.mean([one.mass for one in told]) > 1.5 * area


def one(kind: str, mass: float, *, told: bool = True) -> Mapped:
    crop = np.full((SIZE, SIZE, 3), 200, np.uint8)
    covered = np.zeros((SIZE, SIZE), bool)
    covered[:16] = True
    why = np.full((SIZE, SIZE), told / SIZE**2, np.float32)
    return Mapped(Found(kind, crop, covered, 1.0), why, mass)


def test_the_table_counts_by_kind_and_says_what_has_no_map() -> None:
    mapped = [one("ring", 0.7), one("ring", 0.69), one("platelet", 1.0), one("speck", 0.0, told=False)]
    rows = table(mapped).splitlines()
    assert "| speck | 1 | 1 | 0 | | | | |" in rows
    assert any(row.startswith("| platelets and specks | 2 | 1 | 1 | 1 | 100.0") for row in rows)
    assert any(row.startswith("| all | 4 | 1 | 3 | 2 | 66.7") for row in rows)


def test_the_picture_has_a_row_for_each_kind_that_has_a_map() -> None:
    shown = picture([one("ring", 1.0), one("ring", 1.0), one("speck", 0.0, told=False), one("platelet", 1)])
    assert shown.shape == (2 * SIZE, 4 * SIZE, 3)
    assert shown[:SIZE, : 4 * SIZE].any(axis=(0, 2)).all()
    assert not shown[SIZE:, 2 * SIZE :].any()


def test_a_small_run(tmp_path: Path) -> None:
    given = ["--fields", "1", "--seed", "3", "--bundle", str(TINY), "--picture", str(tmp_path / "maps.png")]
    done = CliRunner().invoke(main, given, catch_exceptions=False)
    assert done.exit_code == 0
    assert "tiny 1" in done.output
    assert "| ring |" in done.output
    assert cv2.imread(str(tmp_path / "maps.png")) is not None
