"""The items whose result changed, ordered by what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.metric import JudgesTogether, Scores, TellsChanges


class HasCost(Protocol):
    """What costs something; below 0 it is a gain."""

    @property
    def cost(self) -> float:
        """Return the cost."""
        ...


C = TypeVar("C", bound=HasCost)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What became of an item.

    Attributes:
        position: of the item among those that were scored.
        cost: above 0 where it got worse, below where it got better.
        before: the float model's row, as ``TellsChanges`` takes it.
        after: the quantized model's.
    """

    position: int
    cost: float
    before: NDArray[np.float64]
    after: NDArray[np.float64]


def changes(metric: TellsChanges, float_scores: Scores, scores: Scores) -> list[Change]:
    """Return the items whose result changed, the worst first, equally bad ones in their order."""
    both = (float_scores, scores)
    if isinstance(metric, JudgesTogether):
        both = (metric.in_company(float_scores), metric.in_company(scores))
    found = list[Change]()
    for position, (before, after) in enumerate(zip(*both, strict=True)):
        cost = metric.cost(before, after)
        if cost is not None:
            # Of what is no number nothing can be said but that it changed.
            found.append(Change(position, 0.0 if math.isnan(cost) else float(cost), before, after))
    return sorted(found, key=lambda change: -change.cost)


def worth_showing(found: Sequence[C], *, most: int, gained: int) -> list[C]:
    """Return the worst of some changes, and of those that got better the best few; worst first.

    Args:
        found: ordered by what they cost.
        most: how many in all, at most.
        gained: of them the best ones, at most; more where others leave room.
    """
    if len(found) <= most:
        return list(found)
    better = [change for change in found if change.cost < 0]
    last = better[-min(gained, len(better)) :] if better and gained else []
    return [*found[: most - len(last)], *last]
