"""When a quantized model's verdict is settled before every item is scored.

A trial decides whether the loss stays below the target. The items that may change that are scored first, in an order that is
fixed once one quantized model has been scored in full; every STEP items it is asked whether the others could still overturn
the verdict. They cannot where not even the worst they might do is enough: that is certain, and decided on whole hits or on
sums that only grow. Or it is so unlikely that an error is stated for it, under these assumptions:

* hits and misses: quantization moves an item's lead (see ``Counted.lead``) by noise that differs from item to item
  independently, is no larger, in the mean, on items not scored than on those scored, and whose tails are no heavier than
  exponential. Nets in the zoo have normal to exponential tails.
* sums of errors: items are drawn at random, the tenth that the first quantized model gets most wrong apart; their sum stands
  to the first model's as it does over all items, with an error that is normal and no smaller than if the two models' errors
  had nothing to do with each other. So it is with the sum of each output, of which the worst decides.

The stated error is that of one trial: it is divided among the looks and among the sums, so stopping at the first look that
settles, whichever sum that is by, is paid for.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.accuracy import Counted
from runner.evaluation.distance import Distance
from runner.evaluation.metric import Metric, Scores
from runner.evaluation.scores import Evaluation

# Items between two looks: enough of them to know the noise from.
STEP = 64
# Of the items, those that the first quantized model gets most wrong are scored whatever comes.
_CENSUS = 0.1
# In log odds; so small that only ties flip.
_NO_NOISE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What a model's scores over all items will be, as far as those scored tell.

    Attributes:
        scores: of all items; where an item is not scored, what is expected of it.
        settled: whether the verdict on them is that on the real ones, for certain or with the stated error.
    """

    scores: Scores
    settled: bool


class Forecast(Protocol):
    """Tells the scores of all items from those of the first few."""

    @property
    def order(self) -> Sequence[int]:
        """Return the positions of all items in the order in which to score them."""
        ...

    def outlook(self, seen: Evaluation) -> Outlook:
        """Return the outlook, given the scores of the first items of the order."""
        ...


def forecast(
    metric: Metric, before: Evaluation, first: Evaluation, *, target: float, confidence: float | None, seed: int = 0
) -> Forecast | None:
    """Return the forecast of trials under a metric; None for a metric of the user's, whose scores may mean anything.

    Args:
        metric: decides.
        before: the float model's scores.
        first: a quantized model's, over all items; what it gets wrong others may.
        target: the loss must stay below it.
        confidence: that a verdict called settled is right, below 1; None where it has to be certain.
        seed: of the order in which sums are sampled.
    """
    items = len(before.scores[metric.name])
    error = 0.0 if confidence is None else (1.0 - confidence) / math.ceil(items / STEP)
    if isinstance(metric, Counted):
        return HitForecast(metric, before, first, target=target, error=error)
    if isinstance(metric, Distance):
        return SumForecast(metric, metric.error_columns, before, first, target=target, error=error, seed=seed)
    return None


class HitForecast:
    """Of hits and misses: items that flip under the first quantized model, then by the float model's lead, smallest first.

    An item that is not scored is expected to come out as in the float model.

    Args:
        metric: a counted one.
        before: the float model's scores.
        first: a quantized model's, over all items.
        target: the loss must stay below it.
        error: of one look.
    """

    def __init__(self, metric: Metric, before: Evaluation, first: Evaluation, *, target: float, error: float) -> None:
        self._metric, self._target, self._error = metric, target, error
        self._before = before.scores[metric.name]
        self._leads = _leads(before)
        hit = self._before[:, 0] == 1
        stays = self._before[:, 0] == first.scores[metric.name][:, 0]
        # Nothing but scoring every miss makes a rejection certain, so where it has to be, they come early.
        early = ~hit if error == 0 else np.zeros_like(hit)
        lead = np.abs(self._leads)
        self.order: Sequence[int] = np.lexsort((np.abs(_leads(first)), lead, stays & ~early, stays)).tolist()

    def outlook(self, seen: Evaluation) -> Outlook:
        """Return the outlook, given the scores of the first items of the order."""
        scored, rest = np.split(np.asarray(self.order), [len(seen.scores[self._metric.name])])
        scores = self._before.copy()
        scores[scored] = seen.scores[self._metric.name]
        accepted = self._metric.accepts(self._before, scores, self._target)
        # Only hits still to be lost speak against acceptance, only misses still to be won against rejection.
        against = rest[self._before[rest, 0] == (1 if accepted else 0)]
        needed = self._needed(scores, against, accepted=accepted)
        if needed is None or self._error == 0:
            return Outlook(scores, settled=needed is None)
        with np.errstate(invalid="ignore"):  # infinite leads, of which nothing can be told
            noise = float(np.mean(np.abs(_leads(seen) - self._leads[scored])))
        return Outlook(scores, chance_of_flips(self._leads[against], noise, needed) <= self._error)

    def _needed(self, scores: Scores, against: NDArray[np.int64], *, accepted: bool) -> int | None:
        """Return how many of the items have to flip to overturn the verdict; None where all of them do not."""

        def overturned(count: int) -> bool:
            flipped = scores.copy()
            flipped[against[:count]] = 1 - flipped[against[:count]]
            return self._metric.accepts(self._before, flipped, self._target) != accepted

        needed = 1 + bisect_left(range(1, len(against) + 1), True, key=overturned)
        return needed if needed <= len(against) else None


