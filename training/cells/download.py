"""Fetching the official NIH archive: resumed after a cut, in place only once its checksum is right."""

import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import click

from edge_runtime.errors import SourceError, StorageError
from edge_runtime.storage import explain


@dataclass(frozen=True)
class PublishedArchive:
    """A published file, known by its checksum.

    Attributes:
        url: where it is.
        size: in bytes.
        sha256: of its content.
    """

    url: str
    size: int
    sha256: str


# The same checksum as TensorFlow Datasets pins.
NIH = PublishedArchive(
    url="https://data.lhncbc.nlm.nih.gov/public/Malaria/cell_images.zip",
    size=353_452_851,
    sha256="0a949556b2414159b5100192609805376654c4266d8d187be9b1922fad43c668",
)

TIMEOUT_SECONDS = 30.0  # without a byte from the server
_BLOCK = 1 << 18
_AGAIN = "run the same command again"

# A server's answer, from which the body is still to be read.
_Answer = http.client.HTTPResponse


def download_archive(
    out: Path, *, url: str = NIH.url, size: int = NIH.size, sha256: str = NIH.sha256
) -> bool:
    """Fetch an archive into a file, going on with what an earlier try left in `<out>.part`.

    Args:
        out: the file to make; it appears only when it is whole.
        url: where to fetch it, http or https.
        size: what it must weigh, in bytes.
        sha256: what its content must hash to.

    Returns:
        False if the file was there already, whole and right.

    Raises:
        SourceError: the server cannot be reached, has no such file, broke off, or sent something else.
        StorageError: the file cannot be written, or another one has its name.
    """
    if not url.startswith(("https://", "http://")):
        raise SourceError(f"{url}: cannot be fetched; give an address that begins with https://")
    part = out.with_name(out.name + ".part")
    try:
        if out.exists():
            if out.is_file() and _is_right(out, size, sha256):
                return False
            raise StorageError(f"{out}: exists and is not the archive; remove it or choose another file")
        out.parent.mkdir(parents=True, exist_ok=True)
        _complete(part, url, size)
        if not _is_right(part, size, sha256):
            part.unlink()
            raise SourceError(
                f"{url}: what arrived has another sha256 than {sha256} and was removed; "
                f"{_AGAIN}, or fetch the archive from elsewhere"
            )
        os.replace(part, out)  # noqa: PTH105 - atomic, and the same on every system
    except OSError as error:
        where = "" if error.filename else f"{part}: "
        raise StorageError(f"{where}{explain(error)}") from error
    return True


def _is_right(file: Path, size: int, sha256: str) -> bool:
    if file.stat().st_size != size:
        return False
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256


def _complete(part: Path, url: str, size: int) -> None:
    """Fetch what the part file lacks; it holds `size` bytes afterwards."""
    have = part.stat().st_size if part.exists() else 0
    if have == size:
        return
    # No If-Range: the checksum decides in the end whether the two pieces belong together.
    answer = _ask(url, have if have < size else 0)
    with answer:
        start, total = _extent(answer)
        if start < 0 or total not in (size, None):
            raise SourceError(
                f"{url}: the server offers {total or 'a piece'} where {size} bytes were expected; "
                "check the address, or fetch the archive from elsewhere"
            )
        with part.open("ab" if start else "wb") as file:
            _receive(answer, file, start, size, url)


def _ask(url: str, have: int) -> _Answer:
    """Ask for the file from byte `have` on; the body begins there, or at 0 where the server will not."""
    headers = {"User-Agent": "cellgate", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s) only, checked above
    try:
        answer: _Answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _ask(url, 0)
        later = error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
        what = f"{_AGAIN} later" if later else "check the address, or fetch the archive from elsewhere"
        raise SourceError(f"{url}: the server answered {error.code} {error.reason}; {what}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceError(
            f"{url}: the server cannot be reached ({reason}); check the network and {_AGAIN}"
        ) from error
    if have and _extent(answer)[0] not in (0, have):
        answer.close()
        return _ask(url, 0)
    return answer


def _extent(answer: _Answer) -> tuple[int, int | None]:
    """Where the body begins in the file, and the size of the whole file if the server tells it."""
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if match is None:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _receive(answer: _Answer, file: BinaryIO, have: int, size: int, url: str) -> None:
    """Write the body to the file until it holds `size` bytes."""
    with click.progressbar(length=size, label=f"{size / 1e6:.0f} MB", file=sys.stderr) as bar:
        bar.update(have)
        while have < size:
            try:
                # At most what is lacking: a server that never ends must not fill the disk.
                block = answer.read(min(_BLOCK, size - have))
            except (OSError, http.client.HTTPException) as error:
                raise _broken_off(url, have, size, str(error)) from error
            if not block:
                raise _broken_off(url, have, size, "the server closed it")
            file.write(block)
            have += len(block)
            bar.update(len(block))


def _broken_off(url: str, have: int, size: int, why: str) -> SourceError:
    return SourceError(
        f"{url}: the connection broke off after {have / 1e6:.1f} of {size / 1e6:.1f} MB ({why}); "
        f"{_AGAIN}, it goes on from there"
    )
