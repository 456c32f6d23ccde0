"""How sure a loss is: what other items of the same kind might have shown.

Both models answer the same items, so the interval is a paired one.

* Hits and misses get Tango's score interval (``paired_shares``).
* A loss that cannot be negative, for the float model is what it is held against, has one limit that is worth stating: the upper
  one. Of hits it is the exact binomial one; of sums of errors that of the studentized bootstrap over items (``ratio_of_sums``),
  of several outputs the largest of their limits.
* Every other metric gets a percentile bootstrap over items.

Fewer than FEWEST items have no interval but the exact one, and neither have items that are all alike: nothing tells the spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.distance import Distance
from runner.evaluation.metric import Metric, Resampled, Scores
from runner.evaluation.paired_shares import LEVEL, Z, binomial_limits, paired_interval
from runner.evaluation.ratio_of_sums import RESAMPLES, RatioOfSums
from runner.wording import listed, recalled, say

Conclusion = Literal["met", "not_met", "undecided"]
Method = Literal["tango", "binomial", "bootstrap_t", "bootstrap", "none"]

# With fewer the score interval and both bootstraps miss clearly more often than they say.
FEWEST = 10
FEWEST_DRAWS = 200
# Items of all samples together.
_DRAWN = 1_000_000
_ONE_SIDED_Z = NormalDist().inv_cdf(LEVEL)


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the loss lies with a probability of LEVEL, in the metric's unit; a limit that nothing sets is infinite.

    Attributes:
        low: 0 where the loss cannot be less.
        high: at most so much.
        items_to_settle: about how many items would tell the loss from the target, had they the same loss and spread;
            None where no target was given, the loss is the target, or nothing tells.
        at_least: of a loss that cannot be negative the lower limit that is as sure as ``high``, each alone; else None.
        unsure: why there is no upper limit, if there is none.
    """

    low: float
    high: float
    method: Method
    items_to_settle: int | None = None
    at_least: float | None = None
    unsure: str = ""

    @property
    def one_sided(self) -> bool:
        """Whether the loss cannot be negative."""
        return self.at_least is not None

    def verdict(self, target: float) -> Conclusion:
        """Return whether the loss on new items stays below the target, as far as these items can tell."""
        if self.high < target:
            return "met"
        return "not_met" if (self.low if self.at_least is None else self.at_least) >= target else "undecided"

    def said(self, *, not_met: bool = False) -> str:
        """Return the limits in words; ``not_met``: the lower one of a loss that cannot be negative says more than the upper."""
        least = self.at_least or 0.0
        lower = say("at least {limit:.3g} with {level:.0%} confidence", limit=least, level=LEVEL)
        if self.unsure:
            why = recalled(self.unsure)
            said = say("no upper limit: {why}", why=why) if self.one_sided else say("no interval: {why}", why=why)
            return listed((said, lower), "; ") if least else said
        if self.one_sided:
            most = say("at most {limit:.3g} with {level:.0%} confidence", limit=self.high, level=LEVEL)
            return lower if not_met else most
        return say("{level:.0%} interval {low:.3g} to {high:.3g}", level=LEVEL, low=self.low, high=self.high)


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
    items, loss = len(scores), metric.loss(float_scores, scores)
    one_sided = bool(getattr(metric, "never_negative", False))
    if _counted(metric, float_scores, scores):
        lost = int(np.sum((float_scores == 1) & (scores == 0)))
        gained = int(np.sum((float_scores == 0) & (scores == 1)))
        if one_sided and not gained:
            return _binomial(lost, items, loss, target)
        return _paired(lost, gained, items, loss, target) if items >= FEWEST else _none(_too_few(items))
    if items < FEWEST:
        return _none(_too_few(items), one_sided=one_sided)
    if (
        one_sided
        and isinstance(metric, Distance)
        and (found := _of_sums(metric, scores, loss, target, seed)) is not None
    ):
        return found
    return _resampled(metric, float_scores, scores, loss, target, seed, one_sided=one_sided)


def _none(why: str, *, one_sided: bool = False, at_least: float = 0.0) -> Interval:
    low = 0.0 if one_sided else -math.inf
    return Interval(low, math.inf, "none", at_least=at_least if one_sided else None, unsure=why)


def _too_few(items: int) -> str:
    if items == 1:
        return say("1 item is too few to tell the spread")
    return say("{items} items are too few to tell the spread", items=items)


def _alike(items: int) -> str:
    # Had a share of all items been otherwise, a sample of n would have none of them with probability (1 - share)^n.
    unseen = 1 - (1 - LEVEL) ** (1 / items)
    return say(
        "{items} items that are all alike tell no spread, and up to {share:.2g}% of all items may be otherwise",
        items=items,
        share=100 * unseen,
    )


def _binomial(lost: int, items: int, loss: float, target: float | None) -> Interval:
    """Return the exact limits of a share of misses, in percent."""
    low, high = (100 * share for share in binomial_limits(lost, items))
    share = loss / 100
    needed = _items_to_settle(100 * math.sqrt(share * (1 - share)), loss, target, _ONE_SIDED_Z)
    if needed is not None and target is not None and loss < target:
        # Were no answer to change, the limit would still be 1 - 0.05^(1 / n).
        least = math.log(1 - LEVEL) / math.log1p(-target / 100) if target < 100 else 1.0
        needed = max(needed, math.ceil(least))
    return Interval(0.0, high, "binomial", needed, at_least=low)


