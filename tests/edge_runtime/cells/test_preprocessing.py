"""The one preprocessing: mask, tighten, square, resize, scale."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.cells.cutting import cut_cells
from edge_runtime.cells.preprocessing import masked_again, masked_crop, resize_crop, to_input
from edge_runtime.errors import ImageError
from edge_runtime.simulator import simulate_field

Copy = Callable[[np.ndarray], np.ndarray]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A crop without a single black pixel."""
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


def test_masked_crop_cuts_x_before_y_and_blackens_the_rest() -> None:
    frame = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    mask = np.array([[True, False, True], [False, True, True]])
    crop = masked_crop(frame, (1, 2, 3, 2), mask)
    assert crop.dtype == np.uint8
    # Pixel (x, y) of the frame holds 15 y + 3 x and the two numbers after it.
    assert crop[..., 0].tolist() == [[33, 0, 39], [0, 51, 54]]
    assert crop[0, 2].tolist() == [39, 40, 41]


def test_masked_crop_leaves_the_frame_alone() -> None:
    frame = noise(10, 10)
    before = frame.copy()
    masked_crop(frame, (2, 2, 4, 4), np.zeros((4, 4), bool))[:] = 7
    np.testing.assert_array_equal(frame, before)


def test_a_crop_of_the_right_size_passes_unchanged() -> None:
    crop = noise(32, 32)
    np.testing.assert_array_equal(resize_crop(crop, 32), crop)


@given(st.tuples(*[st.integers(0, 9)] * 4))
def test_a_black_margin_changes_nothing(margin: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = margin
    crop = noise(24, 31)
    padded = np.pad(crop, ((top, bottom), (left, right), (0, 0)))
    np.testing.assert_array_equal(resize_crop(padded, 20), resize_crop(crop, 20))


def test_a_wide_crop_is_centred_between_black_bars() -> None:
    square = resize_crop(noise(20, 41), 41)
    filled = square.any(axis=2)
    # 21 rows are missing: the odd one goes below.
    assert not filled[:10].any()
    assert filled[10:30].all()
    assert not filled[30:].any()


def test_a_tall_crop_is_centred_between_black_bars() -> None:
    square = resize_crop(noise(41, 20), 41)
    filled = square.any(axis=2)
    assert not filled[:, :10].any()
    assert filled[:, 10:30].all()
    assert not filled[:, 30:].any()


def test_a_black_pixel_inside_the_cell_stays_where_it_is() -> None:
    crop = noise(16, 16)
    crop[5, 9] = 0
    assert not resize_crop(crop, 16)[5, 9].any()


@pytest.mark.parametrize("times", [2, 3, 4])
def test_shrinking_takes_the_mean_of_the_pixels_that_become_one(times: int) -> None:
    crop = noise(24 * times, 24 * times)
    mean = crop.reshape(24, times, 24, times, 3).mean(axis=(1, 3))
    # OpenCV rounds halves its own way.
    assert np.abs(resize_crop(crop, 24) - mean).max() <= 0.5 + 1e-4


def test_enlarging_is_bilinear_between_pixel_centres() -> None:
    crop = noise(16, 16)
    position = np.clip((np.arange(32) + 0.5) / 2 - 0.5, 0, 15)
    low = np.minimum(position.astype(int), 14)
    share = position - low
    rows = crop[low] * (1 - share)[:, None, None] + crop[low + 1] * share[:, None, None]
    both = rows[:, low] * (1 - share)[:, None] + rows[:, low + 1] * share[:, None]
    assert np.abs(resize_crop(crop, 32) - both).max() <= 1.0


def test_colours_keep_their_order() -> None:
    crop = np.full((30, 30, 3), (200, 100, 50), np.uint8)
    for size in (15, 30, 60):
        assert (resize_crop(crop, size) == (200, 100, 50)).all()


@pytest.mark.parametrize(
    ("crop", "told"),
    [
        (np.zeros((40, 40, 3), np.uint8), "entirely black"),
        (np.zeros((0, 0, 3), np.uint8), "entirely black"),
        (noise(1, 1), "1x1 pixels; a cell needs at least 16 across"),
        (noise(12, 15), "15x12 pixels"),
        (noise(40, 40)[..., 0], r"expected uint8 \[height, width, 3\]"),
        (np.dstack([noise(40, 40), noise(40, 40)]), r"\(40, 40, 6\)"),
        (noise(40, 40).astype(np.float32), "float32"),
    ],
)
def test_what_holds_no_cell_is_refused_by_name(crop: np.ndarray, told: str) -> None:
    with pytest.raises(ImageError, match=f"^it: .*{told}"):
        resize_crop(crop, 32, "it")


def test_the_smallest_cell_is_16_pixels_across() -> None:
    assert resize_crop(noise(5, 16), 32).shape == (32, 32, 3)


def test_input_is_in_zero_to_one_with_colours_first() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 1] = (255, 51, 102)  # a fifth and two fifths
    batch = to_input([image, image])
    assert batch.shape == (2, 3, 2, 2)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch[1, :, 0, 1].tolist() == [1.0, np.float32(0.2), np.float32(0.4)]
    assert batch[:, :, 1].sum() == 0


