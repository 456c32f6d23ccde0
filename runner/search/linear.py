"""Linear search: one more layer of the ranking falls back at a time, until the loss is small enough."""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.plan import Proposals, Ranking, Trial


@dataclass(frozen=True, slots=True)
class Linear:
    """Walk down the ranking: as many trials as layers have to fall back, at most n - 1 for n layers.

    Finds the smallest accepted prefix also where the loss does not fall as the prefix grows, which halving may miss. A
    prefix of every layer is the float model itself and is not tried.
    """

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield the prefixes of the ranking, shortest first."""
        for length in range(1, len(ranking.layers)):
            trial = yield all_int8.plan.with_fallback(ranking.layers[:length])
            if trial.accepted:
                return

    def most_trials(self, layers: int) -> int:
        """Return the number of prefixes."""
        return max(0, layers - 1)
