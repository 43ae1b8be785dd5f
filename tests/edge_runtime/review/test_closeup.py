"""What a person sees of a cell."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from slide_samples import FIELD, HEADER, JUDGED

from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.review.closeup import close_up, in_terminal


def encoded(image: np.ndarray, kind: str) -> bytes:
    return cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def test_the_cell_stands_in_the_middle_as_it_was_cut(tmp_path: Path) -> None:
    frame = np.full((200, 300, 3), (240, 230, 235), np.uint8)
    crop = np.zeros((40, 40, 3), np.uint8)
    cv2.circle(crop, (20, 20), 18, (200, 60, 90), -1)
    field = replace(
        FIELD,
        width=300,
        height=200,
        overview=encoded(frame, ".jpg"),
        cells=(replace(JUDGED, box=(100, 60, 40, 40), crop=encoded(crop, ".png")),),
    )
    with SlideRecord.begin(tmp_path / "slide.sqlite", HEADER) as record:
        record.add_field(field)
        seen = close_up(record, 1, 1)
    assert seen.shape == (88, 88, 3)
    assert seen[44, 44].tolist() == [200, 60, 90]
    assert np.abs(seen[4, 4].astype(int) - (240, 230, 235)).max() < 6


def test_a_terminal_shows_two_rows_of_pixels_a_line() -> None:
    picture = np.zeros((4, 2, 3), np.uint8)
    picture[0], picture[1], picture[2], picture[3] = 10, 20, 30, 40
    lines = list(in_terminal(picture, columns=2))
    assert [re.findall(r"38;2;(\d+);.*?48;2;(\d+);", line)[0] for line in lines] == [
        ("10", "20"),
        ("30", "40"),
    ]
    assert all(line.count("▀") == 2 and line.endswith("\x1b[0m") for line in lines)
