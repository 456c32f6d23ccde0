"""LossContributions by leaving out: which items, which figures, which ranking."""

from __future__ import annotations

import numpy as np
import pytest

from runner.errors import ConfigError
from runner.evaluation.scores import Evaluation
from runner.search.end_to_end import EndToEnd, LossContributions, items_that_matter, leave_one_out
from runner.search.plan import LayerGroup, Plan

GROUPS = (LayerGroup(("a",), 4), LayerGroup(("b", "c"), 6), LayerGroup(("d",), 2))
START = Plan.all_int8("abcd")


def evaluation(answers: list[tuple[int, float]] | None) -> Evaluation:
    return Evaluation({}, None if answers is None else np.array(answers, np.float64))


BEFORE = evaluation([(0, 0.9), (1, 0.3), (2, 0.1), (3, 0.2), (4, 0.8)])


@pytest.mark.parametrize(
    ("after", "count", "items"),
    [
        pytest.param([0, 1, 2, 3, 4], 2, [2, 3], id="least sure"),
        pytest.param([7, 1, 2, 3, 7], 3, [0, 2, 4], id="changed answers first, then the least sure"),
        pytest.param([7, 1, 2, 3, 7], 1, [4], id="of the changed ones the least sure"),
        pytest.param([0, 1, 2, 3, 4], 99, [0, 1, 2, 3, 4], id="all where there are no more"),
    ],
)
def test_items_that_matter(after: list[int], count: int, items: list[int]) -> None:
    # What the quantized model is sure of does not count, nor does the contribution of a classifier's item.
    quantized = evaluation([(answer, 0.5) for answer in after])
    assert items_that_matter(BEFORE, quantized, np.arange(5.0), count) == items


def test_without_classes_the_worst_items_matter_the_earlier_among_equals() -> None:
    contributions = np.array([0.1, 0.5, 0.2, 0.5, 0.0])
    assert items_that_matter(evaluation(None), evaluation(None), contributions, 3) == [1, 2, 3]
    assert items_that_matter(evaluation(None), evaluation(None), np.zeros(5), 2) == [0, 1]


def measured() -> LossContributions:
    left = {("a",): 6.0, ("b", "c"): 2.0, ("d",): 11.0}
    return leave_one_out(GROUPS, lambda group: left[group.layers], total=10.0, measure="kl", items=[3, 5])


def test_contribution_of_a_group_is_what_goes_when_it_alone_is_float() -> None:
    contributions = measured()
    assert contributions.groups == ((GROUPS[0], 4.0), (GROUPS[1], 8.0), (GROUPS[2], -1.0))
    assert contributions.worst_first == ((GROUPS[1], 8.0), (GROUPS[0], 4.0), (GROUPS[2], -1.0))
    assert [contributions.share(value) for _, value in contributions.worst_first] == [0.8, 0.4, -0.1]


def test_ranking_shares_a_groups_contribution_out_to_its_layers_and_knows_the_groups() -> None:
    ranking = measured().ranking
    assert ranking.entries == (("a", 4.0), ("b", 4.0), ("c", 4.0), ("d", -1.0))
    assert ranking.groups == GROUPS


def test_no_contribution_at_all_has_no_shares() -> None:
    contributions = leave_one_out(GROUPS, lambda group: 0.0, total=0.0, measure="kl", items=[0])
    assert [contributions.share(value) for _, value in contributions.groups] == [0.0, 0.0, 0.0]


def test_fewer_than_one_item_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^sensitivity.items: expected 1 or more, got 0\.$"):
        EndToEnd(items=0)


def test_contributions_that_are_only_shown_cost_no_more_runs_than_items_are_evaluated() -> None:
    sensitivity = EndToEnd(items=32, items_if_met=4)
    for groups, evaluated, items in ((53, 1000, 4), (97, 128, 1), (55, 20, 1), (10, 25, 2), (0, 5, 4)):
        assert sensitivity.only_shown(groups, evaluated).items == items
    assert EndToEnd(items=2).only_shown(3, 1000).items == 2


def test_search_goes_by_as_many_items_as_six_evaluations_pay_for_and_eight_at_least() -> None:
    sensitivity = EndToEnd(items=32)
    for groups, evaluated, items in ((53, 1000, 32), (53, 200, 22), (97, 128, 8), (301, 100, 8), (0, 5, 30)):
        assert sensitivity.to_search_by(groups, evaluated).items == items
    assert EndToEnd(items=4).to_search_by(97, 128).items == 4