def chance_of_flips(leads: NDArray[np.float64], noise: float, needed: int) -> float:
    """Return a bound on the probability that at least ``needed`` items flip.

    A lead of m flips with ``exp(-|m| / noise) / 2``, the tail of Laplace noise. With independent items the probability of k
    flips is at most the sum over all sets of k items, which is at most ``(sum of probabilities)^k / k!``.

    Args:
        leads: the items' leads without noise.
        noise: mean of the noise's magnitude; where it is not finite every item may flip.
        needed: 1 or more.
    """
    if not math.isfinite(noise):
        return 1.0
    expected = 0.5 * float(np.sum(np.exp(-np.abs(leads) / max(noise, _NO_NOISE))))
    if expected == 0:
        return 0.0
    return min(1.0, math.exp(needed * math.log(expected) - math.lgamma(needed + 1)))


class SumForecast:
    """Of sums of errors: the tenth that the first quantized model gets most wrong, then the others in random order.

    An item that is not scored is expected to be wrong by the first model's error times the ratio of the two sums so far, in
    each output on its own.

    Args:
        metric: a distance, whose errors add up.
        columns: of the errors in its scores, one an output; the loss grows with the sum of each.
        before: the float model's scores, without error.
        first: a quantized model's, over all items.
        target: the loss must stay below it.
        error: of one look.
        seed: of the order.
    """

    def __init__(
        self,
        metric: Metric,
        columns: slice,
        before: Evaluation,
        first: Evaluation,
        *,
        target: float,
        error: float,
        seed: int,
    ) -> None:
        self._metric, self._target = metric, target
        self._columns, self._before = columns, before.scores[metric.name]
        self._first: NDArray[np.float64] = first.scores[metric.name][:, columns]
        items, sums = self._first.shape
        self._error = error / sums
        worst_first = np.argsort(-_shares(self._first).max(axis=1), kind="stable")
        self._census = math.ceil(_CENSUS * items)
        rest = np.random.default_rng(seed).permutation(worst_first[self._census :])
        self.order: Sequence[int] = np.concatenate([worst_first[: self._census], rest]).tolist()

    def outlook(self, seen: Evaluation) -> Outlook:
        """Return the outlook, given the scores of the first items of the order."""
        known = seen.scores[self._metric.name]
        scored, rest = np.split(np.asarray(self.order), [len(known)])
        errors, firsts = known[:, self._columns], self._first[scored]
        # Of the census nothing is inferred while there is a sample.
        drawn = slice(self._census, None) if len(known) >= self._census + STEP else slice(None)
        a, c = firsts[drawn], errors[drawn]
        sums = a.sum(axis=0)
        ratios = np.divide(c.sum(axis=0), sums, out=np.ones_like(sums), where=sums > 0)
        expected = self._filled(scored, rest, known, ratios)
        accepted = self._accepts(expected)
        # Errors only add up.
        if not accepted and not self._accepts(self._filled(scored, rest, known, np.zeros_like(ratios))):
            return Outlook(expected, settled=True)
        left = self._first[rest].sum(axis=0)
        # Of an output in which the first model is nowhere wrong, or no more, nothing tells how wrong this one will be.
        foretold = (sums > 0) & (left > 0)
        if drawn.start is None or self._error == 0 or (accepted and not foretold.all()):
            return Outlook(expected, settled=len(rest) == 0)
        spread = np.divide(self._spread(a, c, ratios, len(rest)), left, out=np.zeros_like(left), where=foretold)
        # The loss grows with every sum, so the more each may be speaks against acceptance, the less against rejection.
        bound = ratios + spread if accepted else np.where(foretold, np.maximum(0.0, ratios - spread), 0.0)
        return Outlook(expected, self._accepts(self._filled(scored, rest, known, bound)) == accepted)

    def _spread(
        self, a: NDArray[np.float64], c: NDArray[np.float64], ratios: NDArray[np.float64], rest: int
    ) -> NDArray[np.float64]:
        """Return how far the sums over the items not scored may be from those expected, with the stated error.

        Args:
            a: the first model's errors of the items drawn, shape (items, outputs).
            c: this model's.
            ratios: of their sums, shape (outputs,).
            rest: how many items are not scored.
        """
        pool = len(a) + rest
        deviation = np.sqrt(np.sum((c - ratios * a) ** 2, axis=0) / (len(a) - 1))
        # Rare large errors that are not drawn would be missed in mean and spread alike, so it is at least the first model's.
        deviation = np.maximum(deviation, ratios * self._first.std(axis=0))
        within = NormalDist().inv_cdf(1 - self._error) * pool * math.sqrt((1 / len(a)) * rest / pool)
        return np.asarray(within * deviation, np.float64)

    def _accepts(self, scores: Scores) -> bool:
        return self._metric.accepts(self._before, scores, self._target)

    def _filled(
        self, scored: NDArray[np.int64], rest: NDArray[np.int64], known: Scores, ratios: NDArray[np.float64]
    ) -> Scores:
        # The float model's scores have the other columns, which are the same for every model.
        scores = self._before.copy()
        scores[scored] = known
        filled = scores[rest]
        filled[:, self._columns] = ratios * self._first[rest]
        scores[rest] = filled
        return scores


def _shares(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what share of each output's errors an item has; of a single output the errors, which are in the same order."""
    if errors.shape[1] == 1:
        return errors
    sums = errors.sum(axis=0)
    return np.asarray(np.divide(errors, sums, out=np.zeros_like(errors), where=sums > 0), np.float64)


def _leads(evaluation: Evaluation) -> NDArray[np.float64]:
    assert evaluation.leads is not None  # the evaluator gives them for a counted headline metric
    return np.nan_to_num(evaluation.leads, nan=0.0, posinf=np.inf, neginf=-np.inf)
