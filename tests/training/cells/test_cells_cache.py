"""The cache of decoded cells: filled once, never half, and another one for other cells."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest

from edge_runtime.cells.preprocessing import InputSpec
from edge_runtime.errors import ImageError, SourceError, StorageError
from training.cells import cache, simulated
from training.cells.source import CellSet, CellSource, default_cache

Png = Callable[[int], bytes]

ROOT = Path(__file__).parents[3]
SPEC = InputSpec(size=24)
NAMES = (
    "Parasitized/C1P1_IMG_1_cell_1.png",
    "Uninfected/C1P1_IMG_1_cell_2.png",
    "Uninfected/C2P2_IMG_1_cell_3.png",
)


@pytest.fixture
def folder(tmp_path: Path, png: Png) -> Path:
    for number, name in enumerate(NAMES):
        (tmp_path / "cells" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cells" / name).write_bytes(png(number))
    return tmp_path / "cells"


def load(source: Path) -> CellSet:
    return CellSource((str(source),), source.parent / "cache").load(SPEC)


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> NoReturn:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "decode_image", decode)


def test_cells_are_what_their_files_say(folder: Path, png: Png) -> None:
    found = load(folder)
    assert found.names == NAMES
    assert found.labels.tolist() == [1, 0, 0]
    assert found.patients == ("C1P1", "C1P1", "C2P2")
    assert found.sources == (str(folder),)
    assert found.images.shape == (3, 24, 24, 3)
    for number, image in enumerate(found.images):
        blue_green_red = cv2.imdecode(np.frombuffer(png(number), np.uint8), cv2.IMREAD_COLOR)[20, 22]
        assert image[12, 12].tolist() == blue_green_red[::-1].tolist()  # the middle of the disc
        assert not image[0, 0].any()


def test_images_cannot_be_written_to(folder: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        load(folder).images[0] = 0


def test_second_load_decodes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(folder)
    forbid_decoding(monkeypatch)
    second = load(folder)
    assert second.digest == first.digest
    assert np.array_equal(second.images, first.images)


def test_of_two_that_fill_it_the_first_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, first = cache.decode_image, list[CellSet]()

    def other_is_faster(data: bytes, name: str) -> np.ndarray:
        if name.endswith(NAMES[-1]) and not first:
            monkeypatch.setattr(cache, "decode_image", decode)
            monkeypatch.setattr(cache.os, "getpid", lambda: 1)
            first.append(load(folder))
            monkeypatch.undo()
        return decode(data, name)

    monkeypatch.setattr(cache, "decode_image", other_is_faster)
    second = load(folder)
    kept = Path(str(first[0].images.filename))
    assert second.digest == first[0].digest
    assert kept.samefile(str(second.images.filename))
    assert [path.name for path in kept.parent.parent.iterdir()] == [kept.parent.name]


def test_another_size_is_another_cache(folder: Path) -> None:
    load(folder)
    other = CellSource((str(folder),), folder.parent / "cache").load(InputSpec(size=30))
    assert other.images.shape == (3, 30, 30, 3)


def test_zip_has_the_digest_of_the_folder(folder: Path) -> None:
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for name in reversed(NAMES):
            archive.write(folder / name, f"cell_images/{name}")
    assert load(folder.with_suffix(".zip")).digest == load(folder).digest


def test_changed_file_changes_digest_and_images(folder: Path, png: Png) -> None:
    before = load(folder)
    (folder / NAMES[1]).write_bytes(png(99))
    after = load(folder)
    assert after.digest != before.digest
    changed = (np.asarray(after.images) != before.images).any(axis=(1, 2, 3))
    assert changed.tolist() == [False, True, False]


def test_renamed_cell_changes_digest(folder: Path) -> None:
    before = load(folder)
    (folder / NAMES[2]).rename(folder / "Uninfected/C2P2_IMG_1_cell_4.png")
    assert load(folder).digest != before.digest


def test_broken_image_leaves_no_half_cache(folder: Path, png: Png) -> None:
    (folder / NAMES[2]).write_bytes(png(2)[:-20])
    with pytest.raises(ImageError, match=r"C2P2_IMG_1_cell_3\.png: the file is cut off"):
        load(folder)
    assert list((folder.parent / "cache").iterdir()) == []
    (folder / NAMES[2]).write_bytes(png(2))
    assert len(load(folder)) == 3


DIE_AT_THE_THIRD = """
import os, signal, sys
from pathlib import Path
from edge_runtime.cells.preprocessing import InputSpec
from training.cells import cache
from training.cells.source import CellSource

decode, seen = cache.decode_image, []

def decode_two(data, name):
    seen.append(name)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(data, name)

cache.decode_image = decode_two
CellSource((sys.argv[1],), Path(sys.argv[2])).load(InputSpec(size=24))
"""


def test_killed_fill_leaves_no_half_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = folder.parent / "cache"
    died = subprocess.run(
        [sys.executable, "-c", DIE_AT_THE_THIRD, str(folder), str(cache)], cwd=ROOT, check=False
    )
    assert died.returncode == -signal.SIGKILL
    left = list(cache.iterdir())
    assert len(left) == 1
    # The next process may by chance have the number of the dead one.
    monkeypatch.setattr(os, "getpid", lambda: int(left[0].suffix.removeprefix(".")))
    assert len(load(folder)) == 3


def test_damaged_cache_is_named(folder: Path) -> None:
    load(folder)
    (images,) = folder.parent.rglob("images.u8")
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(StorageError, match=r"a damaged cache of cells.*; remove this folder"):
        load(folder)


def test_cache_stands_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CELLGATE_CACHE", raising=False)
    assert default_cache() == tmp_path / "cellgate"
    monkeypatch.setenv("CELLGATE_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"


def test_simulated_cells_are_cached_under_all_their_settings(
    cells: CellSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_decoding(monkeypatch)
    again = CellSource(("simulated:fields=1,slides=6",), cache).load(InputSpec())
    assert again.sources == ("simulated:slides=6,fields=1,seed=1000,parasitized=0.45",)
    assert again.digest == cells.digest


def test_simulated_cells_are_labelled_by_slide_and_parasite(cells: CellSet) -> None:
    assert set(cells.patients) == {f"S{number}" for number in range(1000, 1006)}
    assert [name.startswith("Parasitized/") for name in cells.names] == cells.labels.astype(bool).tolist()
    assert 0.3 < cells.labels.mean() < 0.6


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("simulated:cells=3", "cannot read 'cells=3'"),
        ("simulated:slides", "cannot read 'slides'"),
        ("simulated:slides=1.5", "cannot read 'slides=1.5'"),
        ("simulated:slides=0", "out of range"),
        ("simulated:parasitized=1.2", "out of range"),
    ],
)
def test_simulation_that_cannot_be(source: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        simulated.parse(source)
