"""The curve against every plan of up to 6 layers."""

from __future__ import annotations

import pytest

from runner.errors import ConfigError
from runner.graph.macs import LayerCost
from runner.search.pareto import Pareto, curve_of
from runner.search.plan import SearchResult
from tests.search.small_searches import Small, additive, groups, random_small


def costs(small: Small) -> dict[str, LayerCost]:
    return {name: LayerCost(group.macs, 1) for group in small.groups for name in group.layers}


@pytest.mark.parametrize("seed", range(80))
def test_no_plan_beats_the_curve_where_contributions_add_up_and_prices_are_equal(seed: int) -> None:
    small = random_small(seed, "additive", equal_prices=True)
    result = small.run(Pareto(points=None))
    # With equal prices the greedy order is by contribution, so each prefix is the best plan of its price.
    for trial in result.trials[: len(small.groups)]:
        rivals = [t for t in map(small.trial, small.plans()) if t.float_macs == trial.float_macs]
        assert trial.loss == pytest.approx(min(rival.loss for rival in rivals))
    assert (None if result.best is None else result.best.float_macs) == small.optimum()


@pytest.mark.parametrize("kind", ["additive", "growing"])
@pytest.mark.parametrize("points", [2, 3, None])
def test_picked_plan_is_the_most_int8_one_of_the_curve_that_meets_the_target(kind: str, points: int | None) -> None:
    for seed in range(60):
        small = random_small(seed, kind)
        result = small.run(Pareto(points))
        accepted = [trial for trial in result.trials if trial.accepted]
        if result.best is None:
            assert accepted == []
        else:
            assert result.best.float_macs == min(trial.float_macs for trial in accepted)
            assert small.can_give_back(result.best.plan) == []
        assert len(result.trials) - 1 <= Pareto(points).most_trials(len(small.groups))


def test_points_are_evenly_spaced_and_the_target_is_narrowed_down() -> None:
    small = Small(groups([1] * 21), additive(range(21, 0, -1)), target=130.0)
    fallen = [len(trial.plan.fallback) for trial in small.run(Pareto(points=4, give_back=0)).trials]
    # 231 in all; the first k undo 21 + 20 + ...: 95 after 5, 155 after 10, so 6 (111) are enough.
    assert fallen == [0, 5, 10, 15, 20, 7, 6]


def test_curve_is_drawn_also_where_every_layer_may_be_int8() -> None:
    small = Small(groups([3, 2, 1]), additive([1.0, 1.0, 1.0]), target=5.0)
    result = small.run(Pareto())
    assert [len(trial.plan.fallback) for trial in result.trials] == [0, 1, 2]
    assert result.best is result.trials[0]


def test_model_of_one_layer_has_a_curve_of_one_point() -> None:
    small = Small(groups([3]), additive([1.0]), target=5.0)
    assert [point.step for point in curve_of(small.run(Pareto()), costs(small))] == [0]


@pytest.mark.parametrize("seed", range(40))
def test_points_that_nothing_beats_are_marked(seed: int) -> None:
    small = random_small(seed, "growing")
    result = small.run(Pareto(points=None))
    curve = curve_of(result, costs(small))
    assert [point.int8_share for point in curve] == sorted((point.int8_share for point in curve), reverse=True)
    assert {point.step for point in curve} == set(range(len(result.trials)))
    for point in curve:
        rivals = [p for p in curve if p.int8_share >= point.int8_share and p.loss <= point.loss]
        strictly = [p for p in rivals if p.int8_share > point.int8_share or p.loss < point.loss]
        assert point.best_of_its_price == (not strictly)
        assert point.chosen == (result.trials[point.step] is result.best)


def test_share_counts_layers_that_no_plan_speaks_of() -> None:
    small = Small(groups([30, 10]), additive([1.0, 1.0]), target=1.5)
    result = small.run(Pareto())
    curve = curve_of(result, {**costs(small), "skipped": LayerCost(60, 1)})
    assert [point.int8_share for point in curve] == [0.4, 0.3]
    assert [point.chosen for point in curve] == [False, True]


def test_model_without_multiply_accumulates_has_no_share() -> None:
    small = Small(groups([0]), additive([1.0]), target=5.0)
    result = SearchResult((small.trial(small.start),), None)
    assert curve_of(result, costs(small))[0].int8_share == 0.0


def test_fewer_than_two_points_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^strategy.points: expected 2 or more, or null for one a layer, got 1\.$"):
        Pareto(points=1)
