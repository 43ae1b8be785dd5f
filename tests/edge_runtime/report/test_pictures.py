"""The report's pictures: a cell stands in the middle of what surrounds it, in as many bytes as it may have."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.record.readings import CellReading, FieldReading
from edge_runtime.report.budget import CELL_SIZES, FIELD_SIZES
from edge_runtime.report.pictures import (
    cell_picture,
    field_picture,
    fitted,
    map_picture,
    overview,
    surroundings,
)

WIDTH, HEIGHT = 640, 480
BOX = (300, 200, 60, 50)
Pixels = NDArray[np.uint8]


def frame() -> Pixels:
    """Grey, with a blue cell in the box and a red one beside it; BGR."""
    pixels = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    x, y, width, height = BOX
    pixels[y : y + height, x : x + width] = (200, 40, 40)
    pixels[y : y + height, x + 70 : x + 120] = (40, 40, 200)
    return pixels


def field(shown: Pixels) -> FieldReading:
    jpeg = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    return FieldReading(1, "a.png", WIDTH, HEIGHT, jpeg, "", "", {}, ())


def cell(box: tuple[int, int, int, int] = BOX, crop: Pixels | None = None) -> CellReading:
    png = b"" if crop is None else cv2.imencode(".png", crop)[1].tobytes()
    return CellReading(box, "parasitized", "", "parasitized", 0.9, {}, (), png)


def decoded(webp: bytes) -> Pixels:
    pixels = cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


def test_a_cell_stands_in_the_middle_of_its_neighbours_as_large_as_on_the_frame() -> None:
    of = field(frame())
    view = surroundings(overview(of), of, cell(), 2.0, 256)
    assert view.shape == (120, 120, 3)
    np.testing.assert_allclose(view[60, 60], (200, 40, 40), atol=8)
    np.testing.assert_allclose(view[60, 110], (40, 40, 200), atol=8)  # 50 pixels to the right of the middle
    np.testing.assert_allclose(view[5, 5], 200, atol=8)


def test_a_reduced_overview_still_shows_the_cell_in_the_middle_and_from_its_own_crop() -> None:
    small = cv2.resize(frame(), (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)
    of = field(np.asarray(small, np.uint8))
    fine = np.zeros((50, 60, 3), np.uint8)
    fine[10:40:2, 10:50] = 255  # lines that no reduced picture has
    view = surroundings(overview(of), of, cell(crop=fine), 2.0, 256)
    assert view.shape == (120, 120, 3)
    x, y = (120 - 60) // 2, (120 - 50) // 2
    np.testing.assert_array_equal(view[y + 10 : y + 40 : 2, x + 10 : x + 50], 255)
    np.testing.assert_allclose(view[60, 112], (40, 40, 200), atol=30)


def test_beyond_the_edge_of_the_frame_there_is_nothing() -> None:
    of = field(frame())
    view = surroundings(overview(of), of, cell((0, 0, 40, 40)), 2.0, 256)
    np.testing.assert_array_equal(view[:15], 224)
    np.testing.assert_allclose(view[30:, 30:], 200, atol=8)


@pytest.mark.parametrize("allowance", [130, 250, 700, 3000])
def test_a_picture_has_no_more_bytes_than_it_may(allowance: int) -> None:
    noise = np.random.default_rng(0).normal(170, 12, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
    of = field(noise)
    made = cell_picture(overview(of), of, cell(), 2.4, allowance)
    assert 0 < len(made) <= allowance
    assert len(field_picture(overview(of), 10 * allowance)) <= 10 * allowance


def test_nothing_is_left_out_even_where_no_size_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    assert decoded(fitted(noise, CELL_SIZES, 1)).shape[1] == CELL_SIZES[-1].side
    assert decoded(fitted(noise, FIELD_SIZES, 1)).shape[1] == FIELD_SIZES[-1].side


def test_a_small_picture_is_not_enlarged() -> None:
    assert decoded(fitted(frame()[:40, :30], CELL_SIZES, 10**6)).shape[:2] == (40, 30)


def test_a_picture_that_cannot_be_decoded_leaves_a_grey_one() -> None:
    of = FieldReading(1, "a.png", WIDTH, HEIGHT, b"no picture", "", "", {}, ())
    assert decoded(cell_picture(overview(of), of, cell(), 2.0, 3000)).shape == (120, 120, 3)


def test_a_map_is_shown_where_there_is_one() -> None:
    png = cv2.imencode(".png", frame()[:50, :60])[1].tobytes()
    assert decoded(map_picture(png, 3000)).shape[:2] == (50, 60)
    assert map_picture(b"", 3000) == b""


@pytest.mark.parametrize(("least", "width"), [(0, 640), (160, 160), (300, 320)])
def test_no_more_of_a_field_is_decoded_than_is_needed(least: int, width: int) -> None:
    assert overview(field(frame()), least=least).shape[1] == width
