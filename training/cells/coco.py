"""Cells on whole frames, in boxes that a COCO file lists, cut out by the runtime's own segmentation.

What the device judges is what its segmentation cuts, black outside the cell. So a box only says which of the
found cells is meant; a box in which nothing is found could never be a cell on the device, and is left out.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_runtime import cells as cells_room
from edge_runtime.cells.boxes import best_match
from edge_runtime.cells.cutting import WHY_NOT_CUT, CutCell, NotCut, cut_cells
from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.console import tell
from edge_runtime.errors import SourceError
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.folders import file_reader
from edge_runtime.sources.items import SkippedFrame
from training.cells.archive import patients_of
from training.cells.classes import class_name
from training.cells.listing import CellFile, Listing, as_png

_EXPECTED = (
    'expected a COCO file: {"images": [{"id", "file_name", "width", "height"}], '
    '"categories": [{"id", "name"}], '
    '"annotations": [{"id", "image_id", "category_id", "bbox": [x, y, width, height]}]}'
)
_NOTHING_FOUND = "no cell found there"


@dataclass(frozen=True)
class _Boxed:
    """One annotation: its number, (x, y, width, height) in pixels, and its class."""

    number: int
    box: tuple[int, int, int, int]
    label: str


@dataclass(frozen=True)
class _Frame:
    """One image: its name, where it lies, (width, height), its patient and its boxes."""

    name: str
    file: Path
    size: tuple[int, int]
    patient: str
    boxes: tuple[_Boxed, ...]


def list_coco(path: Path, pattern: str | None = None) -> Listing:
    """The cells of a COCO file; they are found and cut when they are read.

    Args:
        path: the JSON file; its images lie where their names say, from the folder of the file.
        pattern: see `patients_of`; of the names of the images.

    Raises:
        SourceError: an image is absent, or an annotation cannot be meant; its number is told.
    """
    raw = _read(path)
    frames = _frames(path, raw, pattern)
    stamps = [f"{_text(path)}"] + [_text(frame.file) for frame in frames]
    code = [file.read_bytes() for file in sorted(Path(cells_room.__file__).parent.glob("*.py"))]
    digest = hashlib.sha256(b"".join([*code, Path(__file__).read_bytes()])).hexdigest()
    unboxed = [frame.name for frame in frames if not frame.boxes]
    return Listing(
        source=str(path.resolve()),
        classes=tuple({box.label for frame in frames for box in frame.boxes}),
        files=_cells(path, frames),
        stamp="\n".join([*stamps, digest, pattern or ""]),
        skipped=tuple(SkippedFrame(name, "no box is listed for it") for name in unboxed),
    )


def _text(file: Path) -> str:
    status = file.stat()
    return f"{file.name} {status.st_size}-{status.st_mtime_ns}"


def _cells(path: Path, frames: list[_Frame]) -> Iterator[CellFile]:
    """Cut the boxed cells out of all frames, and tell how many boxes were left out."""
    left_out: Counter[str] = Counter()
    for frame in frames:
        if not frame.boxes:
            continue
        image = decode_image(file_reader(frame.file)(), frame.name)
        height, width = image.shape[:2]
        if (width, height) != frame.size:
            raise SourceError(
                f"{path}: {frame.name}: {width}x{height} pixels, but its boxes are of {frame.size[0]}x"
                f"{frame.size[1]}; give the images that were annotated"
            )
        waiting = list(frame.boxes)
        cut, not_cut = cut_cells(image, InputSpec().size)
        found: list[CutCell | NotCut] = [*cut, *not_cut]
        for cell in found:
            meant = best_match(cell.box, waiting)
            if meant is None:
                continue
            waiting.remove(meant)
            if isinstance(cell, NotCut):
                left_out[WHY_NOT_CUT[cell.reason]] += 1
            else:
                data, name = as_png(cell.crop), f"{frame.name}/box_{meant.number}"
                yield CellFile(name, meant.label, frame.patient, "", lambda data=data: data)  # type: ignore[misc]
        left_out[_NOTHING_FOUND] += len(waiting)
    if total := left_out.total():
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common() if count)
        boxes = sum(len(frame.boxes) for frame in frames)
        tell(f"note: {path}: {total} of {boxes} boxes are left out: {reasons}")


def _read(path: Path) -> Mapping[str, list[Any]]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read as JSON ({error}); {_EXPECTED}") from error
    for name in ("images", "categories", "annotations"):
        if not isinstance(raw, dict) or not isinstance(raw.get(name), list) or not raw[name]:
            raise SourceError(f"{path}: no {name}; {_EXPECTED}")
    return {name: raw[name] for name in ("images", "categories", "annotations")}


def _frames(path: Path, raw: Mapping[str, list[Any]], pattern: str | None) -> list[_Frame]:
    """The images with their boxes, in the order of their names."""
    labels = {
        number: class_name(str(of["name"])) for number, of in _numbered(path, raw["categories"], "name")
    }
    images = dict(_numbered(path, raw["images"], "file_name", "width", "height"))
    boxes: dict[int, list[_Boxed]] = {number: [] for number in images}
    for number, of in _numbered(path, raw["annotations"], "image_id", "category_id", "bbox"):
        told = f"{path}: annotation {number}"
        if not _is_key(of["image_id"], images) or not _is_key(of["category_id"], labels):
            raise SourceError(f"{told}: of an image or a category that is not listed; {_EXPECTED}")
        if of.get("iscrowd"):
            raise SourceError(f"{told}: a crowd, which no single cell is; remove it")
        image = images[of["image_id"]]
        box = _box(of["bbox"], image["width"], image["height"], told)
        boxes[of["image_id"]].append(_Boxed(number, box, labels[of["category_id"]]))
    names = {number: str(image["file_name"]).replace("\\", "/") for number, image in images.items()}
    order = sorted(names, key=lambda number: names[number])
    patients = patients_of([PurePosixPath(names[number]).name for number in order], pattern, str(path))
    frames = [
        _Frame(
            names[number],
            path.parent / names[number],
            (images[number]["width"], images[number]["height"]),
            patient,
            tuple(sorted(boxes[number], key=lambda boxed: boxed.number)),
        )
        for number, patient in zip(order, patients, strict=True)
    ]
    for frame in frames:
        if not frame.file.is_file():
            raise SourceError(
                f"{path}: image {frame.name}: no such file; expected a path from the folder of the COCO file"
            )
    return frames


def _is_key(number: Any, of: Mapping[int, object]) -> bool:  # noqa: ANN401 - as JSON has it
    return isinstance(number, int) and number in of


def _numbered(path: Path, items: list[Any], *keys: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The items of a list with their own numbers, each once and with all its keys."""
    seen: set[int] = set()
    for place, item in enumerate(items):
        missing = [key for key in ("id", *keys) if not isinstance(item, dict) or key not in item]
        if missing or not isinstance(item["id"], int) or item["id"] in seen:
            problem = f"no {', '.join(missing)}" if missing else f"id {item['id']} is no number of its own"
            raise SourceError(f"{path}: entry {place + 1} with {', '.join(keys)}: {problem}; {_EXPECTED}")
        seen.add(item["id"])
        yield item["id"], item


def _box(found: Any, width: Any, height: Any, told: str) -> tuple[int, int, int, int]:  # noqa: ANN401 - as JSON has it
    """A box inside its image."""
    numbers = [*found, width, height] if isinstance(found, list) else []
    if len(numbers) != 6 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise SourceError(f"{told}: bbox {found} of an image {width} by {height}; {_EXPECTED}")
    x, y, wide, high = (round(number) for number in found)
    # Half a pixel beyond the edge is how some tools round.
    if wide < 1 or high < 1 or x < -1 or y < -1 or x + wide > width + 1 or y + high > height + 1:
        raise SourceError(
            f"{told}: bbox {found} does not lie in its image of {width}x{height} pixels; expected "
            "[x, y, width, height] in pixels, from the upper left corner"
        )
    return x, y, wide, high
