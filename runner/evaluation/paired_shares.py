"""Limits of the share of items that come out wrong, and of the difference between two such shares, from counts alone.

* The exact limits of one share (C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of
  the binomial", Biometrika 26, 1934).
* Tango's score interval of the difference of two paired shares (T. Tango, "Equivalence test and confidence interval for the
  difference in proportions for the paired-sample design", Statistics in Medicine 17, 1998). At a difference of 0 it is
  McNemar's test, and it stays honest where few or no answers change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

LEVEL = 0.95
Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
# Halvings of an interval until the limit is exact in float64.
_HALVINGS = 60


def binomial_limits(count: int, items: int) -> tuple[float, float]:
    """Return Clopper and Pearson's limits of a share, each alone with a probability of LEVEL.

    Args:
        count: how many items have the property.
        items: all of them, at least 1.
    """
    low = 0.0 if count == 0 else _root(lambda share: _at_most(count - 1, items, share) > LEVEL)
    high = 1.0 if count == items else _root(lambda share: _at_most(count, items, share) > 1 - LEVEL)
    return low, high


def _at_most(count: int, items: int, share: float) -> float:
    """Return the probability of no more than ``count`` of ``items``, each with the probability ``share`` in 0..1."""
    counts = np.arange(1, count + 1)
    log_ways = np.concatenate([[0.0], np.cumsum(np.log((items - counts + 1) / counts))])
    all_counts = np.arange(count + 1)
    return float(np.sum(np.exp(log_ways + all_counts * math.log(share) + (items - all_counts) * math.log1p(-share))))


def _root(before: Callable[[float], bool]) -> float:
    """Return where in 0..1 a condition that holds below it ceases to hold."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if before(middle) else (low, middle)
    return (low + high) / 2


def paired_interval(lost: int, gained: int, items: int) -> tuple[float, float]:
    """Return Tango's interval of the difference of two paired shares.

    Args:
        lost: items that only the first model got right.
        gained: items that only the second got right.
        items: all of them, at least 1.

    Returns:
        (low, high) of the first share less the second, each in -1..1.
    """
    estimate = (lost - gained) / items
    low = _limit(lost, gained, items, -1.0, estimate, Z)
    high = _limit(lost, gained, items, estimate, 1.0, -Z)
    return low, high


def _limit(lost: int, gained: int, items: int, low: float, high: float, z: float) -> float:
    """Return where the statistic, which falls as the difference grows, is ``z``."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _statistic(lost, gained, items, middle) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _statistic(lost: int, gained: int, items: int, difference: float) -> float:
    """Return Tango's score statistic for a supposed difference."""
    # The likeliest share of items that only the second model gets right, had the two shares that difference.
    a = 2 * items
    b = -lost - gained + (2 * items - lost + gained) * difference
    c = -gained * difference * (1 - difference)
    only_second = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = items * (2 * only_second + difference * (1 - difference))
    distance = lost - gained - items * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)
