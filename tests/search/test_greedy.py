"""The greedy search against every plan of up to 6 layers."""

from __future__ import annotations

import pytest

from runner.search.binary import Binary
from runner.search.greedy import Greedy
from runner.search.linear import Linear
from runner.search.plan import LayerGroup, Plan, Ranking, Trial
from tests.search.small_searches import Small, additive, groups, random_small, searched

SEEDS = range(120)


@pytest.mark.parametrize("seed", SEEDS)
def test_cheapest_plan_is_found_where_contributions_add_up_and_prices_are_equal(seed: int) -> None:
    small = random_small(seed, "additive", equal_prices=True)
    best = small.run(Greedy(None)).best
    assert (None if best is None else best.float_macs) == small.optimum()
    others = [small.run(strategy).best for strategy in (Binary(), Binary(give_back=None), Linear())]
    assert all(other is None or (best is not None and best.float_macs <= other.float_macs) for other in others)


@pytest.mark.parametrize("seed", SEEDS)
def test_result_costs_at_most_one_group_more_than_the_cheapest_where_contributions_add_up(seed: int) -> None:
    small = random_small(seed, "additive")
    best, optimum = small.run(Greedy(None)).best, small.optimum()
    if best is not None:
        assert optimum is not None
        assert optimum <= best.float_macs <= optimum + max(group.macs for group in small.groups)


@pytest.mark.parametrize("kind", ["additive", "growing"])
def test_result_is_accepted_and_no_group_of_it_can_be_given_back(kind: str) -> None:
    found = 0
    for seed in SEEDS:
        small = random_small(seed, kind)
        best = small.run(Greedy(None)).best
        # All but the last group is the most that falls back.
        assert best is not None or not any(small.trial(plan).accepted for plan in most_float(small))
        if best is not None:
            found += 1
            assert best.loss < small.target and small.can_give_back(best.plan) == []
    assert found > 60


def most_float(small: Small) -> list[Plan]:
    """Return the largest plan of the greedy order."""
    order = sorted(small.groups, key=lambda group: worth(small, group), reverse=True)
    return [small.start.with_fallback(name for group in order[:-1] for name in group.layers)] if order[1:] else []


def worth(small: Small, group: LayerGroup) -> float:
    everything = small.loss(small.start.int8_layers)
    return (everything - small.loss(small.start.with_fallback(group.layers).int8_layers)) / group.macs


@pytest.mark.parametrize("kind", ["additive", "growing"])
def test_less_is_left_float_than_by_binary_over_many_searches(kind: str) -> None:
    greedy = binary = helped = 0
    for seed in SEEDS:
        small = random_small(seed, kind)
        ours, amcts = small.run(Greedy(None)).best, small.run(Binary()).best
        if ours is not None and amcts is not None:
            greedy, binary, helped = greedy + ours.float_macs, binary + amcts.float_macs, helped + 1
    assert helped > 60 and greedy < 0.9 * binary


def test_a_single_search_may_end_dearer_than_binarys() -> None:
    # Two cheap layers together undo more than is needed and cost more than the one that undoes just enough.
    small = Small(groups([100, 50, 55, 10]), additive([10.0, 6.0, 6.0, 0.5]), target=12.6)
    greedy, binary = small.run(Greedy(None)).best, small.run(Binary()).best
    assert greedy is not None and binary is not None
    assert (greedy.float_macs, binary.float_macs) == (105, 100) and small.optimum() == 100


def test_cheap_layer_falls_back_before_a_dear_one_of_the_same_contribution() -> None:
    small = Small(groups([90, 10, 50]), additive([1.0, 1.0, 1.0]), target=2.5)
    best = small.run(Greedy(None)).best
    assert best is not None and best.plan.fallback == ("layer1",)


@pytest.mark.parametrize("count", range(1, 34))
def test_number_of_groups_is_found_in_few_trials(count: int) -> None:
    order = groups([1] * count)
    ranking = Ranking(tuple((group.layers[0], float(count - place)) for place, group in enumerate(order)), order)
    start = Plan.all_int8(ranking.layers)
    for needed in range(1, count + 1):

        def evaluate(plan: Plan, needed: int = needed) -> Trial:
            fallen = len(plan.fallback)
            return Trial(plan, 0.0, float(count - fallen), fallen >= needed, fallen)

        result = searched(evaluate(start), ranking, Greedy(give_back=0), evaluate)
        assert (result.best is None) if needed == count else (result.best and result.best.float_macs == needed)
        made = len(result.trials) - 1
        assert made <= Greedy(give_back=0).most_trials(count)
        assert needed == count or made <= 2 * (needed - 1).bit_length() + 1


def test_layers_of_one_group_fall_back_together() -> None:
    pair = (LayerGroup(("layer0", "layer1"), 10), LayerGroup(("layer2",), 10), LayerGroup(("layer3",), 10))

    def loss(int8: tuple[str, ...]) -> float:
        # The contribution is that of the tensor they read, whichever of the two is int8.
        return (3.0 if {"layer0", "layer1"} & set(int8) else 0.0) + len({"layer2", "layer3"} & set(int8))

    small = Small(pair, loss, target=2.5)
    result = small.run(Greedy(None))
    assert result.best is not None and result.best.plan.fallback == ("layer0", "layer1")
    # Taken apart they are only where that may save something, in the end.
    apart = [("layer0" in t.plan.fallback) != ("layer1" in t.plan.fallback) for t in result.trials]
    assert apart == [False] * (len(apart) - 2) + [True, True]


def test_layer_that_is_to_blame_alone_ends_as_the_only_one_of_its_group_in_float() -> None:
    pair = (LayerGroup(("layer0", "layer1"), 10), LayerGroup(("layer2",), 10))
    small = Small(pair, lambda int8: 3.0 if "layer0" in int8 else 0.5, target=1.0)
    result = small.run(Greedy())
    assert result.best is not None and result.best.plan.fallback == ("layer0",)
