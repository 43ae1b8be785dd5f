"""Whether parasitized cells lie over the fields by chance, or in some fields and not in others."""

from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import SourceError

_FEWEST = 5  # parasitized cells: fewer lie any which way


def dispersion(parasitized: Sequence[int], judged: Sequence[int]) -> float:
    """Variance of the counts of the fields, in units of that of chance; at least 1.

    Pearson's chi-square over its degrees of freedom (McCullagh and Nelder, Generalized Linear Models, 4.5).

    Args:
        parasitized: cells called so, per field.
        judged: cells judged, per field.

    Returns:
        1 where there are too few fields or parasitized cells to say.

    Raises:
        SourceError: fields that do not match, or more parasitized cells than judged ones.
    """
    hits, cells = np.array(parasitized, np.float64), np.array(judged, np.float64)
    if hits.shape != cells.shape or (hits > cells).any() or (hits < 0).any():
        raise SourceError("a count of parasitized cells for every field, and none above that of its cells")
    hits, cells = hits[cells > 0], cells[cells > 0]
    total, every = float(hits.sum()), float(cells.sum())
    if len(cells) < 2 or total < _FEWEST or total == every:
        return 1.0
    share = total / every
    square = float(((hits - cells * share) ** 2 / (cells * share * (1 - share))).sum())
    return max(1.0, square / (len(cells) - 1))
