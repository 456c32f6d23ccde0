"""How sure a loss is: what other items of the same kind might have shown.

Both models answer the same items, so the interval is a paired one. Hits and misses get Tango's score interval (T. Tango,
"Equivalence test and confidence interval for the difference in proportions for the paired-sample design", Statistics in
Medicine 17, 1998), which at a difference of 0 is McNemar's test and stays honest where few or no answers change. Every other
metric gets a percentile bootstrap over items.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Literal

import numpy as np

from runner.evaluation.metric import Metric, Scores

Conclusion = Literal["met", "not_met", "undecided"]

LEVEL = 0.95
_Z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
_RESAMPLES = 1000
# Halvings of [-1, 1] until the limit is exact in float64.
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the loss lies with a probability of LEVEL, in the metric's unit.

    Attributes:
        method: ``tango`` for hits and misses, ``bootstrap`` otherwise.
        items_to_settle: about how many items would tell the loss from the target, had they the same loss and spread;
            None where no target was given or the loss is the target.
    """

    low: float
    high: float
    method: Literal["tango", "bootstrap"]
    items_to_settle: int | None = None

    def verdict(self, target: float) -> Conclusion:
        """Return whether the loss on new items stays below the target, as far as these items can tell."""
        if self.high < target:
            return "met"
        return "not_met" if self.low >= target else "undecided"


def loss_interval(
    metric: Metric, float_scores: Scores, scores: Scores, *, target: float | None = None, seed: int = 0
) -> Interval:
    """Return the interval of a metric's loss.

    Args:
        metric: any.
        float_scores: of the float model, an entry an item.
        scores: of the quantized model, the same items.
        target: to say how many items would settle it.
        seed: of the bootstrap.
    """
    items = len(scores)
    loss = metric.loss(float_scores, scores)
    if _counted(metric, float_scores, scores):
        lost = int(np.sum((float_scores == 1) & (scores == 0)))
        gained = int(np.sum((float_scores == 0) & (scores == 1)))
        low, high = (100 * limit for limit in paired_interval(lost, gained, items))
        share = (lost + gained) / items
        deviation = 100 * math.sqrt(max(share - (loss / 100) ** 2, 0.0))
        needed = _items_to_settle(deviation, loss, target)
        if needed is not None and target is not None:
            # Were no answer to change, the interval would still reach z^2 / (n + z^2).
            needed = max(needed, math.ceil(_Z**2 * (100 / abs(target - loss) - 1)))
        return Interval(low, high, "tango", needed)
    generator = np.random.default_rng(seed)
    picks = (generator.integers(items, size=items) for _ in range(_RESAMPLES))
    losses = np.array([metric.loss(float_scores[pick], scores[pick]) for pick in picks])
    losses = losses[np.isfinite(losses)]
    if not losses.size:
        return Interval(loss, loss, "bootstrap")
    low, high = (float(limit) for limit in np.quantile(losses, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Interval(low, high, "bootstrap", _items_to_settle(float(losses.std()) * math.sqrt(items), loss, target))


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
    low = _limit(lost, gained, items, -1.0, estimate, _Z)
    high = _limit(lost, gained, items, estimate, 1.0, -_Z)
    return low, high


def items_for_target(target: float) -> int | None:
    """Return how many items are needed so that a net loss of one stays below a target in percentage points."""
    return None if target <= 0 else int(Decimal(100) // Decimal(str(target))) + 1


def _counted(metric: Metric, *scores: Scores) -> bool:
    """Whether scores are one hit or miss an item and the loss is their difference in percent."""
    if not all(s.ndim > 1 and s.shape[1] == 1 and np.isin(s, (0.0, 1.0)).all() for s in scores):
        return False
    before, after = (float(s.sum()) for s in scores)
    return math.isclose(metric.loss(*scores), 100 * (before - after) / len(scores[0]), abs_tol=1e-9)


def _items_to_settle(deviation: float, loss: float, target: float | None) -> int | None:
    """Return n with ``z * deviation / sqrt(n) = |target - loss|``; the deviation is that of a single item."""
    if target is None or target == loss or not math.isfinite(deviation) or not math.isfinite(loss):
        return None
    return max(1, math.ceil((_Z * deviation / (target - loss)) ** 2))


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
