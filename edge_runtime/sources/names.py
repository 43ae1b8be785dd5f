"""What the names of files tell: how they are shown and sorted, and which of them are no images."""

import os
import re
import unicodedata
from pathlib import PurePath

from edge_runtime.sources.containers import is_image, is_video

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp")
VIDEO_SUFFIXES = (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mjpg", ".mjpeg", ".ts")

# What systems and viewers leave beside photographs: deleted files, small copies, and their own notes.
_LEFT_BY_SYSTEMS = {
    *("$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", "trash", "lost.dir", "lost+found"),
    *("thumbnails", "thumbs", "@eadir", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("__macosx", "system volume information"),
}
_RAW = {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"}
_SCANNED = {".svs", ".ndpi", ".czi", ".nd2", ".lif", ".lsm", ".vsi", ".mrxs", ".scn", ".oib", ".zvi", ".dcm"}
_KINDS = {
    "a camera's raw file cannot be read; save it as PNG, TIFF or JPEG": _RAW,
    "a microscope's own format cannot be read; export it as PNG or TIFF": _SCANNED,
    "HEIC or AVIF cannot be read; let the phone save JPEG, or convert it": {
        ".heic",
        ".heif",
        ".hif",
        ".avif",
    },
    "this kind of image cannot be read; save it as PNG or JPEG": {
        *(".webp", ".gif", ".jp2", ".j2k", ".jpf", ".jxl", ".psd", ".xcf", ".svg", ".tga", ".exr", ".pdf"),
        *(".ppm", ".pgm", ".pnm"),
    },
    "a video; read it by itself": {
        *VIDEO_SUFFIXES,
        *(".mpg", ".mpeg", ".3gp", ".wmv", ".flv", ".mts", ".m2ts"),
    },
    "an archive; unpack it, or read a zip by itself": {".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".xz"},
}
_REASONS = {suffix: reason for reason, suffixes in _KINDS.items() for suffix in suffixes}
# No line of a console or a page holds them: ends of lines, control, marks that turn the direction of text.
_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Replace what no line, record or page can hold: a name's undecodable bytes and control characters."""
    decodable = re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text)
    shown = os.fsencode(decodable).decode("utf-8", "replace")
    return "".join(
        "\ufffd" if unicodedata.category(letter) in _UNSHOWN or letter in _TURNING else letter
        for letter in shown
    )


def in_order(parts: tuple[str, ...]) -> tuple[object, ...]:
    """What to sort paths by so that "frame 2" comes before "frame 10".

    Args:
        parts: folders and name.
    """
    return tuple(tuple(_natural(part)) for part in parts), parts


def _natural(name: str) -> list[object]:
    pieces: list[object] = list(re.split(r"([0-9]+)", name))
    # No int(): names hold numbers of any length.
    pieces[1::2] = [(len(digits), digits) for digits in (str(p).lstrip("0") for p in pieces[1::2])]
    return pieces


def left_by_system(part: str) -> bool:
    """Whether the name of a folder or file is one of hidden, deleted or small copies or a system's notes."""
    return part.startswith(".") or part.lower() in _LEFT_BY_SYSTEMS


def suffix_of(name: str) -> str:
    """The suffix, in small letters, with its point; "" if there is none."""
    return PurePath(name).suffix.lower()


def no_image_because(suffix: str, head: bytes) -> str:
    """Why a file that is not called an image is not read; "" if it is of a kind that nobody would miss.

    Args:
        suffix: see `suffix_of`; none of SUFFIXES.
        head: its first `containers.HEAD` bytes.
    """
    if suffix not in _RAW | _SCANNED and is_image(head):
        return f"holds an image, but its name does not end as one ({', '.join(SUFFIXES)}); rename it"
    if not _REASONS.get(suffix) and is_video(head):
        return "a video; read it by itself"
    return _REASONS.get(suffix, "")
