"""Greedy search: what undoes most damage for each multiply-accumulate falls back first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from runner.search.give_back import check_give_back, given_back, most_given_back, priced_units
from runner.search.plan import InFull, Plan, Proposals, Ranking, Trial, Unit


@dataclass(frozen=True, slots=True)
class Greedy:
    """Leave float the units of most damage for their price, as few as are needed; then give back.

    The ranking's values must be damages (``sensitivity=end_to_end``). The number of units is found by doubling, then
    halving: about 2 log2 k trials where k of them have to fall back. The final plan leaves no more float than the cheapest
    one and the price of one unit, where damages are not negative and add up; it is the
    cheapest where prices are equal, too.

    Attributes:
        give_back: how many units are tried in int8 again; None for all.
    """

    give_back: int | None = None
    in_full: ClassVar[InFull] = "accepted"

    def __post_init__(self) -> None:
        check_give_back(self.give_back)

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield growing prefixes of the units in order of worth, then plans that give back."""
        return given_back(_prefixes(by_worth(ranking), all_int8.plan), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return an upper bound: doubling, halving, and the most that is given back."""
        return 2 * max(0, layers - 1).bit_length() + most_given_back(self.give_back, layers)


def by_worth(ranking: Ranking) -> list[Unit]:
    """Return the units, most damage for each multiply-accumulate first; ties in graph order."""
    damages = dict(ranking.entries)

    def worth(unit: Unit) -> float:
        return sum(damages[name] for name in unit.layers) / max(unit.macs, 1)

    return sorted(priced_units(ranking), key=worth, reverse=True)


def fallen_back(units: Sequence[Unit], count: int, start: Plan) -> Plan:
    """Return the plan in which the first ``count`` units are float."""
    return start.with_fallback(name for unit in units[:count] for name in unit.layers)


def _prefixes(units: Sequence[Unit], start: Plan) -> Proposals:
    most = len(units) - 1  # of every unit is the float model
    refused, size = 0, 1
    while size <= most and not (yield fallen_back(units, size, start)).accepted:
        refused, size = size, max(size + 1, min(2 * size, most))
    if size > most:
        return
    while size - refused > 1:
        middle = (refused + size) // 2
        if (yield fallen_back(units, middle, start)).accepted:
            size = middle
        else:
            refused = middle
