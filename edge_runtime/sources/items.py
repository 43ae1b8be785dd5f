"""What a source gives: images and frames, what of it could not be read, and notes on the source itself."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import ImageError

MIN_FRAME = 64  # pixels; a smaller image was not meant to be a field of view


@dataclass(frozen=True)
class Frame:
    """One look at a source.

    Attributes:
        name: as shown to people.
        image: uint8 [H, W, 3] RGB.
        moment: seconds from the first frame of a video, or from the first picture of a live source; None for
            images, which know no time.
        dropped: pictures that a live source sent since the frame before and that nobody looked at; 0 for
            videos and images, of which nothing is lost.
    """

    name: str
    image: NDArray[np.uint8]
    moment: float | None = None
    dropped: int = 0

    @classmethod
    def of(cls, name: str, image: NDArray[np.uint8], moment: float | None = None) -> "Frame":
        """A frame that is large enough to be one.

        Raises:
            ImageError: it is not.
        """
        height, width = image.shape[:2]
        if min(height, width) < MIN_FRAME:
            raise ImageError(f"{name}: {width}x{height} pixels; a field of view needs at least {MIN_FRAME}")
        return cls(name, image, moment)


@dataclass(frozen=True)
class SourceNote:
    """Something about a live source that people should know now, and that is no frame: it hangs, it is black.

    Attributes:
        name: of the source.
        text: one line.
    """

    name: str
    text: str

    def __str__(self) -> str:
        """One line, as commands tell it."""
        return f"note: {self.name}: {self.text}"


@dataclass(frozen=True)
class ImageFile:
    """One image, or something else that was found where images were looked for.

    Attributes:
        name: the path as shown to people; inside a zip, the member's name.
        read: returns the encoded bytes; raises ImageError if they cannot be read.
        left_out: why it is not read, as its place, name or kind already tell; then `read` raises just that.
    """

    name: str
    read: Callable[[], bytes]
    left_out: str = ""

    @classmethod
    def not_read(cls, name: str, reason: str) -> "ImageFile":
        """Something that is named, and not read."""

        def read() -> bytes:
            raise ImageError(f"{name}: {reason}")

        return cls(name, read, reason)


@dataclass(frozen=True)
class SkippedFrame:
    """An image or a frame that could not be read, and why."""

    name: str
    reason: str

    @classmethod
    def of(cls, name: str, error: ImageError) -> "SkippedFrame":
        """What an error says of an image; the reason does not name it once more."""
        return cls(name, str(error).removeprefix(f"{name}: "))

    def __str__(self) -> str:
        """One line, as commands tell it."""
        return f"skipped: {self.name}: {self.reason}"
