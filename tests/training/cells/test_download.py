"""Fetching an archive from a server that behaves, and from servers that do not."""

import hashlib
import http.server
import resource
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from edge_runtime.errors import SourceError, StorageError
from training.__main__ import main
from training.cells import download
from training.cells.download import download_archive

CONTENT = np.random.default_rng(0).bytes(100_000)
HALF = 40_000
FETCH = partial(download_archive, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


@dataclass
class Behaviour:
    """How the server answers, and what it was asked.

    Attributes:
        content: the file it has.
        ranges: "serve", "ignore", "refuse" (416) or "shift" (another range than was asked for).
        cut_after: bytes of the body after which it hangs up.
        stall: seconds without a byte instead of hanging up.
        status: other than 200 is answered at once.
        tells_length: whether it says how long the body is.
        asked: the Range header of each request.
    """

    content: bytes = CONTENT
    ranges: str = "serve"
    cut_after: int | None = None
    stall: float = 0.0
    status: int = 200
    tells_length: bool = True
    asked: list[str | None] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        how, asked = self.behaviour, self.headers.get("Range")
        how.asked.append(asked)
        if how.status != 200:
            self.send_error(how.status)
            return
        start = 0
        if asked is not None and how.ranges != "ignore":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if how.ranges == "refuse" or start >= len(how.content):
                self.send_error(416)
                return
            start += how.ranges == "shift"
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(how.content) - 1}/{len(how.content)}")
        else:
            self.send_response(200)
        body = how.content[start:]
        if how.tells_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if how.cut_after is None else body[: how.cut_after])
        time.sleep(how.stall)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Behaviour]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    behaviour = Behaviour()
    handler = type("OneHandler", (Handler,), {"behaviour": behaviour})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}/cells.zip", behaviour
        listening.shutdown()
        thread.join()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "cells.zip"


@pytest.fixture
def part(out: Path) -> Path:
    out.parent.mkdir()
    return out.with_name("cells.zip.part")


def test_whole_file_arrives(
    server: tuple[str, Behaviour], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, behaviour = server
    assert FETCH(out, url=url) is True
    assert out.read_bytes() == CONTENT
    assert list(out.parent.iterdir()) == [out]
    assert behaviour.asked == [None]
    assert capsys.readouterr().out == ""


def test_cut_download_goes_on_where_it_broke_off(server: tuple[str, Behaviour], out: Path) -> None:
    url, behaviour = server
    behaviour.cut_after = HALF
    with pytest.raises(SourceError, match=r"broke off after 0\.0 of 0\.1 MB.*run the same command again"):
        FETCH(out, url=url)
    assert not out.exists()
    assert out.with_name("cells.zip.part").read_bytes() == CONTENT[:HALF]
    behaviour.cut_after = 10_000
    with pytest.raises(SourceError, match="run the same command again"):
        FETCH(out, url=url)
    behaviour.cut_after = None
    assert FETCH(out, url=url) is True
    assert out.read_bytes() == CONTENT
    assert behaviour.asked == [None, "bytes=40000-", "bytes=50000-"]


def test_stalled_server_counts_as_cut(
    server: tuple[str, Behaviour], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, behaviour = server
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    behaviour.cut_after, behaviour.stall = HALF, 0.5
    with pytest.raises(SourceError, match=r"timed out.*run the same command again"):
        FETCH(out, url=url)
    assert out.with_name("cells.zip.part").stat().st_size <= HALF


@pytest.mark.parametrize(
    ("ranges", "requests"),
    [("ignore", ["bytes=40000-"]), ("refuse", ["bytes=40000-", None]), ("shift", ["bytes=40000-", None])],
)
def test_server_that_cannot_go_on_sends_all_anew(
    server: tuple[str, Behaviour], out: Path, part: Path, ranges: str, requests: list[str | None]
) -> None:
    url, behaviour = server
    part.write_bytes(CONTENT[:HALF])
    behaviour.ranges = ranges
    assert FETCH(out, url=url) is True
    assert out.read_bytes() == CONTENT
    assert behaviour.asked == requests


def test_wrong_bytes_are_removed_so_that_the_next_try_starts_clean(
    server: tuple[str, Behaviour], out: Path
) -> None:
    url, behaviour = server
    behaviour.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(SourceError, match=f"another sha256 than {FETCH.keywords['sha256']}"):
        FETCH(out, url=url)
    assert list(out.parent.iterdir()) == []
    behaviour.content = CONTENT
    assert FETCH(out, url=url) is True
    assert behaviour.asked == [None, None]


def test_rest_of_another_file_is_found_out_by_the_checksum(
    server: tuple[str, Behaviour], out: Path, part: Path
) -> None:
    part.write_bytes(b"x" * HALF)
    with pytest.raises(SourceError, match="another sha256"):
        FETCH(out, url=server[0])
    assert list(out.parent.iterdir()) == []


def test_file_of_another_size_is_refused_before_it_costs_anything(
    server: tuple[str, Behaviour], out: Path, part: Path
) -> None:
    url, behaviour = server
    behaviour.content, behaviour.ranges = b"<html>please log in</html>", "ignore"
    part.write_bytes(CONTENT[:HALF])
    with pytest.raises(SourceError, match="offers 26 where 100000 bytes were expected"):
        FETCH(out, url=url)
    assert part.read_bytes() == CONTENT[:HALF]


def test_endless_body_does_not_fill_the_disk(server: tuple[str, Behaviour], out: Path) -> None:
    url, behaviour = server
    behaviour.content, behaviour.tells_length = CONTENT + b"and so on" * 100_000, False
    assert FETCH(out, url=url) is True
    assert out.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "message"), [(404, "answered 404 Not Found; check the address"), (503, "answered 503.*later")]
)
def test_refusal_is_told_and_keeps_what_there_is(
    server: tuple[str, Behaviour], out: Path, part: Path, status: int, message: str
) -> None:
    url, behaviour = server
    behaviour.status = status
    part.write_bytes(CONTENT[:HALF])
    with pytest.raises(SourceError, match=message):
        FETCH(out, url=url)
    assert part.stat().st_size == HALF


