"""Twenty thousand damaged inputs: each is read, or refused by an error of ours; nothing else comes out.

Every input follows from its number. To see one again: `mutated(SEEDS[kind], number)`.
"""

import io
import struct
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.classifier import Classifier
from edge_runtime.bundle.manifest import manifest_from_json
from edge_runtime.errors import CellgateError
from edge_runtime.record.slide_record import SlideRecord
from edge_runtime.report.page import render_report
from edge_runtime.simulator import simulate_field
from edge_runtime.slide.reading import read_slide
from edge_runtime.sources.decoding import decode_image
from edge_runtime.sources.images import list_images

IMAGES, MANIFESTS, ARCHIVES, RECORDS = 19_000, 700, 200, 100
MOST_SECONDS = 20.0  # per kind; a slow machine tries fewer
LENGTHS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def encoded(suffix: str, *settings: int) -> bytes:
    frame = simulate_field(3, width=320, height=240, cells=8).frame
    small = cv2.resize(frame, (64, 48), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(suffix, small[..., ::-1], list(settings))
    assert done
    return data.tobytes()


SEEDS = {
    "PNG": encoded(".png"),
    "JPEG": encoded(".jpg"),
    "progressive JPEG": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "JPEG with restarts": encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "BMP": encoded(".bmp"),
    **{
        f"TIFF {method}": encoded(
            ".tif", cv2.IMWRITE_TIFF_COMPRESSION, method, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 16
        )
        for method in (1, 5, 7, 8, 32946, 32773)
    },
}


def mutated(data: bytes, number: int) -> bytes:
    """One to three faults: a flipped bit, a hole, noise, a cut, a loss, a repetition, a length that lies."""
    rng = np.random.default_rng(number)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        # Headers are short, and most is decided there.
        end = min(len(changed), 200) if rng.random() < 0.4 else len(changed)
        if not end:
            break
        place, length = int(rng.integers(end)), int(rng.integers(1, 40))
        part = slice(place, place + length)
        match rng.integers(7):
            case 0:
                changed[place] ^= 1 << int(rng.integers(8))
            case 1:
                changed[part] = bytes(len(changed[part]))
            case 2:
                changed[part] = rng.bytes(length)
            case 3:
                del changed[place:]
            case 4:
                del changed[part]
            case 5:
                changed[place:place] = changed[place // 2 : place // 2 + length]
            case _:
                order = "<I" if rng.random() < 0.5 else ">I"
                changed[place : place + 4] = struct.pack(order, int(rng.choice(LENGTHS)))
    return bytes(changed)


def refused(count: int, seed_of: Callable[[int], tuple[str, bytes]], use: Callable[[bytes], object]) -> float:
    """The share of inputs that are refused; whatever else is raised fails, with the input's number."""
    began, refusals, number = time.monotonic(), 0, 0
    for number in range(count):
        kind, data = seed_of(number)
        try:
            use(mutated(data, number))
        except CellgateError:
            refusals += 1
        except Exception as error:
            raise AssertionError(f"input {number} of {kind}: {error!r}") from error
        if time.monotonic() - began > MOST_SECONDS:
            break
    return refusals / (number + 1)


def test_damaged_images_are_read_or_refused() -> None:
    kinds = list(SEEDS.items())
    share = refused(IMAGES, lambda number: kinds[number % len(kinds)], lambda data: decode_image(data, "x"))
    assert 0.5 < share < 0.95  # both happen


def test_damaged_manifests_are_refused(tiny_bundle: Path) -> None:
    data = (tiny_bundle / "manifest.json").read_bytes()
    share = refused(
        MANIFESTS,
        lambda _: ("manifest", data),
        lambda damaged: manifest_from_json(damaged.decode("utf-8", "replace")),
    )
    assert share > 0.9


def test_damaged_archives_are_read_or_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix, kind in ((".png", "PNG"), (".jpg", "JPEG"), (".tif", "TIFF 8")):
            archive.writestr(f"frames/a{suffix}", SEEDS[kind])
    path = tmp_path / "damaged.zip"

    def use(damaged: bytes) -> None:
        path.write_bytes(damaged)
        for file in list_images(path):
            with suppress(CellgateError):  # the others are read all the same
                decode_image(file.read(), file.name)

    assert 0.1 < refused(ARCHIVES, lambda _: ("zip", whole.getvalue()), use) < 0.9


def test_damaged_records_are_read_or_refused(tmp_path: Path, tiny_bundle: Path) -> None:
    read_slide("simulated:fields=1,seed=5", Classifier.open(tiny_bundle, threads=1), "S", tmp_path / "out")
    whole = (tmp_path / "out" / "slide.sqlite").read_bytes()
    path = tmp_path / "damaged.sqlite"

    def use(damaged: bytes) -> None:
        path.write_bytes(damaged)
        with SlideRecord.open(path) as record:
            render_report(record)

    assert 0.3 < refused(RECORDS, lambda _: ("record", whole), use) < 1


def test_a_fault_of_our_own_is_not_taken_for_a_refusal() -> None:
    def fault(_: bytes) -> None:
        raise IndexError("beyond the end")

    with pytest.raises(AssertionError, match="input 0 of PNG: IndexError"):
        refused(1, lambda _: ("PNG", SEEDS["PNG"]), fault)
