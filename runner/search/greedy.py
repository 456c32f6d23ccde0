"""Greedy search: what undoes most loss for each multiply-accumulate falls back first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from runner.search.plan import InFull, LayerGroup, Plan, Proposals, Ranking, Trial
from runner.search.restore_int8 import check_restored, most_restored, priced_groups, with_int8_restored


@dataclass(frozen=True, slots=True)
class Greedy:
    """Leave float the layer groups of most loss for their price, as few as are needed; then restore int8.

    The ranking's values must be loss contributions (``sensitivity=end_to_end``). The number of groups is found by doubling,
    then halving: about 2 log2 k trials where k of them have to fall back. The final plan leaves no more float than the cheapest
    one and the price of one group, where contributions are not negative and add up; it is the
    cheapest where prices are equal, too.

    Attributes:
        give_back: how many groups are tried in int8 again, those of most multiply-accumulates; None for all.
    """

    give_back: int | None = 8
    in_full: ClassVar[InFull] = "accepted"
    needs_loss_contributions: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_restored(self.give_back)

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield growing prefixes of the groups in order of worth, then plans that restore int8."""
        return with_int8_restored(_prefixes(by_worth(ranking), all_int8.plan), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return an upper bound: doubling, halving, and the most that is restored."""
        return 2 * max(0, layers - 1).bit_length() + most_restored(self.give_back, layers)


def by_worth(ranking: Ranking) -> list[LayerGroup]:
    """Return the groups, the largest loss contribution for each multiply-accumulate first; ties in graph order."""
    contributions = dict(ranking.entries)

    def worth(group: LayerGroup) -> float:
        return sum(contributions[name] for name in group.layers) / max(group.macs, 1)

    return sorted(priced_groups(ranking), key=worth, reverse=True)


def fallen_back(groups: Sequence[LayerGroup], count: int, start: Plan) -> Plan:
    """Return the plan in which the first ``count`` groups are float."""
    return start.with_fallback(name for group in groups[:count] for name in group.layers)


def _prefixes(groups: Sequence[LayerGroup], start: Plan) -> Proposals:
    most = len(groups) - 1  # of every group is the float model
    refused, size = 0, 1
    while size <= most and not (yield fallen_back(groups, size, start)).accepted:
        refused, size = size, max(size + 1, min(2 * size, most))
    if size > most:
        return
    while size - refused > 1:
        middle = (refused + size) // 2
        if (yield fallen_back(groups, middle, start)).accepted:
            size = middle
        else:
            refused = middle
