"""Giving back never worsens a result, and stops where it must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.search.binary import Binary
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.needs import StrategyNeeds
from runner.search.pareto import Pareto
from runner.search.plan import LayerGroup, Plan, Proposals, Ranking, Strategy, Trial
from runner.search.restore_int8 import most_restored, priced_groups, with_int8_restored
from tests.search.small_searches import Small, additive, groups, random_small, searched


@pytest.mark.parametrize("strategy", [Binary, Linear])
@pytest.mark.parametrize("kind", ["additive", "growing"])
def test_result_is_never_dearer_and_no_group_can_be_given_back(strategy: type, kind: str) -> None:
    cheaper = 0
    for seed in range(120):
        small = random_small(seed, kind)
        ranking = small.misleading(seed)
        plain, given = small.run(strategy(), ranking), small.run(strategy(give_back=None), ranking)
        # What the strategy itself tries stays what it was.
        assert given.trials[: len(plain.trials)] == plain.trials
        assert (plain.best is None) == (given.best is None)
        if plain.best is None or given.best is None:
            continue
        assert given.best.accepted and given.best.float_macs <= plain.best.float_macs
        assert set(given.best.plan.fallback) <= set(plain.best.plan.fallback)
        assert small.can_give_back(given.best.plan) == []
        cheaper += given.best.float_macs < plain.best.float_macs
    assert cheaper > 10


def test_accepted_steps_only_ever_leave_less_float() -> None:
    for seed in range(60):
        small = random_small(seed, "growing")
        plain, given = small.run(Linear()), small.run(Linear(give_back=None))
        kept = [trial.float_macs for trial in given.trials[len(plain.trials) - 1 :] if trial.accepted]
        assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("seed", range(60))
def test_a_loss_that_jumps_about_still_gives_an_accepted_plan_no_dearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    prices = rng.integers(1, 20, 6)
    known: dict[tuple[str, ...], float] = {}
    small = Small(groups(prices), lambda int8: known.setdefault(int8, float(rng.random())), target=0.4)
    plain, given = small.run(Linear()).best, small.run(Linear(give_back=None)).best
    if plain is not None:
        assert given is not None and given.accepted and given.float_macs <= plain.float_macs


@pytest.mark.parametrize("strategy", [Binary(give_back=None), Linear(give_back=2), Greedy(None), Greedy(give_back=0)])
def test_no_estimate_is_built_upon(strategy: Strategy) -> None:
    # Glances that take a plan for accepted though it is not are found out before anything is made from it.
    for seed in range(60):
        small = random_small(seed, "growing")
        ranking = small.contributions().ranking
        wrong = np.random.default_rng(seed)

        def glance(plan: Plan, small: Small = small, wrong: np.random.Generator = wrong) -> Trial:
            trial = small.trial(plan)
            return replace(trial, accepted=trial.accepted or bool(wrong.random() < 0.5), settled_after=64)

        found = searched(small.trial(small.start), ranking, strategy, small.trial, glance=glance)
        plain = small.run(strategy, ranking)
        assert [(t.plan, t.accepted) for t in found.trials] == [(t.plan, t.accepted) for t in plain.trials]
        assert found.best == plain.best


def test_prefixes_alone_are_built_upon_by_nothing() -> None:
    assert {StrategyNeeds.of(strategy).in_full for strategy in (Binary(), Linear())} == {"chosen"}
    assert StrategyNeeds.of(Pareto()).in_full == "all"


class Fixed:
    """Proposes one plan, then gives back."""

    def __init__(self, fallback: list[str], give_back: int | None) -> None:
        self.fallback, self.give_back = fallback, give_back

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        def one() -> Proposals:
            yield all_int8.plan.with_fallback(self.fallback)

        return with_int8_restored(one(), ranking, all_int8.plan, self.give_back)

    def most_trials(self, layers: int) -> int:
        return 1 + most_restored(self.give_back, layers)


@pytest.mark.parametrize(
    ("most", "tried"),
    [
        pytest.param(None, [["0", "1", "2"], ["0", "2"], ["0"], ["2"]], id="all"),
        pytest.param(2, [["0", "1", "2"], ["0", "2"], ["0"]], id="two"),
        pytest.param(0, [["0", "1", "2"]], id="none"),
    ],
)
def test_dearest_group_comes_back_first_and_the_bound_is_kept(most: int | None, tried: list[list[str]]) -> None:
    # Int8 contribution must stay below 6: layer 1 (3) comes back, layer 2 (4) or layer 0 (5) beside it and layer 3 (1) may not.
    small = Small(groups([10, 30, 20, 5]), additive([5.0, 3.0, 4.0, 1.0]), target=6.0)
    result = small.run(Fixed(["layer0", "layer1", "layer2"], most))
    assert [[name[5:] for name in trial.plan.fallback] for trial in result.trials[1:]] == tried
    assert result.best is not None and result.best.plan.fallback == (
        ("layer0", "layer1", "layer2") if most == 0 else ("layer0", "layer2")
    )


def test_group_of_two_layers_comes_back_whole_and_to_its_repaired_form() -> None:
    start = Plan((("a", "int8+strong"), ("b", "int8+strong"), ("c", "int8+strong")))
    ranking = Ranking((("c", 2.0), ("a", 1.0), ("b", 1.0)), (LayerGroup(("a", "b"), 8), LayerGroup(("c",), 3)))

    def evaluate(plan: Plan) -> Trial:
        return Trial(plan, 0.0, 1.0, "c" in plan.fallback, 8 * ("a" in plan.fallback) + 3 * ("c" in plan.fallback))

    # Binary's own prefixes go by layers, as AMCT's: the first two of c, a, b.
    result = searched(Trial(start, 0.0, 2.0, accepted=False), ranking, Fixed(["c", "a"], None), evaluate)
    assert result.best is not None
    assert result.best.plan.treatments == (("a", "int8+strong"), ("b", "int8+strong"), ("c", "float"))


def test_every_layer_is_a_group_where_no_prices_are_known() -> None:
    assert priced_groups(Ranking((("b", 2.0), ("a", 1.0)))) == (LayerGroup(("b",), 1), LayerGroup(("a",), 1))


def test_proposals_that_hold_no_accepted_plan_are_not_added_to() -> None:
    small = Small(groups([10, 20]), additive([5.0, 3.0]), target=0.5)
    assert len(small.run(Fixed(["layer0"], None)).trials) == 2


@pytest.mark.parametrize("strategy", [Binary, Linear, Greedy, Pareto])
def test_negative_bound_is_refused(strategy: type) -> None:
    with pytest.raises(ConfigError) as error:
        strategy(give_back=-1)
    assert str(error.value) == "strategy.give_back: expected 0 or more units, or null for all, got -1."


@pytest.mark.parametrize("layers", [0, 1, 2, 9])
def test_most_trials_counts_what_may_be_given_back(layers: int) -> None:
    # Groups, and the layers that they are taken apart into.
    able = 2 * max(0, layers - 1)
    for strategy in (Binary, Linear):
        plain = strategy().most_trials(layers)
        assert strategy(give_back=None).most_trials(layers) == plain + able
        assert strategy(give_back=3).most_trials(layers) == plain + min(3, able)
