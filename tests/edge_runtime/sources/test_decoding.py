"""What a decoder had to guess at is refused, by name and cause; what is whole is read."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.errors import ImageError
from edge_runtime.simulator import simulate_field
from edge_runtime.sources.decoding import decode_image

AWKWARD = Path(__file__).parents[4] / "shared" / "data" / "awkward"
SUFFIXES = (".jpg", ".png", ".tif", ".bmp")
TIFF_COMPRESSION = cv2.IMWRITE_TIFF_COMPRESSION


@pytest.fixture(scope="module")
def field() -> np.ndarray:
    return simulate_field(3, width=320, height=240, cells=8).frame


def encoded(suffix: str, image: np.ndarray, *settings: int) -> bytes:
    done, data = cv2.imencode(suffix, image[..., ::-1], list(settings))
    assert done
    return data.tobytes()


def differing(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of the pixels that differ."""
    return float((ours != theirs).any(axis=2).mean()) if ours.shape == theirs.shape else 1.0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_whole_image_is_what_opencv_reads(suffix: str, field: np.ndarray) -> None:
    data = encoded(suffix, field)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(decode_image(data, "whole"), expected)


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("sampling", ["444", "422", "420"])
def test_jpeg_pixels_are_opencvs(field: np.ndarray, quality: int, sampling: str) -> None:
    settings = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR)
    data = encoded(".jpg", field, *settings, getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}"))
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(decode_image(data, "field"), expected)


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        *((suffix, ()) for suffix in SUFFIXES),
        *((".tif", (TIFF_COMPRESSION, method)) for method in (1, 5, 7, 8, 32946, 32773)),
    ],
)
def test_holes_and_cuts_give_no_other_field(
    suffix: str, settings: tuple[int, ...], field: np.ndarray
) -> None:
    """A sector of a memory card that is lost, and a copy that broke off."""
    data, rng = encoded(suffix, field, *settings), np.random.default_rng(0)
    whole, refused = decode_image(data, "whole"), 0
    for number in range(60):
        place = int(rng.integers(len(data)))
        hole = bytes(min(512, len(data) - place))
        damaged = data[:place] if number % 2 else data[:place] + hole + data[place + len(hole) :]
        try:
            found = decode_image(damaged, "damaged")
        except ImageError:
            refused += 1
        else:
            assert differing(found, whole) <= 0.01, (suffix, number)
    assert refused >= 30  # every cut at least


def test_a_flipped_bit_of_a_png_is_refused(field: np.ndarray) -> None:
    data, rng = bytearray(encoded(".png", field)), np.random.default_rng(1)
    for place in rng.integers(8, len(data) - 12, 20):
        flipped = data.copy()
        flipped[place] ^= 1
        with pytest.raises(ImageError, match=r"^x: "):
            decode_image(bytes(flipped), "x")


def test_what_follows_a_jpeg_is_left_alone(field: np.ndarray) -> None:
    """A phone's motion photo: the video stands behind the picture."""
    data = encoded(".jpg", field)
    video = struct.pack(">I4s4s", 12, b"ftyp", b"mp42") + bytes(5000)
    assert np.array_equal(decode_image(data + video, "motion"), decode_image(data, "still"))


def test_several_pages_are_not_read_as_one(field: np.ndarray) -> None:
    done, data = cv2.imencodemulti(".tif", [field[..., ::-1], field[::-1, :, ::-1]])
    assert done
    with pytest.raises(ImageError, match=r"two\.tif: 2 pages; save each one as an image of its own"):
        decode_image(data.tobytes(), "two.tif")


def test_a_tiff_compression_that_opencv_does_not_read_is_named(field: np.ndarray) -> None:
    data = encoded(".tif", field, TIFF_COMPRESSION, 1)
    entry = struct.pack("<HHI", 259, 3, 1)
    assert data.count(entry) == 1
    place = data.index(entry) + 8
    jpeg_2000 = data[:place] + struct.pack("<H", 34712) + data[place + 2 :]
    with pytest.raises(ImageError, match="compressed by TIFF's method 34712; save it as PNG"):
        decode_image(jpeg_2000, "tiles")


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_a_phones_heic_is_named(brand: bytes) -> None:
    with pytest.raises(ImageError, match="HEIC or AVIF cannot be read; let the phone save JPEG"):
        decode_image(struct.pack(">I4s4s", 24, b"ftyp", brand) + bytes(200), "photo")


def tiff(field: np.ndarray, strips: list[bytes], compression: int, *, rows: int, planes: int) -> bytes:
    """A little-endian TIFF of one page."""
    height, width = field.shape[:2]
    place = 8
    places = []
    for strip in strips:
        places.append(place)
        place += len(strip)
    tags = {
        256: (width,),
        257: (height,),
        258: (8, 8, 8),
        259: (compression,),
        262: (2,),
        273: tuple(places),
        277: (3,),
        278: (rows,),
        279: tuple(map(len, strips)),
        284: (planes,),
    }
    beyond = place + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, numbers in tags.items():
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        where = packed if len(numbers) == 1 else struct.pack("<I", beyond + len(values))
        values += b"" if len(numbers) == 1 else packed
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + where
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, place) + b"".join(strips) + directory + values


@pytest.mark.parametrize("planes", [1, 2])
def test_colours_side_by_side_and_apart_are_read_alike(field: np.ndarray, planes: int) -> None:
    rows = 100  # the last strip is shorter
    pictures = [field] if planes == 1 else [field[..., channel] for channel in range(3)]
    strips = [
        zlib.compress(np.ascontiguousarray(picture[top : top + rows]).tobytes())
        for picture in pictures
        for top in range(0, field.shape[0], rows)
    ]
    data = tiff(field, strips, 8, rows=rows, planes=planes)
    assert np.array_equal(decode_image(data, "field"), field)


def test_a_strip_that_unpacks_to_far_more_is_not_unpacked(field: np.ndarray) -> None:
    bomb = zlib.compress(bytes(200_000_000))
    data = tiff(field, [bomb], 8, rows=field.shape[0], planes=1)
    with pytest.raises(ImageError, match="far beyond where it should be"):
        decode_image(data, "bomb")


def test_pages_in_a_circle_end(field: np.ndarray) -> None:
    data = bytearray(encoded(".tif", field))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    with pytest.raises(ImageError, match="follow each other in a circle"):
        decode_image(bytes(data), "circle")


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("00_good.jpg", ""),
        ("01_motion_photo.jpg", ""),
        ("02_damaged_sector.jpg", "the file is damaged"),
        ("03_two_pages.tif", "2 pages"),
        ("04_jpeg2000_tiles.tif", "compressed by TIFF's method 34712"),
        ("12_stitched_108_megapixels.png", ""),
    ],
)
def test_users_troubles(name: str, told: str) -> None:
    if not AWKWARD.exists():
        pytest.skip(f"{AWKWARD} is not there")
    data = (AWKWARD / name).read_bytes()
    if told:
        with pytest.raises(ImageError, match=told):
            decode_image(data, name)
    else:
        assert decode_image(data, name).ndim == 3
