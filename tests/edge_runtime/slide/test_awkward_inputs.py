"""Users' troubles, read with the default bundle: the right counts, or a named refusal.

The same kinds, made by the tests, are in `sources`, `fields` and beside this file.
"""

from pathlib import Path

import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.files import DEFAULT
from edge_runtime.errors import ImageError
from edge_runtime.slide.reading import read_slide

AWKWARD = Path(__file__).parents[4] / "shared" / "data" / "awkward"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not AWKWARD.exists(), reason="../shared/data/awkward is not here"),
    pytest.mark.skipif(not DEFAULT.is_dir(), reason="no default bundle: make default-bundle"),
]


@pytest.fixture(scope="module")
def default_classifier() -> Classifier:
    return Classifier.open(DEFAULT)


@pytest.mark.parametrize(
    ("name", "fields", "parasitized"),
    [
        ("00_good.jpg", 1, 3),
        ("01_motion_photo.jpg", 1, 3),  # the same photograph, a video behind it
        ("05_resting_stage_60s.mp4", 1, 2),
        ("06_browser_recording.webm", 3, 8),
        ("08_usb_stick.zip", 2, 6),  # two photographs; the trash and the thumbnails do not count
        ("09_sharp.jpg", 1, 22),
        ("11_names.zip", 1, 3),
    ],
)
def test_it_is_read(
    name: str, fields: int, parasitized: int, default_classifier: Classifier, tmp_path: Path
) -> None:
    summary = read_slide(AWKWARD / name, default_classifier, "S", tmp_path / "out")
    assert (summary.counts.fields, summary.unread) == (fields, "")
    found = summary.counts.parasitized + summary.counts.reasons["suspect"]
    assert abs(found - parasitized) <= 2  # two or three lie near a limit


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("02_damaged_sector.jpg", "the file is damaged"),
        ("03_two_pages.tif", "2 pages"),
        ("04_jpeg2000_tiles.tif", "compressed by TIFF's method 34712"),
    ],
)
def test_it_is_refused_by_name(name: str, told: str, default_classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=told) as refused:
        read_slide(AWKWARD / name, default_classifier, "S", tmp_path / "out")
    assert name in str(refused.value)


def test_out_of_focus_is_not_healthy(default_classifier: Classifier, tmp_path: Path) -> None:
    summary = read_slide(AWKWARD / "09_defocused.jpg", default_classifier, "S", tmp_path / "out")
    assert summary.unread == "none of its frames counts: 1 not counted (1 out-of-focus)"
    assert summary.counts.accepted == 0
