"""Linear search: one more layer of the ranking falls back at a time, until the loss is small enough."""

from __future__ import annotations

from dataclasses import dataclass

from runner.search.give_back import check_give_back, given_back, most_given_back
from runner.search.plan import InFull, Plan, Proposals, Ranking, Trial


@dataclass(frozen=True, slots=True)
class Linear:
    """Walk down the ranking: as many trials as layers have to fall back, at most n - 1 for n layers.

    Finds the smallest accepted prefix also where the loss does not fall as the prefix grows, which halving may miss. A
    prefix of every layer is the float model itself and is not tried.

    Attributes:
        give_back: how many units of that prefix are tried in int8 again; 0 for none, as AMCT; None for all.
    """

    give_back: int | None = 0

    def __post_init__(self) -> None:
        check_give_back(self.give_back)

    @property
    def in_full(self) -> InFull:
        """Where units are given back every accepted trial: each step starts from one."""
        return "accepted" if self.give_back != 0 else "chosen"

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield the prefixes of the ranking, shortest first, then plans that give back."""
        return given_back(_prefixes(ranking, all_int8.plan), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        """Return the number of prefixes and the most that is given back."""
        return max(0, layers - 1) + most_given_back(self.give_back, layers)


def _prefixes(ranking: Ranking, start: Plan) -> Proposals:
    for length in range(1, len(ranking.layers)):
        trial = yield start.with_fallback(ranking.layers[:length])
        if trial.accepted:
            return