def test_every_grey_level_is_the_nearest_float_to_its_fraction() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    expected = (np.arange(256) / 255).astype(np.float32)
    np.testing.assert_array_equal(to_input(levels)[0, 0].ravel(), expected)


def jpeg(quality: int) -> Copy:
    def copy(crop: np.ndarray) -> np.ndarray:
        done, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    return copy


def scaled(factor: float, interpolation: int) -> Copy:
    return lambda crop: cv2.resize(crop, None, fx=factor, fy=factor, interpolation=interpolation)


COPIES = {
    "JPEG 50": jpeg(50),
    "JPEG 75": jpeg(75),
    "JPEG 95": jpeg(95),
    "half, area": scaled(0.5, cv2.INTER_AREA),
    "half, cubic": scaled(0.5, cv2.INTER_CUBIC),
    "three quarters, linear": scaled(0.75, cv2.INTER_LINEAR),
    "three halves, linear": scaled(1.5, cv2.INTER_LINEAR),
    "double, cubic": scaled(2, cv2.INTER_CUBIC),
}


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    """Simulated red cells."""
    cut, _ = cut_cells(simulate_field(3, width=1280, height=960, cells=40).frame, 125)
    crops = [cell.crop for cell in cut if min(cell.crop.shape[:2]) > 60]
    assert len(crops) > 5
    return crops


def test_a_crop_with_a_sharp_mask_is_left_alone(crops: list[np.ndarray]) -> None:
    assert all(masked_again(crop) is crop for crop in crops)


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_has_the_outline_of_the_crop(copy: Copy, crops: list[np.ndarray]) -> None:
    for crop in crops:
        mask, found = crop.any(axis=2), masked_again(copy(crop)).any(axis=2).view(np.uint8)
        found = cv2.resize(found, mask.shape[::-1], interpolation=cv2.INTER_NEAREST).view(bool)
        assert (mask & found).sum() > 0.92 * (mask | found).sum()


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_without_a_mask_nothing_is_cut_off(copy: Copy) -> None:
    frame = simulate_field(3, width=640, height=480, cells=20).frame
    patch = copy(np.ascontiguousarray(frame[100:220, 100:220]))
    assert masked_again(patch) is patch
    assert resize_crop(patch, 125).any(axis=2).all()


def test_the_smallest_copy_is_16_pixels_across_as_well() -> None:
    disc = cv2.circle(np.zeros((30, 30, 3), np.uint8), (15, 15), 6, (200, 160, 170), -1)
    soft = cv2.GaussianBlur(disc, (0, 0), 1)
    with pytest.raises(ImageError, match=r"^it: 1[1-5]x1[1-5] pixels; a cell needs at least 16 across"):
        resize_crop(soft, 32, "it")