def test_no_server(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening: nobody answers there
        url = f"http://127.0.0.1:{free.getsockname()[1]}/cells.zip"
        with pytest.raises(SourceError, match=r"cannot be reached \(.*refused\); check the network"):
            FETCH(out, url=url)


@pytest.mark.usefixtures("part")
def test_complete_file_is_left_alone(server: tuple[str, Behaviour], out: Path) -> None:
    out.write_bytes(CONTENT)
    assert FETCH(out, url=server[0]) is False
    assert server[1].asked == []


@pytest.mark.usefixtures("part")
def test_another_file_is_not_overwritten(server: tuple[str, Behaviour], out: Path) -> None:
    out.write_bytes(b"my thesis")
    with pytest.raises(StorageError, match="exists and is not the archive"):
        FETCH(out, url=server[0])
    assert out.read_bytes() == b"my thesis"


def test_whole_part_file_needs_no_request(server: tuple[str, Behaviour], out: Path, part: Path) -> None:
    part.write_bytes(CONTENT)
    assert FETCH(out, url=server[0]) is True
    assert out.read_bytes() == CONTENT
    assert server[1].asked == []


def test_part_file_that_is_too_long_starts_anew(server: tuple[str, Behaviour], out: Path, part: Path) -> None:
    part.write_bytes(CONTENT + b"x")
    assert FETCH(out, url=server[0]) is True
    assert out.read_bytes() == CONTENT
    assert server[1].asked == [None]


def test_full_disk_keeps_the_part_and_goes_on(server: tuple[str, Behaviour], out: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, hard))
    try:
        with pytest.raises(StorageError, match=r"cells\.zip\.part: the disk is full"):
            FETCH(out, url=server[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert FETCH(out, url=server[0]) is True
    assert server[1].asked == [None, "bytes=40000-"]


def test_folder_that_cannot_be_made(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a folder is needed")
    with pytest.raises(StorageError, match="data"):
        FETCH(tmp_path / "data" / "cells.zip", url=server[0])


def test_only_web_addresses_are_fetched(out: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    with pytest.raises(SourceError, match="begins with https"):
        FETCH(out, url=f"file://{tmp_path}/secret")


def test_command_holds_any_mirror_to_the_official_archive(server: tuple[str, Behaviour], out: Path) -> None:
    done = CliRunner().invoke(main, ["download", "--out", str(out), "--url", server[0]])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert "offers 100000 where 353452851 bytes were expected" in done.stderr


def test_command_says_what_it_did(
    server: tuple[str, Behaviour], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.__main__.download_archive", FETCH)
    arguments = ["download", "--out", str(out), "--url", server[0]]
    first, second = (CliRunner().invoke(main, arguments) for _ in range(2))
    assert (first.exit_code, first.stdout) == (0, f"{out}: complete\n")
    assert (second.exit_code, second.stdout) == (0, f"{out}: complete already, nothing to do\n")
