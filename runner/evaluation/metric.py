"""What a metric is: a few numbers an item, an aggregate, a unit, and a loss that is 0 for identical outputs.

Scores hold whatever the aggregate needs to be exact over any set of items: float64 of shape (items, k), or, where some items
have more numbers than others, an object array of shape (items,) that holds an array for each. Items index both alike.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Protocol

from numpy.typing import NDArray

from runner.dataset.item import Truth
from runner.evaluation.outputs import ClassScores, Outputs

Scores = NDArray[Any]


class Metric(Protocol):
    """A way to judge outputs. ``name`` and ``unit`` are for people; a larger loss is worse."""

    @property
    def name(self) -> str:
        """Return the metric's name in tables and files."""
        ...

    @property
    def unit(self) -> str:
        """Return the unit of the loss and the target."""
        ...

    @property
    def needs_labels(self) -> bool:
        """Whether items without a label cannot be scored."""
        ...

    @property
    def needs_classes(self) -> bool:
        """Whether only a classifier's outputs can be scored."""
        ...

    @property
    def output(self) -> str | None:
        """Return the name of the one output to judge, or None."""
        ...

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return an item's numbers, given the float model's outputs of the same item, and what is true of it."""
        ...

    def aggregate(self, scores: Scores) -> float:
        """Return the metric over items."""
        ...

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how much worse ``scores`` are than the float model's."""
        ...

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target, strictly."""
        ...


def below_target(loss: float, target: float) -> bool:
    """Return ``loss < target`` after rounding to 1e-9, for metrics that are not counted."""
    return round(loss, 9) < target


def hits_below_target(float_hits: float, hits: float, items: float, target: float) -> bool:
    """Return whether the loss in percentage points is below the target, decided on integers.

    With 1000 items and a target of 0.2 a net loss of one item is accepted and of two is not. What is no whole number is what is
    expected of items that are not scored.
    """
    return Decimal(float_hits - hits) * 100 < Decimal(str(target)) * Decimal(items)
