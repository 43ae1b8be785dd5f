"""The picture of a report at the top of README: docs/report.png, from a slide of the simulated camera.

    python -m scripts.report_picture

Needs the Chromium browser, which this repository does not install. Run it again when
the report's looks change.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from PIL import Image

from edge_runtime.console import Commands
from edge_runtime.errors import SourceError

PICTURE = Path("docs/report.png")
SOURCE, SLIDE = "simulated:fields=14,seed=5", "demo"
WIDTH, HEIGHT = 1000, 1470  # pixels: down to the first parasitized cells
COLOURS = 256
WINDOW = WIDTH, HEIGHT + 200  # pixels: a browser's page is lower than its window
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--out", type=click.Path(path_type=Path), default=PICTURE, show_default=True)
def main(out: Path) -> None:
    """Read a simulated slide with the default bundle and take a picture of its report."""
    with tempfile.TemporaryDirectory() as folder:
        slide, shot = Path(folder) / "slide", Path(folder) / "shot.png"
        reading = ["read", SOURCE, "--slide", SLIDE, "--out", str(slide)]
        subprocess.run([sys.executable, "-m", "edge_runtime.cli", *reading], check=True)
        photograph(slide / "report.html", shot, Path(folder) / "profile")
        top = Image.open(shot).convert("RGB").crop((0, 0, WIDTH, HEIGHT))
        top.quantize(COLOURS).save(out, optimize=True)
    click.echo(f"{out}: {out.stat().st_size / 1000:.0f} kB")


def photograph(page: Path, shot: Path, profile: Path, window: tuple[int, int] = WINDOW) -> None:
    """Let the browser draw the top of a page into a PNG.

    Args:
        page: an HTML file.
        shot: the picture to make.
        profile: folder for what the browser keeps.
        window: width and height in pixels.

    Raises:
        SourceError: there is no browser.
    """
    width, height = window
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={shot}"]
    subprocess.run([find_browser(), *options, page.resolve().as_uri()], check=True, capture_output=True)


def find_browser() -> str:
    """The browser's program.

    Raises:
        SourceError: there is none.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise SourceError(f"none of {', '.join(_BROWSERS)} is installed; install Chromium and try again")
    return browser


if __name__ == "__main__":
    main()
