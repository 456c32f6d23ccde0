"""How often models give the same answer as another one, item by item and side by side, so that no outputs are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runner.dataset.subset import Subset
from runner.engine import BoundItem, Engine
from runner.evaluation.accuracy import Agreement
from runner.evaluation.model_outputs import NamedRunnable, Runs
from runner.evaluation.outputs import ClassScores


def differing_answers(
    exact: NamedRunnable, others: Sequence[NamedRunnable], items: Subset, engine: Engine, classes: ClassScores | None
) -> list[float] | None:
    """Return, for each other model, the share of items with another answer; None where no output is a tensor of numbers.

    Args:
        exact: the model that others are held against.
        others: with the same inputs and outputs.
        items: to run them on.
        engine: runs them.
        classes: how to read class scores, if they are classifiers.
    """
    if not exact.number_names:
        return None
    agreement = Agreement()

    def same(item: BoundItem) -> list[float]:
        reference = Runs(exact).of(item)
        return [agreement.score(Runs(other).of(item), reference, None, classes)[0] for other in others]

    return [1.0 - float(share) for share in np.mean(list(engine.each(exact, items, same)), axis=0)]