def _paired(lost: int, gained: int, items: int, loss: float, target: float | None) -> Interval:
    low, high = (100 * limit for limit in paired_interval(lost, gained, items))
    share = (lost + gained) / items
    deviation = 100 * math.sqrt(max(share - (loss / 100) ** 2, 0.0))
    needed = _items_to_settle(deviation, loss, target, Z)
    if needed is not None and target is not None:
        # Were no answer to change, the interval would still reach z^2 / (n + z^2).
        needed = max(needed, math.ceil(Z**2 * (100 / abs(target - loss) - 1)))
    return Interval(low, high, "tango", needed)


def _of_sums(metric: Distance, scores: Scores, loss: float, target: float | None, seed: int) -> Interval | None:
    """Return the limits of a loss that is the largest of its outputs' ratios of errors to weights; None where it is not."""
    errors = np.asarray(scores[:, metric.error_columns], np.float64)
    weights, items = metric.weights(scores), len(scores)
    if not np.isfinite(errors).all():
        return None
    # An output in which nothing differs is never the worst, whether it has weight or not.
    wrong = errors.sum(axis=0) > 0
    if not wrong.any():
        return _none(_alike(items), one_sided=True)
    if not np.all(weights[:, wrong].sum(axis=0) > 0):
        return None
    sums = RatioOfSums(errors[:, wrong], weights[:, wrong])
    if not math.isclose(_worst(metric, sums.ratios), loss, rel_tol=1e-9, abs_tol=1e-9):
        return None
    if not sums.tells_spread:
        return _none(_alike(items), one_sided=True)
    low, high, resampled = sums.limits(np.random.default_rng(seed))
    losses = np.array([_worst(metric, ratios) for ratios in resampled])
    least, most = _worst(metric, low), _worst(metric, high)
    if not math.isfinite(most):
        return _none(
            say("too few of {items} items differ to tell the spread", items=items), one_sided=True, at_least=least
        )
    needed = _items_to_settle(float(losses.std()) * math.sqrt(items), loss, target, _ONE_SIDED_Z)
    return Interval(0.0, most, "bootstrap_t", needed, at_least=least)


def _worst(metric: Distance, ratios: NDArray[np.float64]) -> float:
    return max(metric.loss_at(float(ratio)) for ratio in ratios)


def _resampled(
    metric: Metric,
    float_scores: Scores,
    scores: Scores,
    loss: float,
    target: float | None,
    seed: int,
    *,
    one_sided: bool,
) -> Interval:
    """Return the percentile bootstrap's limits of any loss."""
    generator, items = np.random.default_rng(seed), len(scores)
    draws = generator.integers(items, size=(draws_of(items), items))
    if isinstance(metric, Resampled):
        losses = metric.resampled_losses(float_scores, scores, draws)
    else:
        losses = np.array([metric.loss(float_scores[draw], scores[draw]) for draw in draws])
    if np.all(losses == losses[0]):
        return _none(_alike(items), one_sided=one_sided)
    tail = 1 - LEVEL if one_sided else (1 - LEVEL) / 2
    # What is no number may be anything.
    low = float(np.quantile(np.where(np.isnan(losses), -np.inf, losses), tail, method="lower"))
    high = float(np.quantile(np.where(np.isnan(losses), np.inf, losses), 1 - tail, method="higher"))
    with np.errstate(invalid="ignore"):
        spread = float(losses.std())
    needed = _items_to_settle(spread * math.sqrt(items), loss, target, _ONE_SIDED_Z if one_sided else Z)
    unsure = "" if math.isfinite(high) else say("resamples of the items give no finite loss")
    return Interval(
        0.0 if one_sided else low,
        high,
        "bootstrap",
        needed,
        at_least=max(low, 0.0) if one_sided else None,
        unsure=unsure,
    )


def draws_of(items: int) -> int:
    """Return how many samples a percentile bootstrap draws: RESAMPLES, fewer of many items, whose limits are the steadier."""
    return max(FEWEST_DRAWS, min(RESAMPLES, _DRAWN // items))


def items_for_target(target: float) -> int | None:
    """Return how many items are needed so that a net loss of one stays below a target in percentage points."""
    return None if target <= 0 else int(Decimal(100) // Decimal(str(target))) + 1


def _counted(metric: Metric, *scores: Scores) -> bool:
    """Whether scores are one hit or miss an item and the loss is their difference in percent."""
    if isinstance(metric, Distance) or not all(
        s.ndim > 1 and s.shape[1] == 1 and np.isin(s, (0.0, 1.0)).all() for s in scores
    ):
        return False
    before, after = (float(s.sum()) for s in scores)
    return math.isclose(metric.loss(*scores), 100 * (before - after) / len(scores[0]), abs_tol=1e-9)


def _items_to_settle(deviation: float, loss: float, target: float | None, z: float) -> int | None:
    """Return n with ``z * deviation / sqrt(n) = |target - loss|``; the deviation is that of a single item."""
    if target is None or target == loss or not math.isfinite(deviation) or not math.isfinite(loss):
        return None
    return max(1, math.ceil((z * deviation / (target - loss)) ** 2))
