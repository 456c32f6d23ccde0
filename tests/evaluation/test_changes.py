"""The items that changed, in the order of their cost, and which of them are worth showing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.changes import changes, worth_showing
from runner.tasks.embeddings.retrieval import Retrieval


class Difference:
    """Tells how much the only number of a row rose."""

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        return None if before[0] == after[0] else float(after[0] - before[0])

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        return {"number": str(row[0])}


def found(*rises: float) -> list:
    return changes(Difference(), np.zeros((len(rises), 1)), np.array(rises)[:, np.newaxis])


def test_the_worst_comes_first_and_what_did_not_change_is_left_out() -> None:
    assert [(each.position, each.cost) for each in found(1, 0, 3, -2, 3)] == [(2, 3), (4, 3), (0, 1), (3, -2)]


def test_a_cost_that_is_no_number_counts_as_none() -> None:
    assert [(each.position, each.cost) for each in found(-1, np.nan, 2)] == [(2, 2), (1, 0), (0, -1)]


def test_the_worst_are_shown_and_the_best_few_of_those_that_got_better() -> None:
    all_of_them = found(*range(-5, 10))
    assert [each.cost for each in worth_showing(all_of_them, most=6, gained=2)] == [9, 8, 7, 6, -4, -5]
    assert worth_showing(all_of_them[:4], most=6, gained=2) == all_of_them[:4]
    assert [each.cost for each in worth_showing(found(*range(1, 9)), most=3, gained=2)] == [8, 7, 6]


def test_what_an_item_is_among_the_others_is_asked_of_all_together() -> None:
    before = np.array([[0, 1, 0], [0, 0.9, 0.1], [1, 0, 1], [1, 0.1, 0.9]])
    after = before.copy()
    after[3, 1:] = [0.99, 0.01]
    metric = Retrieval()
    # The fourth moved in among the others' class: it finds none of its own, and nor do those whose own rows are as before.
    lost = changes(metric, before, after)
    assert [(each.position, each.cost) for each in lost] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert [metric.words(each.before) for each in lost] == [{"found_in_1": "yes"}] * 4
    assert [metric.words(each.after) for each in lost] == [{"found_in_1": "no"}] * 4
    assert changes(metric, before, before) == []
