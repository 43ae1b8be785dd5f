"""A place that was kept is known again, wholly or in part, and no other is taken for it."""

import errno
import io
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.fields.looks import look_at
from edge_runtime.fields.places import _CLOSE, SAME_FIELD, Overlap, Places
from edge_runtime.simulator import SimulatedField, simulate_field

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480
DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def film() -> Picture:
    """A piece of a film three frames wide and high."""
    return simulate_field(21, width=3 * WIDTH, height=3 * HEIGHT, cells=9 * 22).frame


def frame_at(film: Picture, left: int, top: int) -> Picture:
    return film[top : top + HEIGHT, left : left + WIDTH]


def seen_otherwise(frame: Picture) -> Picture:
    """The same place with other light, white balance and focus, and as JPEG."""
    light = cv2.GaussianBlur(frame, (0, 0), 1.2).astype(float) * 0.85 * (1.05, 1.0, 0.92)
    light *= np.linspace(1.0, 0.9, frame.shape[1])[:, None]
    noise = np.random.default_rng(0).normal(0, 2, frame.shape)
    bgr = np.clip(light + noise, 0, 255).astype(np.uint8)[..., ::-1]
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def with_dirt(frame: Picture) -> Picture:
    dirty = frame.copy()
    for x, y, radius in ((100, 90, 22), (300, 210, 18), (520, 130, 25), (200, 400, 20), (450, 380, 24)):
        cv2.circle(dirty, (x, y), radius, (70, 60, 60), cv2.FILLED)
    return dirty


def through_eyepiece(frame: Picture) -> Picture:
    circle = cv2.circle(np.zeros((HEIGHT, WIDTH, 1), np.uint8), (320, 240), 230, 1, cv2.FILLED)
    return frame * circle.reshape(HEIGHT, WIDTH, 1)


def found(new: Picture, *kept: Picture) -> list[Overlap]:
    places = Places()
    for number, frame in enumerate(kept, start=1):
        places.keep(look_at(frame), number)
    return places.find(look_at(new))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.95])
@pytest.mark.parametrize("way", ["right", "down", "both"])
def test_an_overlap_from_a_tenth_up_is_found_with_its_shift(film: Picture, share: float, way: str) -> None:
    part = 1 - (share**0.5 if way == "both" else share)
    x = 0 if way == "down" else round(WIDTH * part)
    y = 0 if way == "right" else round(HEIGHT * part)
    [overlap] = found(seen_otherwise(frame_at(film, 100 + x, 100 + y)), frame_at(film, 100, 100))
    assert overlap.on_kept(10, 20) == pytest.approx((10 + x, 20 + y), abs=4)
    assert overlap.share == pytest.approx(share, abs=0.03)
    assert overlap.field == 1


def test_frames_side_by_side_share_nothing(film: Picture) -> None:
    frames = [frame_at(film, x, y) for y in range(0, 960, HEIGHT) for x in range(0, 1920, WIDTH)]
    assert [found(frame, *frames[:number]) for number, frame in enumerate(frames)] == [[]] * 6


def test_every_kept_field_is_compared_and_the_largest_share_comes_first(
    film: Picture, fields: tuple[SimulatedField, ...]
) -> None:
    kept = [frame_at(film, 0, 0), *(field.frame for field in fields), frame_at(film, 500, 0)]
    overlaps = found(frame_at(film, 400, 0), *kept)
    assert [overlap.field for overlap in overlaps] == [5, 1]
    assert overlaps[0].share > SAME_FIELD > overlaps[1].share


def test_finding_changes_nothing(film: Picture) -> None:
    places, look = Places(), look_at(frame_at(film, 200, 0))
    places.keep(look_at(frame_at(film, 0, 0)), 1)
    before = [plane.copy() for plane in (look.cells, look.outlines)]
    assert places.find(look) == places.find(look)
    assert all(map(np.array_equal, before, (look.cells, look.outlines)))


