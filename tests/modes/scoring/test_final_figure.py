"""What items that the search never saw say of its plan."""

from __future__ import annotations

import numpy as np
import pytest

from runner.dataset.subset import Subset
from runner.evaluation.accuracy import TopK
from runner.evaluation.scores import Evaluation
from runner.evaluation.uncertainty import loss_interval
from runner.modes.result import Comparison
from runner.modes.scoring.final_figure import held_out_status
from tests.data import Items


@pytest.mark.parametrize(
    ("lost", "target", "status"),
    [
        (0, 0.2, "met"),
        (1, 0.2, "met"),  # a net loss of one in 1000 is below 0.2
        (2, 0.2, "undecided"),
        (9, 0.2, "not_met"),  # Tango: 0.47 to 1.7 points
        (9, 1.0, "met"),
        (9, 0.6, "undecided"),
    ],
)
def test_a_plan_is_refused_only_where_the_loss_is_surely_too_large(lost: int, target: float, status: str) -> None:
    before, after = np.ones((1000, 1)), np.ones((1000, 1))
    after[:lost] = 0
    comparison = Comparison(
        [TopK()],
        Evaluation({"top1": before}),
        Evaluation({"top1": after}),
        None,
        Subset(Items([]), []),
        interval=loss_interval(TopK(), before, after, target=target),
    )
    assert held_out_status(comparison, target) == status
