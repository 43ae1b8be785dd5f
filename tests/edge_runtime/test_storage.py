"""A file is written whole or not at all: whatever fails, the old one stays and nothing is left beside it."""

import errno
import os
from pathlib import Path

import pytest

from edge_runtime import storage
from edge_runtime.errors import StorageError
from edge_runtime.storage import whole_file, whole_folder, write_whole


@pytest.mark.parametrize("content", ["zwölf µm", "zwölf µm".encode()])
def test_what_is_written_is_there(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a longer text that was there before")
    write_whole(path, content)
    assert path.read_bytes() == "zwölf µm".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_writer_that_gives_up_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def give_up() -> None:
        with whole_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        give_up()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_text_that_no_file_can_hold_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert path.read_text() == "old"


def test_the_content_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "a.txt", []
    sync, rename = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        order.append(("synced", os.fstat(descriptor).st_size, path.exists()))
        sync(descriptor)

    def renamed(old: Path, new: Path) -> None:
        order.append(("renamed", old.stat().st_size, path.exists()))
        rename(old, new)

    monkeypatch.setattr(storage.os, "fsync", synced)
    monkeypatch.setattr(storage.os, "replace", renamed)
    write_whole(path, "twelve bytes")
    assert order == [("synced", 12, False), ("renamed", 12, False)]


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "the disk is full; free some space and run the same command again"),
        (errno.EROFS, "permission denied; choose another folder or change its permissions"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failing_disk_is_told_with_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def failing(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage.os, "fsync", failing)
    with pytest.raises(StorageError) as caught:
        write_whole(path, "new")
    assert str(caught.value) == f"{path}: {told}"
    with pytest.raises(StorageError) as caught:
        write_whole(path, "new", otherwise=lambda reason: f"not kept ({reason}); try later")
    assert str(caught.value) == f"{path}: not kept ({os.strerror(number)}); try later"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"absent/a\.txt: No such file or directory"):
        write_whole(tmp_path / "absent" / "a.txt", "new")


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "folder") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "folder").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "one").read_text() == "1"


def test_a_folder_that_failed_or_was_cut_off_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder.part").mkdir()  # of a run that was killed
    (tmp_path / "folder.part" / "torn").write_text("")

    def give_up() -> None:
        with whole_folder(tmp_path / "folder") as folder:
            (folder / "one").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder").mkdir()  # an empty one may be there
    with whole_folder(tmp_path / "folder") as folder:
        (folder / "one").write_text("1")
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["one"]


@pytest.mark.parametrize("kind", ["file", "full"])
def test_what_is_there_is_never_a_new_folder(tmp_path: Path, kind: str) -> None:
    there = tmp_path / "there"
    if kind == "file":
        there.write_text("kept")
    else:
        there.mkdir()
        (there / "mine").write_text("kept")
    with pytest.raises(StorageError, match="not an empty folder"), whole_folder(there):
        pass
    assert (there if kind == "file" else there / "mine").read_text() == "kept"
