"""Split conformal prediction: the limit that rejects a given share of cells like those it was set on."""

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import CheckFailedError


def conformal_limit(values: NDArray[np.float64], share: float) -> float:
    """The limit below which a new exchangeable value falls with a probability of at most `share`.

    The k-th smallest of n values with k = floor((n + 1) share) (Vovk et al. 2005).

    Args:
        values: float64 [N], large = accepted.
        share: between 0 and 1.

    Raises:
        CheckFailedError: fewer than 1 / share - 1 values.
    """
    rank = int(np.floor((len(values) + 1) * share))
    if rank < 1:
        needed = int(np.ceil(1 / share)) - 1
        raise CheckFailedError(f"{len(values)} cells cannot set a limit; at least {needed} are needed")
    return float(np.sort(values)[rank - 1])
