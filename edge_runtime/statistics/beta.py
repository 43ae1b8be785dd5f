"""The beta distribution, from which exact intervals and tails of counts follow; a device has no scipy."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_TINY = 1e-300  # in place of a zero that would be divided by
_PRECISE = 1e-14
_MOST_TERMS = 10_000  # far more than any count of cells needs
_HALVINGS = 200


def beta_cdf(x: ArrayLike, a: float, b: float) -> NDArray[np.float64]:
    """The regularised incomplete beta function I_x(a, b): probability that a beta variable is at most x.

    The continued fraction of the Digital Library of Mathematical Functions, 8.17.22, by Lentz's method.

    Args:
        x: [...] each from 0 to 1.
        a: above 0.
        b: above 0.

    Returns:
        float64, shaped as x.

    Raises:
        ValueError: an argument outside its range.
    """
    at = np.asarray(x, np.float64)
    if not (a > 0 and b > 0 and ((at >= 0) & (at <= 1)).all()):
        raise ValueError(f"no beta distribution has a = {a}, b = {b} and values outside 0 to 1")
    # The fraction converges fast below the mean; above it, seen from the other end.
    turned = at > (a + 1) / (a + b + 2)
    found = np.empty_like(at)
    found[~turned] = _tail(at[~turned], a, b)
    found[turned] = 1 - _tail(1 - at[turned], b, a)
    return np.clip(found, 0.0, 1.0)


def _tail(x: NDArray[np.float64], a: float, b: float) -> NDArray[np.float64]:
    """Of x [N]; each leaves the loop as soon as its fraction no longer changes, since few need many terms."""
    tail = np.zeros_like(x)
    left = np.flatnonzero(x > 0)
    at = x[left]
    c, d = np.ones_like(at), 1 / _bounded(1 - (a + b) / (a + 1) * at)
    fraction = np.exp(a * np.log(at) + b * np.log1p(-at) - log_beta(a, b) - math.log(a)) * d
    for m in range(1, _MOST_TERMS):
        if not left.size:
            break
        even = m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            term = coefficient * at
            d = 1 / _bounded(1 + term * d)
            c = _bounded(1 + term / c)
            change = c * d
            fraction *= change
        tail[left] = fraction
        going = np.abs(change - 1) >= _PRECISE
        if not going.all():
            left, at, c, d, fraction = left[going], at[going], c[going], d[going], fraction[going]
    return tail


def _bounded(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(value) < _TINY, _TINY, value)


def log_beta(a: float, b: float) -> float:
    """Logarithm of the beta function of a and b, both above 0."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The value below which a beta variable lies with a probability of `share`, 0 to 1.

    Raises:
        ValueError: an argument outside its range.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no probability")
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if float(beta_cdf(middle, a, b)) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def at_least(count: int, of: int, share: ArrayLike) -> NDArray[np.float64]:
    """Probability that at least `count` of `of` cells are hit, each with probability `share` [...]."""
    if count <= 0:
        return np.ones_like(np.asarray(share, np.float64))
    if count > of:
        return np.zeros_like(np.asarray(share, np.float64))
    return beta_cdf(share, count, of - count + 1)
