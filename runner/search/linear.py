"""Linear search: one more layer of the ranking falls back at a time, until the loss is small enough."""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.plan import Plan, Proposals, Ranking, Trial
from runner.search.restore_int8 import RestoresInt8, most_restored, with_int8_restored


@dataclass(frozen=True, slots=True)
class Linear(RestoresInt8):
    """Walk down the ranking: as many trials as layers have to fall back, at most n - 1 for n layers.

    Finds the smallest accepted prefix also where the loss does not fall as the prefix grows, which halving may miss. A
    prefix of every layer is the float model itself and is not tried.
    """

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield the prefixes of the ranking, shortest first, then plans that restore int8."""
        return with_int8_restored(_prefixes(ranking, all_int8.plan), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return the number of prefixes and the most that is restored."""
        return max(0, layers - 1) + most_restored(self.give_back, layers)


def _prefixes(ranking: Ranking, start: Plan) -> Proposals:
    for length in range(1, len(ranking.layers)):
        trial = yield start.with_fallback(ranking.layers[:length])
        if trial.accepted:
            return
