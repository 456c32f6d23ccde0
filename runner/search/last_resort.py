"""What is tried where a strategy has found nothing: along one ranking all that halving or walking it could find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from runner.search.binary import prefixes
from runner.search.plan import InFull, Plan, Proposals, Ranking, Trial
from runner.search.restore_int8 import most_restored, with_int8_restored


@dataclass(frozen=True, slots=True)
class LastResort:
    """Halve the ranking; where that finds nothing, walk it from its far end, where most is float; then restore int8.

    Where the loss does not fall as a prefix grows, halving may pass over a plan that is accepted. Walking does not, and the
    longest prefixes are the likeliest to be accepted.
    """

    in_full: ClassVar[InFull] = "accepted"

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        """Yield prefixes of the ranking, then plans that restore int8."""
        return with_int8_restored(_every_prefix(ranking, all_int8.plan), ranking, all_int8.plan, None)

    def most_trials(self, layers: int) -> int:
        """Return the depth of the halving, every prefix, and the most that is restored."""
        able = max(0, layers - 1)
        return able.bit_length() + able + most_restored(None, layers)


def _every_prefix(ranking: Ranking, start: Plan) -> Proposals:
    found = False
    halving = prefixes(ranking, start)
    try:
        plan = next(halving)
        while True:
            trial = yield plan
            found = found or trial.accepted
            plan = halving.send(trial)
    except StopIteration:
        pass
    for size in range(len(ranking.layers) - 1, 0, -1):
        if found:
            return
        found = (yield start.with_fallback(ranking.layers[:size])).accepted
