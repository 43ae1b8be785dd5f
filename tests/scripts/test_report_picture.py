"""The picture of a report, taken by a stand-in for the browser."""

import os
import sys
from pathlib import Path

import cv2
import pytest

from edge_runtime.errors import SourceError
from scripts import report_picture

# Paints a page as high as the window it was asked for, as browsers do.
BROWSER = """#!{python}
import sys
import cv2, numpy
given = dict(a.removeprefix("--").split("=") for a in sys.argv[1:] if a.startswith("--") and "=" in a)
width, height = map(int, given["window-size"].split(","))
page = numpy.random.default_rng(0).integers(0, 255, (height, width, 3), numpy.uint8)
assert sys.argv[-1].startswith("file:///") and sys.argv[-1].endswith("/report.html")
cv2.imwrite(given["screenshot"], page)
"""


def test_without_a_browser_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="install Chromium"):
        report_picture.photograph(tmp_path / "report.html", tmp_path / "shot.png", tmp_path / "profile")


def test_the_browser_draws_the_page_higher_than_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chromium").write_text(BROWSER.format(python=sys.executable))
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    report_picture.photograph(tmp_path / "report.html", tmp_path / "shot.png", tmp_path / "profile")
    shot = cv2.imread(str(tmp_path / "shot.png"))
    assert shot is not None
    assert shot.shape[1] == report_picture.WIDTH
    assert shot.shape[0] > report_picture.HEIGHT
