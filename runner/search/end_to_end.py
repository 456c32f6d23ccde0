"""Damage measured at the model's outputs: what comes back when one unit alone is left float.

The isolated pass tells how much a layer's own output suffers; what reaches the answers is another matter. Here every unit
is left out of the all-int8 plan in turn, and the outputs of a few items are compared with the float model's. Only the items
that matter are run: those whose answer changed, and those whose answer is least sure. No labels are needed. The cost is the
number of units times the number of items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.evaluator import Evaluation
from runner.search.plan import Plan, Ranking, Unit

# The version of this stage's meaning: raise it when the same scores would give other damages.
VERSION = 2


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """``sensitivity=end_to_end``.

    Attributes:
        items: how many items each unit is measured on; all of them where there are no more.
    """

    items: int = 32

    def __post_init__(self) -> None:
        if self.items < 1:
            raise ConfigError(f"sensitivity.items: expected 1 or more, got {self.items}.")


@dataclass(frozen=True, slots=True)
class Damage:
    """What every unit does to the outputs.

    Attributes:
        measure: ``kl`` in nats of a classifier, else ``noise``: sum (f - q)^2 / sum f^2, 1 where only the second is 0; mean
            over the items.
        items: positions of the items among the evaluated ones.
        total: of the plan in which every unit is int8.
        units: each with how much less it is where that unit alone is float; below 0 where that makes it worse.
    """

    measure: str
    items: tuple[int, ...]
    total: float
    units: tuple[tuple[Unit, float], ...]

    def share(self, damage: float) -> float:
        """Return a damage as a share of the total. Shares need not sum to 1: errors meet further down."""
        return damage / self.total if self.total else 0.0

    @property
    def worst_first(self) -> tuple[tuple[Unit, float], ...]:
        """The units, most damage first; ties in graph order."""
        return tuple(sorted(self.units, key=lambda entry: -entry[1]))

    @property
    def ranking(self) -> Ranking:
        """The layers by damage; the layers of a unit have equal parts of the unit's."""
        entries = [(name, damage / len(unit.layers)) for unit, damage in self.units for name in unit.layers]
        return Ranking(
            tuple(sorted(entries, key=lambda entry: -entry[1])),
            tuple(unit for unit, _ in self.units),
        )


def leave_one_out(
    units: Sequence[Unit],
    start: Plan,
    damage: Callable[[Plan], float],
    *,
    total: float,
    measure: str,
    items: Sequence[int],
) -> Damage:
    """Return what each unit alone takes away from the damage.

    Args:
        units: to leave float in turn.
        start: the plan that the total belongs to.
        damage: of a plan over the items.
        total: ``damage(start)``.
        measure: what damage is.
        items: positions of the items.
    """
    shares = tuple((unit, total - damage(start.with_fallback(unit.layers))) for unit in units)
    return Damage(measure, tuple(items), total, shares)


def items_that_matter(before: Evaluation, after: Evaluation, damages: NDArray[np.float64], count: int) -> list[int]:
    """Return the positions of the items to measure on, in ascending order.

    Of a classifier those whose answer changed, then those of the least float margin; of another model those of the most
    damage. Ties go to the earlier item.

    Args:
        before: of the float model.
        after: of the quantized one.
        damages: of each item, shape (items,).
        count: at most so many.
    """
    if before.answers is None or after.answers is None:
        order = np.argsort(-damages, kind="stable")
    else:
        kept = before.answers[:, 0] == after.answers[:, 0]
        order = np.lexsort((before.answers[:, 1], kept))
    return sorted(int(position) for position in order[:count])


def damages_of(scores: Mapping[str, NDArray[np.float64]]) -> tuple[str, NDArray[np.float64]]:
    """Return the measure and each item's damage, shape (items,), from the scores of the usual metrics."""
    if "kl" in scores:
        return "kl", scores["kl"][:, 0]
    signal, noise = scores["sqnr"][:, 0], scores["sqnr"][:, 1]
    return "noise", np.divide(noise, signal, out=(noise > 0).astype(np.float64), where=signal > 0)
