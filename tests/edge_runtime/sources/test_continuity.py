"""A picture in which all that follows one block has another light or colour is torn; no other is."""

from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from edge_runtime.errors import ImageError
from edge_runtime.simulator import simulate_field
from edge_runtime.sources.continuity import is_torn
from edge_runtime.sources.decoding import decode_image

FIELDS = Path(__file__).parents[4] / "shared" / "data" / "fields.zip"


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return [simulate_field(seed, width=640, height=480, cells=22).frame for seed in range(4)]


def jpeg(frame: np.ndarray, quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def stepped(frame: np.ndarray, row: int, column: int, step: tuple[int, int, int]) -> np.ndarray:
    """The frame with another colour from one block on."""
    changed = frame.astype(np.int16)
    changed[8 * row : 8 * row + 8, 8 * column :] += step
    changed[8 * row + 8 :] += step
    return changed.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("step", [(-8, -8, -8), (7, 7, 7), (9, -5, 0), (0, 0, -14)])
@pytest.mark.parametrize(("row", "column"), [(1, 0), (20, 30), (20, 50), (58, 79)])
def test_another_light_or_colour_from_one_block_on_is_seen(
    row: int, column: int, step: tuple[int, int, int], frames: list[np.ndarray]
) -> None:
    for frame in frames:
        assert is_torn(stepped(frame, row, column, step))


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_compression_alone_is_no_damage(quality: int, frames: list[np.ndarray]) -> None:
    for frame in frames:
        assert decode_image(jpeg(frame, quality), "x").shape == frame.shape


@pytest.mark.parametrize("bar", [56, 60, 64])
def test_the_bars_of_a_film_are_no_damage(bar: int, frames: list[np.ndarray]) -> None:
    frame = frames[0].copy()
    frame[:bar], frame[-bar:] = 0, 0
    assert decode_image(jpeg(frame, 90), "x").shape == frame.shape


def test_a_small_picture_is_not_judged(frames: list[np.ndarray]) -> None:
    small = stepped(frames[0], 20, 30, (40, 40, 40))[:, :300]
    assert not is_torn(small)
    assert not is_torn(small[:20])


def test_a_flipped_bit_of_a_jpeg_gives_no_field_that_looks_otherwise(frames: list[np.ndarray]) -> None:
    """A few of a thousand are: where the step is short, or in a table that stands for all of the picture."""
    rng = np.random.default_rng(1)
    wrong = torn = 0
    for number in range(200):
        data = bytearray(jpeg(frames[number % 4], (75, 85, 92)[number % 3]))
        whole = decode_image(bytes(data), "whole").astype(np.int16)
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            found = decode_image(bytes(data), "flipped")
        except ImageError as error:
            torn += "light or colour is another" in str(error)
        else:
            wrong += found.shape != whole.shape or (np.abs(found - whole).max(axis=2) > 8).mean() > 0.01
    assert wrong <= 2
    assert torn >= 15  # which the decoder had not seen


@pytest.mark.real
def test_no_photograph_of_a_field_is_torn() -> None:
    if not FIELDS.exists():
        pytest.skip(f"{FIELDS} is not there")
    with ZipFile(FIELDS) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
        assert len(names) > 190
        for name in names:
            assert decode_image(archive.read(name), name).shape[2] == 3
