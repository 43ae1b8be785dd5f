"""The whole way once, on simulated cells: train, calibrate, export, verify, read a slide, compare.

Run by `make demo`. Everything it makes stays in one folder: `run/`, `bundle/`, `slide/` (record and report).
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.record.slide_record import CellReading, SlideRecord
from scripts.compare_simulated import truth_table

CELLS = "simulated:slides=48,fields=1"  # what the network learns from; the slide that is read is none of them
EPOCHS = 12
FIELDS, SEED = 16, 5  # enough cells for a verdict
COLOURS = {  # BGR, as in the report
    "uninfected": (58, 117, 23),
    "parasitized": (31, 18, 196),
    "rejected": (61, 56, 51),
    "not-judged": (160, 160, 160),
}


def main() -> None:
    """Make the demonstration in a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="made anew")
    parser.add_argument("--seed", type=int, default=SEED, help="of the slide that is read")
    parser.add_argument("--fields", type=int, default=FIELDS, help="fields on that slide")
    options = parser.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    run, bundle, slide = (str(options.folder / name) for name in ("run", "bundle", "slide"))
    cells = ["--cells", CELLS]
    fit = ["training", "fit", *cells, "--network", "edge", "--split", "patient", "--epochs", str(EPOCHS)]
    _command("-m", *fit, "--run", run)
    _command("-m", "training", "calibrate", "--run", run)
    _command("-m", "training", "test", "--run", run)
    _command("-m", "export", "bundle", "--run", run, "--out", bundle, "--name", "demo")
    _command("-m", "export", "verify", "--run", run, "--bundle", bundle, *cells, "--limit", "256")
    _command("-m", "edge_runtime.cli", "verify", bundle)
    source = f"simulated:fields={options.fields},seed={options.seed}"
    _command("-m", "edge_runtime.cli", "read", source, "--bundle", bundle, "--slide", "demo", "--out", slide)
    print(f"\nThe truth of the slide beside what was read\n{truth_table(Path(slide))}")
    draw_field(Path(slide), options.folder / "field.jpg")
    print(f"\nOpen {slide}/report.html in a browser; {options.folder}/field.jpg is one field of it.")


def _command(*arguments: str) -> None:
    shown = " ".join(arguments).replace("-m edge_runtime.cli", "cellgate")
    print(f"\n$ {shown if shown.startswith('cellgate') else f'python {shown}'}", flush=True)
    subprocess.run([sys.executable, *arguments], check=True)


def draw_field(slide: Path, picture: Path) -> None:
    """Draw the answers on the field that shows most kinds of them."""
    with SlideRecord.open(slide / "slide.sqlite") as record:
        field = max(record.fields(), key=lambda field: _variety(field.cells))
    image = cv2.imdecode(np.frombuffer(field.overview, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    scale = image.shape[1] / field.width
    for cell in field.cells:
        x, y, width, height = (round(side * scale) for side in cell.box)
        thickness = 3 if cell.status in {"parasitized", "rejected"} else 2
        cv2.rectangle(image, (x, y), (x + width, y + height), COLOURS[cell.status], thickness)
    cv2.imwrite(str(picture), image, [cv2.IMWRITE_JPEG_QUALITY, 82])


def _variety(cells: tuple[CellReading, ...]) -> tuple[int, int]:
    rejected = sum(cell.status == "rejected" for cell in cells)
    return len({cell.status for cell in cells}), rejected


if __name__ == "__main__":
    main()
