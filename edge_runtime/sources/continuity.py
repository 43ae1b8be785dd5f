"""Whether a JPEG picture is torn: a damage that the decoder cannot see, since what it read are valid codes.

JPEG stores the brightness and the colour of each block of pixels as a difference to the block before. Where
one bit is wrong, most often all that follows is brighter, darker or of another colour, to the very end. So
along one row of blocks, left or right of the damage, there is a step in the same direction in every column. A
field of view has no such line.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

_BLOCK = 8  # rows
_LEAST_WIDTH = 320  # pixels; in fewer columns the noise of a camera can look like a step
_MOST_COLUMNS = 1600  # of a wider picture some are left out: they would cost time and tell no more
_LARGEST_STEP = 3.0  # a step counts for no more in any one column, or the edges of cells would count most
_DARK = 16  # beside black, as of an eyepiece or a film's bars, a step means nothing

# Mean step in levels, by brightness and the two colours. Of 197 photographs of four microscopes none has more
# than 1.45 and 1.1. And as against the steps at the other blocks: a strongly compressed picture has many.
_LIMITS = np.array([2.0, 1.5, 1.5])
_TIMES_THE_OTHERS = 2.0
_OTHERS = 0.9  # the quantile of all steps of the picture that stands for the others


def is_torn(pixels: NDArray[np.uint8]) -> bool:
    """Whether there is a step along half a row of blocks.

    Args:
        pixels: uint8 [height, width, 3] RGB, as they were decoded from JPEG.
    """
    height, width = pixels.shape[:2]
    if width < _LEAST_WIDTH or height < 3 * _BLOCK:
        return False
    columns = slice(None, None, -(-width // _MOST_COLUMNS))
    count = (height - 2) // _BLOCK
    # The two rows above each boundary between blocks, and the two below it.
    rows = [_colours(pixels[_BLOCK + offset :: _BLOCK, columns][:count]) for offset in (-2, -1, 0, 1)]
    before, above, below, after = rows
    steps = (below - above) - ((above - before) + (after - below)) / 2  # beyond what is a slope anyway
    steps[np.minimum(above, below)[..., 0] < _DARK] = 0
    steps = steps.clip(-_LARGEST_STEP, _LARGEST_STEP)
    half = steps.shape[1] // 2
    found = np.abs(np.stack([steps[:, :half].mean(axis=1), steps[:, half:].mean(axis=1)]))
    others = np.quantile(found, _OTHERS, axis=(0, 1))
    return bool((found.max(axis=(0, 1)) > np.maximum(_LIMITS, _TIMES_THE_OTHERS * others)).any())


def _colours(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Brightness and the two differences of colour, as JPEG has them: float32 [rows, columns, 3]."""
    return cv2.cvtColor(np.ascontiguousarray(rows), cv2.COLOR_RGB2YCrCb).astype(np.float32)