@pytest.mark.parametrize("width", [320, 480, 800, 1280])
def test_a_resized_copy_is_the_same_field(film: Picture, width: int) -> None:
    frame = frame_at(film, 100, 100)
    copy = cv2.resize(frame, (width, width * 3 // 4), interpolation=cv2.INTER_AREA)
    [overlap] = found(np.asarray(copy, np.uint8), frame)
    assert overlap.share > SAME_FIELD
    assert overlap.on_kept(width / 2, width * 3 / 8) == pytest.approx((320, 240), abs=4)
    assert overlap.on_new(*overlap.on_kept(7, 9)) == pytest.approx((7, 9))


def test_the_same_place_seen_otherwise_is_the_same_field(film: Picture) -> None:
    [overlap] = found(seen_otherwise(frame_at(film, 0, 0)), frame_at(film, 0, 0))
    assert overlap.share > SAME_FIELD


def test_dirt_that_stays_neither_fakes_an_overlap_nor_hides_one(film: Picture) -> None:
    first = with_dirt(frame_at(film, 0, 0))
    assert found(with_dirt(frame_at(film, 700, 500)), first) == []
    [overlap] = found(with_dirt(frame_at(film, 450, 0)), first)
    assert (overlap.x, overlap.y) == pytest.approx((450, 0), abs=4)


def test_dirt_on_nearly_empty_films_is_no_resting_stage() -> None:
    films = [simulate_field(4, index, width=WIDTH, height=HEIGHT, cells=4).frame for index in range(2)]
    assert found(with_dirt(films[1]), with_dirt(films[0])) == []


def test_the_eyepieces_circle_neither_fakes_an_overlap_nor_hides_one(film: Picture) -> None:
    first = through_eyepiece(frame_at(film, 0, 0))
    assert found(through_eyepiece(frame_at(film, 700, 500)), first) == []
    [overlap] = found(through_eyepiece(frame_at(film, 150, 0)), first)
    assert (overlap.x, overlap.y) == pytest.approx((150, 0), abs=4)
    assert 0.5 < overlap.share < 0.7  # of the circle, not of the black about it


def featureless() -> Iterator[Picture]:
    rng = np.random.default_rng(0)
    yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    yield np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for level in (6, 6, 200, 200):
        yield np.clip(rng.normal(level, 2, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


def test_frames_that_show_nothing_repeat_only_themselves(film: Picture) -> None:
    frames = [*featureless(), frame_at(film, 0, 0)]
    for frame in frames:
        others = [other for other in frames if other is not frame]
        assert found(frame, *others) == []
        assert found(frame.copy(), *others, frame) == [Overlap(len(frames), 0.0, 0.0, 1.0, 1.0)]


@pytest.mark.parametrize("shape", [(64, 64), (480, 360), (64, 1000)])
def test_frames_of_any_shape_can_be_compared(film: Picture, shape: tuple[int, int]) -> None:
    piece = film[: shape[0], : shape[1]]
    assert found(piece.copy(), frame_at(film, 0, 960), piece) == [Overlap(2, 0.0, 0.0, 1.0, 1.0)]


def test_a_kept_field_takes_little_memory(film: Picture) -> None:
    look = look_at(np.repeat(np.repeat(frame_at(film, 0, 0), 2, axis=0), 2, axis=1))
    places, many = Places(), 50
    tracemalloc.start()
    for number in range(many):
        places.keep(replace(look, cells=look.cells.copy(), lit=look.lit.copy()), number)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / many < 32_000


def test_a_full_disk_makes_no_place_forgotten(film: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    (overlap,) = found(frame_at(film, 380, 100), frame_at(film, 0, 0))
    assert (overlap.field, round(overlap.x), round(overlap.y)) == (1, 380, 100)


def test_a_place_is_found_among_many(film: Picture) -> None:
    """More than are laid on it: those that are least alike when reduced are left out."""
    others = simulate_field(22, width=8 * WIDTH, height=6 * HEIGHT, cells=48 * 22).frame
    places, corners = Places(), [(x, y) for x in range(0, 7 * WIDTH, 320) for y in range(0, 5 * HEIGHT, 400)]
    places.keep(look_at(frame_at(film, 0, 0)), 1)
    for number, corner in enumerate(corners, start=2):
        places.keep(look_at(frame_at(others, *corner)), number)
    assert len(corners) > 1.2 * _CLOSE
    (overlap,) = places.find(look_at(seen_otherwise(frame_at(film, 380, 100))))
    assert (overlap.field, round(overlap.x), round(overlap.y)) == (1, 380, 100)
    assert places.find(look_at(frame_at(film, 2 * WIDTH, 2 * HEIGHT))) == []


@pytest.mark.real
@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")
def test_a_resting_stage_shows_one_field() -> None:
    capture = cv2.VideoCapture(str(DATA / "awkward" / "05_resting_stage_60s.mp4"))
    places, kept, looks = Places(), 0, 0
    while capture.grab():
        if looks % 10 == 0:
            look = look_at(np.ascontiguousarray(capture.retrieve()[1][..., ::-1]))
            if not any(overlap.share >= SAME_FIELD for overlap in places.find(look)):
                places.keep(look, kept)
                kept += 1
        looks += 1
    assert (looks > 50, kept) == (True, 1)


# Each looked at by eye: the same cells lie in both.
TRULY = {
    "bccd/JPEGImages": [(20, 19), (254, 233), (260, 227), (409, 364)],
    "chula_rbc12/Dataset": [(510, 504), (623, 577), (730, 729)],
}


@pytest.mark.real
@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")
@pytest.mark.parametrize("folder", TRULY)
def test_of_real_frames_only_those_that_truly_overlap_are_found(folder: str) -> None:
    places, pairs = Places(), []
    with zipfile.ZipFile(DATA / "fields.zip") as archive:
        for name in sorted(n for n in archive.namelist() if f"/{folder}/" in n and n.endswith(".jpg")):
            data = np.frombuffer(archive.read(name), np.uint8)
            look = look_at(np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]))
            number = int(Path(name).stem.removeprefix("BloodImage_"))
            pairs += [(number, overlap.field) for overlap in places.find(look)]
            places.keep(look, number)
    assert sorted(pairs) == TRULY[folder]
