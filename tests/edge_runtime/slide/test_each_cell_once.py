"""What was read is not read again: copies, resting stages, places come back to, and dirt that stays."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.record.readings import Counts, FieldReading
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.reading import read_slide
from edge_runtime.sources.items import SkippedFrame

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 480


@pytest.fixture(scope="module")
def film() -> Picture:
    """A piece of a film three frames wide and two high."""
    return simulate_field(21, width=3 * WIDTH, height=2 * HEIGHT, cells=6 * 22).frame


def frame_at(film: Picture, left: int, top: int) -> Picture:
    return film[top : top + HEIGHT, left : left + WIDTH]


def save(file: Path, frame: Picture, *settings: int) -> None:
    file.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(file), frame[..., ::-1], settings)


def filmed(file: Path, frames: list[Picture]) -> Path:
    """A video of one frame each second, as a camera makes it: no two of its pictures are the same."""
    video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 1, (WIDTH, HEIGHT))
    rng = np.random.default_rng(0)
    for frame in frames:
        noisy = frame + rng.normal(0, 2, frame.shape)
        video.write(np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8)[..., ::-1]))
    video.release()
    return file


class Read:
    """A slide that was read: what its record holds."""

    def __init__(self, source: Path, out: Path, classifier: Classifier) -> None:
        self.told: list[object] = []
        read_slide(source, classifier, "S", out, on_field=self.told.append)
        with SlideRecord.open(out / "slide.sqlite") as record:
            self.counts: Counts = record.counts()
            self.fields: list[FieldReading] = list(record.fields())
            self.skipped: list[SkippedFrame] = record.skipped()
            self.repeats: int = record.header().repeats


@pytest.fixture
def read(tmp_path: Path, classifier: Classifier) -> Callable[[Path], Read]:
    return lambda source: Read(source, tmp_path / "out", classifier)


def test_a_photograph_that_comes_again_is_left_out_by_name(
    film: Picture, tmp_path: Path, read: Callable[[Path], Read]
) -> None:
    frame, folder = frame_at(film, 0, 0), tmp_path / "slide"
    save(folder / "a.png", frame)
    shutil.copy(folder / "a.png", folder / "b renamed.png")
    save(folder / "c.jpg", frame, cv2.IMWRITE_JPEG_QUALITY, 60)
    save(folder / "d.png", np.asarray(cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
    save(folder / "e.png", frame_at(film, WIDTH, 0))
    found = read(folder)
    assert [field.name for field in found.fields] == [str(folder / "a.png"), str(folder / "e.png")]
    names = ["b renamed.png", "c.jpg", "d.png"]
    again = f"shows the same field as {folder / 'a.png'}"
    assert found.skipped == [SkippedFrame(str(folder / name), again) for name in names]


def test_seven_fields_copied_to_fifty_files_are_seven(
    film: Picture, tmp_path: Path, read: Callable[[Path], Read]
) -> None:
    folder = tmp_path / "slide"
    places = [(x, y) for y in (0, HEIGHT) for x in (0, WIDTH, 2 * WIDTH)] + [(WIDTH // 2, HEIGHT // 2)]
    for number in range(50):
        if number < 7:
            save(folder / f"{number:02}.png", frame_at(film, *places[number]))
        else:
            shutil.copy(folder / f"{number % 7:02}.png", folder / f"{number:02}.png")
    found = read(folder)
    assert (found.counts.fields, found.counts.skipped) == (7, 43)
    assert all(
        skipped.reason == f"shows the same field as {folder / f'{number % 7:02}.png'}"
        for number, skipped in enumerate(found.skipped, start=7)
    )


def test_a_stage_that_rests_and_comes_back_gives_one_field(
    film: Picture, tmp_path: Path, read: Callable[[Path], Read]
) -> None:
    here, there = frame_at(film, 100, 100), frame_at(film, 1000, 300)
    found = read(filmed(tmp_path / "resting.mp4", [here] * 5 + [there] * 3 + [here] * 4))
    assert [field.name for field in found.fields] == ["resting.mp4 frame 1", "resting.mp4 frame 6"]
    assert (found.counts.fields, found.repeats, found.counts.skipped) == (2, 10, 0)
    assert len(found.told) == 2


def blurred(frame: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), 7), np.uint8)


def test_a_place_that_was_out_of_focus_is_stopped_once_and_counted_once_it_is_focused(
    film: Picture, tmp_path: Path, read: Callable[[Path], Read]
) -> None:
    sharp = frame_at(film, 100, 100)
    found = read(filmed(tmp_path / "focusing.mp4", [blurred(sharp)] * 3 + [sharp] * 3 + [blurred(sharp)]))
    assert [(field.name, field.reason) for field in found.fields] == [
        ("focusing.mp4 frame 1", "out-of-focus"),
        ("focusing.mp4 frame 4", ""),
    ]
    assert (found.counts.stopped, found.counts.fields, found.repeats) == (1, 1, 5)


def test_cells_in_the_overlap_of_two_fields_are_judged_in_the_first_that_shows_them_whole(
    film: Picture, tmp_path: Path, read: Callable[[Path], Read]
) -> None:
    folder, moved = tmp_path / "slide", 320
    save(folder / "1.png", frame_at(film, 0, 0))
    save(folder / "2.png", frame_at(film, moved, 0))
    first, second = read(folder).fields
    judged, again = corners(first, 0, judged=True), corners(second, moved, judged=True)
    before = corners(second, moved, judged=False)
    assert len(before) >= 5
    assert all(np.abs(judged - corner).max(axis=1).min() < 8 for corner in before)
    assert all(np.abs(judged - corner).max(axis=1).min() > 40 for corner in again)
    # Those that the first frame's edge cuts are whole in the second, and judged there.
    assert (again[:, 0] < WIDTH).any()


def corners(field: FieldReading, moved: int, *, judged: bool) -> NDArray[np.int64]:
    """Top left corners on the film of the cells that were judged, or else of whole ones counted before."""
    boxes = [
        cell.box
        for cell in field.cells
        if (cell.status != "not-judged" if judged else cell.reason == "counted-before" and cell.box[0] > 0)
    ]
    return np.array([(x + moved, y) for x, y, _, _ in boxes])


DIRT = (400, 260)


def with_dirt(frame: Picture) -> Picture:
    """A hair's end on the camera, as dark as a cell and as large."""
    dirty = cv2.circle(frame.copy(), DIRT, 22, (150, 90, 140), cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(dirty, (0, 0), 0.8), np.uint8)


def test_dirt_that_stays_is_not_judged_on_any_field(tmp_path: Path, read: Callable[[Path], Read]) -> None:
    folder = tmp_path / "slide"
    for number in range(7):
        frame = simulate_field(8, number, width=WIDTH, height=HEIGHT, cells=14).frame
        save(folder / f"{number}.png", with_dirt(frame))
    found = read(folder)
    assert found.counts.fields == 7
    for field in found.fields:
        [there] = [cell for cell in field.cells if _holds(cell.box, DIRT)]
        assert (there.status, there.reason, there.crop) == ("not-judged", "dirt", b"")
        judged = [cell for cell in field.cells if cell.status != "not-judged"]
        assert len(judged) >= 5


def _holds(box: tuple[int, int, int, int], point: tuple[int, int]) -> bool:
    x, y, width, height = box
    return x < point[0] < x + width and y < point[1] < y + height
