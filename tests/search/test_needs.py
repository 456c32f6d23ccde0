"""What strategies and sensitivities say that they need."""

from __future__ import annotations

from typing import Any

import pytest

from runner.search.binary import Binary
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.needs import StrategyNeeds
from runner.search.pareto import Pareto
from runner.search.plan import Proposals, Ranking, Trial


class Silent:
    """A strategy that has the protocol's methods and says nothing of itself."""

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        yield all_int8.plan

    def most_trials(self, layers: int) -> int:
        return 1


class Talking(Silent):
    always, in_full, needs_loss_contributions = True, "accepted", True


@pytest.mark.parametrize(
    ("strategy", "needs"),
    [
        (Silent(), StrategyNeeds()),
        (Talking(), StrategyNeeds(always=True, in_full="accepted", loss_contributions=True)),
        (Binary(), StrategyNeeds()),
        (Linear(), StrategyNeeds()),
        (Binary(give_back=None), StrategyNeeds(in_full="accepted")),
        (Linear(give_back=3), StrategyNeeds(in_full="accepted")),
        (Greedy(None), StrategyNeeds(in_full="accepted", loss_contributions=True)),
        (Pareto(), StrategyNeeds(always=True, in_full="all", loss_contributions=True)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attributes_beside_the_methods_say_what_a_strategy_needs(strategy: Any, needs: StrategyNeeds) -> None:
    assert StrategyNeeds.of(strategy) == needs
