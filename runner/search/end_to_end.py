"""Loss contributions, measured at the model's outputs: what comes back when one layer group alone is left float.

The layer-by-layer pass tells how much a layer's own output suffers; what reaches the answers is another matter. Here every
group is left out of the all-int8 plan in turn, and the outputs of a few items are compared with the float model's. The layers
are in a form in which none answers for what another one gives: leaving one out changes nothing else. Only the items that
matter are run: those whose answer changed, and those whose answer is least sure. No labels are needed. The cost is
the number of groups times the number of items, each run from the group on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.scores import Evaluation
from runner.search.plan import LayerGroup, Ranking

# The version of this stage's meaning: raise it when the same scores would give other contributions.
VERSION = 4

# More model runs than so many evaluations of all items are only made for the least number of items. Of a detector's 99 groups
# eight items find six of the eight groups that 32 find; those of a classifier over which the loss is spread out more are close
# to noise on 32 items too.
_EVALUATIONS, _LEAST_ITEMS = 6, 8


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """``sensitivity=end_to_end``.

    Attributes:
        items: how many items each group is measured on at most; all of them where there are no more.
        items_if_met: how many at most where no layer has to fall back, and contributions are only shown.
    """

    items: int = 32
    items_if_met: int = 4

    def __post_init__(self) -> None:
        for name, count in (("items", self.items), ("items_if_met", self.items_if_met)):
            if count < 1:
                raise ConfigError(f"sensitivity.{name}: expected 1 or more, got {count}.")

    def to_search_by(self, groups: int, evaluated: int) -> EndToEnd:
        """Return the sensitivity where layers fall back by it: no more runs than a few evaluations of all items, or few items.

        Args:
            groups: to measure.
            evaluated: items.
        """
        affordable = _EVALUATIONS * evaluated // max(groups, 1)
        return replace(self, items=min(self.items, max(_LEAST_ITEMS, affordable)))

    def only_shown(self, groups: int, evaluated: int) -> EndToEnd:
        """Return the sensitivity where nothing has to fall back: it runs the model for as many items as are evaluated at most.

        Args:
            groups: to measure, each on one item at least.
            evaluated: items.
        """
        return replace(self, items=max(1, min(self.items, self.items_if_met, evaluated // max(groups, 1))))


@dataclass(frozen=True, slots=True)
class LossContributions:
    """What every layer group does to the outputs.

    Attributes:
        measure: ``kl`` in nats of a classifier, else ``noise``: sum (f - q)^2 / sum f^2 of an item's worst output, 1 where
            only the second is 0; mean over the items.
        items: positions of the items among the evaluated ones.
        total: of the plan in which every group is int8.
        groups: each with how much less it is where that group alone is float; below 0 where that makes it worse.
    """

    measure: str
    items: tuple[int, ...]
    total: float
    groups: tuple[tuple[LayerGroup, float], ...]

    def share(self, contribution: float) -> float:
        """Return a contribution as a share of the total. Shares need not sum to 1: errors meet further down."""
        return contribution / self.total if self.total else 0.0

    @property
    def worst_first(self) -> tuple[tuple[LayerGroup, float], ...]:
        """The groups, the largest contribution first; ties in graph order."""
        return tuple(sorted(self.groups, key=lambda entry: -entry[1]))

    @property
    def ranking(self) -> Ranking:
        """The layers by contribution; the layers of a group have equal parts of the group's."""
        entries = [(name, part / len(group.layers)) for group, part in self.groups for name in group.layers]
        return Ranking(
            tuple(sorted(entries, key=lambda entry: -entry[1])),
            tuple(group for group, _ in self.groups),
        )


def leave_one_out(
    groups: Sequence[LayerGroup],
    loss: Callable[[LayerGroup], float],
    *,
    total: float,
    measure: str,
    items: Sequence[int],
) -> LossContributions:
    """Return what each group alone takes away from the loss.

    Args:
        groups: to leave float in turn.
        loss: of the plan in which a group alone is float, over the items, by the measure.
        total: of the plan in which every group is int8.
        measure: what the loss is.
        items: positions of the items.
    """
    parts = tuple((group, total - loss(group)) for group in groups)
    return LossContributions(measure, tuple(items), total, parts)


def items_that_matter(before: Evaluation, after: Evaluation, losses: NDArray[np.float64], count: int) -> list[int]:
    """Return the positions of the items to measure on, in ascending order.

    Of a classifier those whose answer changed, then those of the least float margin; of another model those of the
    largest loss. Ties go to the earlier item.

    Args:
        before: of the float model.
        after: of the quantized one.
        losses: of each item, shape (items,).
        count: at most so many.
    """
    if before.answers is None or after.answers is None:
        order = np.argsort(-losses, kind="stable")
    else:
        kept = before.answers[:, 0] == after.answers[:, 0]
        order = np.lexsort((before.answers[:, 1], kept))
    return sorted(int(position) for position in order[:count])
