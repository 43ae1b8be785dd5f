"""The cells that come first in the review have a picture of what their decision hangs on."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.review.queue import queue
from edge_runtime.slide.maps import maps_of
from edge_runtime.slide.reading import read_slide


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, slide_folder: Path, classifier: Classifier) -> Path:
    made = tmp_path_factory.mktemp("read") / "out"
    read_slide(slide_folder, classifier, "S", made)
    return made


def test_every_parasitized_and_suspect_cell_has_one(out: Path, classifier: Classifier) -> None:
    size = classifier.bundle.manifest.input.size
    with SlideRecord.open(out / "slide.sqlite") as record:
        kept = {
            (field.number, cell): png
            for field in record.fields()
            for cell, png in record.maps(field.number).items()
        }
        wanted = [key for key in queue(record) if asks(record, key)]
        assert wanted
        assert set(wanted) <= set(kept)
        assert not set(kept) - set(queue(record))
    for picture in kept.values():
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape == (size, size, 3)


def asks(record: SlideRecord, key: tuple[int, int]) -> bool:
    cell = record.cell(*key)
    return cell.suspect or cell.status == "parasitized"


def test_the_first_of_the_review_come_first(out: Path, classifier: Classifier) -> None:
    with SlideRecord.open(out / "slide.sqlite") as record:
        first = queue(record)[:3]
        assert set(maps_of(record, classifier, most=3)) <= set(first)


def test_the_report_shows_them(out: Path) -> None:
    with SlideRecord.open(out / "slide.sqlite") as record:
        number = sum(len(record.maps(field.number)) for field in record.fields())
    assert (out / "report.html").read_text().count('class="map"') == number


def test_a_reading_that_is_cut_off_has_none_yet(
    slide_folder: Path, classifier: Classifier, tmp_path: Path
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_slide(slide_folder, classifier, "S", tmp_path, on_field=stop)
    with SlideRecord.open(tmp_path / "slide.sqlite") as record:
        assert record.maps(1) == {}
        assert record.misfits() == []
    read_slide(slide_folder, classifier, "S", tmp_path)
    with SlideRecord.open(tmp_path / "slide.sqlite") as record:
        assert any(record.maps(field.number) for field in record.fields())
        assert record.misfits() == []
