"""AMCT's BinarySearch: the shortest prefix of the ranking that has to fall back."""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.plan import Plan, Proposals, Ranking, Trial
from runner.search.restore_int8 import RestoresInt8, most_restored, with_int8_restored


@dataclass(frozen=True, slots=True)
class Binary(RestoresInt8):
    """Halve the ranking: at most ceil(log2 n) trials for n layers.

    Finds the smallest accepted prefix where the loss falls as the prefix grows. A prefix of every layer is the float model
    itself and is not tried.
    """

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield prefixes of the ranking, then plans that restore int8."""
        return with_int8_restored(prefixes(ranking, all_int8.plan), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return the depth of the halving and the most that is restored."""
        return max(0, layers - 1).bit_length() + most_restored(self.give_back, layers)


def prefixes(ranking: Ranking, start: Plan) -> Proposals:
    """Yield prefixes of a ranking, falling back from ``start``, by halving."""
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
