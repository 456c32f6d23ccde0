"""AMCT's BinarySearch: the shortest prefix of the ranking that has to fall back."""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.give_back import GivesBack, given_back, most_given_back
from runner.search.plan import Plan, Proposals, Ranking, Trial


@dataclass(frozen=True, slots=True)
class Binary(GivesBack):
    """Halve the ranking: at most ceil(log2 n) trials for n layers.

    Finds the smallest accepted prefix where the loss falls as the prefix grows. A prefix of every layer is the float model
    itself and is not tried.
    """

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield prefixes of the ranking, then plans that give back."""
        return given_back(_prefixes(ranking, all_int8.plan), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return the depth of the halving and the most that is given back."""
        return max(0, layers - 1).bit_length() + most_given_back(self.give_back, layers)


def _prefixes(ranking: Ranking, start: Plan) -> Proposals:
    left, right = 0, len(ranking.layers) - 1
    while left <= right:
        middle = (left + right) // 2
        if middle == len(ranking.layers) - 1:
            return
        trial = yield start.with_fallback(ranking.layers[: middle + 1])
        if trial.accepted:
            right = middle - 1
        else:
            left = middle + 1
