"""Crops are read in order; what cannot be judged is named with its reason and is no gap in the others."""

import cv2
import numpy as np
import pytest

from edge_runtime.cells.crops import decode_crop, read_crops
from edge_runtime.cells.preprocessing import resize_crop
from edge_runtime.errors import ImageError
from edge_runtime.sources.items import ImageFile, SkippedFrame

SIZE = 24


def picture(level: int, side: int = 40) -> np.ndarray:
    return np.random.default_rng(level).integers(1, 256, (side, side, 3), np.uint8)


def file_of(name: str, pixels: np.ndarray) -> ImageFile:
    data = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)[1].tobytes()
    return ImageFile(name, lambda: data)


def test_a_crop_is_decoded_in_rgb_and_resized() -> None:
    pixels = picture(1)
    made = decode_crop(file_of("one.png", pixels).read(), "one.png", SIZE)
    np.testing.assert_array_equal(made, resize_crop(pixels, SIZE))


def test_what_can_be_judged_keeps_its_order_and_the_rest_is_named() -> None:
    def lost() -> bytes:
        raise ImageError("lost.png: cannot be read (no such file)")

    files = [
        file_of("a.png", picture(1)),
        file_of("grey.png", picture(2)[..., 0]),
        ImageFile("lost.png", lost),
        file_of("b.png", picture(3)),
        file_of("speck.png", picture(4, side=5)),
    ]
    crops, skipped = read_crops(files, SIZE)
    np.testing.assert_array_equal(crops, [resize_crop(picture(n), SIZE) for n in (1, 3)])
    assert crops.dtype == np.uint8
    assert skipped == [
        SkippedFrame("grey.png", "a grey image; the stain's colour is needed, give RGB"),
        SkippedFrame("lost.png", "cannot be read (no such file)"),
        SkippedFrame("speck.png", "5x5 pixels; a cell needs at least 16 across"),
    ]


def test_nothing_to_judge_is_an_array_of_no_crops() -> None:
    crops, skipped = read_crops([file_of("black.png", np.zeros((30, 30, 3), np.uint8))], SIZE)
    assert (crops.shape, crops.dtype) == ((0, SIZE, SIZE, 3), np.uint8)
    assert [item.name for item in skipped] == ["black.png"]


def test_a_failure_that_is_not_the_images_ends_the_reading() -> None:
    def broken() -> bytes:
        raise MemoryError("no room for it")

    with pytest.raises(MemoryError, match="no room for it"):
        read_crops([ImageFile("a.png", broken)], SIZE)
