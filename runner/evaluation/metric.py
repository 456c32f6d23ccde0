"""What a metric is: a row of numbers an item, an aggregate, a unit, and a loss that is 0 for identical outputs.

An item's row holds whatever the aggregate needs to be exact over any set of items: a hit, sums, every detection with what it
was matched to. Rows are small and kept; outputs are not. Scores are the rows of several items: float64 of shape (items, k), or,
where some items have more numbers than others, an object array of shape (items,) that holds an array for each. Items index both
alike.

``Metric`` is what every metric has. What only some have is a protocol of its own below, or one of these attributes:

* ``needs_reference = False``: the float model's outputs are not looked at, and need not be at hand.
* ``counts_items``: whether its loss is one of whole items, in percentage points.
* ``never_negative = True``: no model does better than the float one, which is what the metric compares with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import numpy as np
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
        """Whether items of which nothing is known to be true cannot be scored."""
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
    ) -> Sequence[float] | NDArray[np.float64]:
        """Return an item's row, given the float model's outputs of the same item, and what is true of it.

        It is called from several threads, and changes nothing.
        """
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


@runtime_checkable
class KnowsTruth(Protocol):
    """A metric that needs a truth of its own kind."""

    def why_not(self, truth: Truth) -> str | None:
        """Return what was expected of a truth that cannot be scored, as ``boxes (dataset=coco or dataset=yolo)``; else None."""
        ...


@runtime_checkable
class ChecksOutputs(Protocol):
    """A metric that can tell from the float model's outputs for one item that it cannot be used."""

    def check_outputs(self, outputs: Outputs, truth: Truth) -> None:
        """Raise a ConfigError that says what is expected of the outputs, what they are, and what to set."""
        ...


@runtime_checkable
class MoreFigures(Protocol):
    """A metric that tells more than the figure that decides: ``AP50`` beside AP, exact lines beside errors."""

    def figures(self, scores: Scores) -> Mapping[str, float]:
        """Return further figures of the same rows by name, in the order in which to show them."""
        ...


@runtime_checkable
class FiguresByClass(Protocol):
    """A metric that is a mean over classes, or close to one."""

    def by_class(self, scores: Scores) -> Mapping[int, float]:
        """Return the figure of each class that occurs in the truth, by the class's number, ascending."""
        ...


@runtime_checkable
class Resampled(Protocol):
    """A metric whose loss over resampled items comes quicker than by aggregating each draw anew."""

    def resampled_losses(self, float_scores: Scores, scores: Scores, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss over each draw of items, shape (draws,).

        Args:
            float_scores: of the float model, an entry an item.
            scores: of the quantized model, the same items.
            draws: positions of items, with repetitions, shape (draws, items).
        """
        ...


@runtime_checkable
class TellsChanges(Protocol):
    """A metric that says, in its task's own words, what an item's row means and what a change of it costs."""

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return what the change of an item's row costs, above 0 where the item got worse; None where nothing changed."""
        ...

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return what a row says as the columns of a table: the text read, ``3 of 4 found, 1 false``."""
        ...


@runtime_checkable
class JudgesTogether(Protocol):
    """A metric that tells changes, and whose row of an item says nothing alone: what became of it depends on the others."""

    def in_company(self, scores: Scores) -> Scores:
        """Return a row an item that says what became of it among all; ``TellsChanges`` is asked of these."""
        ...


@runtime_checkable
class ShowsAnswers(Protocol):
    """A metric whose rows do not hold what a model answered, where people want to see it: the class of each pixel."""

    def answer(self, outputs: Outputs, truth: Truth, side: int) -> NDArray[np.int32]:
        """Return the class of each pixel as it is held against the truth, shape (height, width).

        Args:
            outputs: of a model for one item.
            truth: of the item.
            side: the most pixels a side; of a larger mask as ``shown_pixels`` chooses them.
        """
        ...


def needs_reference(metric: Metric) -> bool:
    """Return whether a metric looks at the float model's outputs; of those that do not say, it is assumed."""
    return bool(getattr(metric, "needs_reference", True))


def below_target(loss: float, target: float) -> bool:
    """Return ``loss < target`` after rounding to 1e-9, for metrics that are not counted."""
    return round(loss, 9) < target


def hits_below_target(float_hits: float, hits: float, items: float, target: float) -> bool:
    """Return whether the loss in percentage points is below the target, decided on integers.

    With 1000 items and a target of 0.2 a net loss of one item is accepted and of two is not. What is no whole number is what is
    expected of items that are not scored.
    """
    return Decimal(float_hits - hits) * 100 < Decimal(str(target)) * Decimal(items)
