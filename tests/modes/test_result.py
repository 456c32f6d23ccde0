"""What a result says of itself."""

from __future__ import annotations

import numpy as np
import pytest

from runner.dataset.subset import Subset
from runner.evaluation.accuracy import Agreement, TopK
from runner.evaluation.scores import Evaluation
from runner.modes.result import Comparison, Headline, exit_status
from tests.data import Items

NO_ITEMS = Subset(Items([]), [])


@pytest.mark.parametrize(("status", "code"), [("met", 0), ("converted", 0), ("not_met", 3)])
def test_missed_target_alone_has_an_exit_status_of_its_own(status: str, code: int) -> None:
    assert exit_status(status) == code


def test_comparison_gives_values_and_losses_under_each_metric() -> None:
    before = Evaluation({"top1": np.array([[1.0], [1.0], [0.0], [1.0]]), "agreement": np.ones((4, 1))})
    after = Evaluation({"top1": np.array([[1.0], [0.0], [1.0], [0.0]]), "agreement": np.array([[1], [0], [0], [1.0]])})
    comparison = Comparison([TopK(), Agreement()], before, after, None, Subset(Items(np.zeros(4)), [0, 1, 2, 3]))
    assert comparison.headline == Headline("top1", "percentage points", 75.0, 50.0, 25.0) and comparison.items == 4
    assert (comparison.value(TopK(), before), comparison.value(TopK(), after)) == (75.0, 50.0)
    assert (comparison.loss(TopK()), comparison.loss(Agreement())) == (25.0, 50.0)
    assert comparison.named("agreement") == Agreement() and comparison.named("kl") is None


def test_figure_of_another_judge_takes_the_headline() -> None:
    scores = Evaluation({"top1": np.ones((2, 1))})
    judged = Headline("mine", "points", 3.0, 2.0, 1.5)
    assert Comparison([TopK()], scores, scores, None, NO_ITEMS, judged).headline is judged
