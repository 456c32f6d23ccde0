"""The scores of one item under each metric: all that is looked at is the item's own, so it can be done wherever the item is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Dataset, Truth
from runner.errors import ConfigError, RunnerError
from runner.evaluation.accuracy import Counted
from runner.evaluation.likeness import is_unlike
from runner.evaluation.metric import Metric
from runner.evaluation.model_outputs import is_finite, refuse_item_at_fault
from runner.evaluation.outputs import ClassScores, Outputs
from runner.evaluation.scores import ANSWER, LEAD, ItemScores

# The version of this stage's meaning: raise it when the same outputs would give other scores, under any metric, or more.
VERSION = 6


@dataclass(frozen=True, slots=True, eq=False)
class ItemScorer:
    """Scores a model's outputs for an item.

    Attributes:
        dataset: of the items.
        metrics: the headline one first.
        classes: how to read class scores; None where the model is no classifier.
        decides: whether the headline metric decides; otherwise what an item that is not finite gives is scored as it comes.
    """

    dataset: Dataset
    metrics: Sequence[Metric]
    classes: ClassScores | None
    decides: bool

    def score(self, index: int, outputs: Outputs, reference: Outputs | None) -> ItemScores:
        """Return the scores of a model's outputs for an item.

        Args:
            index: of the item in its dataset.
            outputs: of the model.
            reference: the float model's; None where no metric looks at them.

        Raises:
            DatasetError: the item is not finite, and a figure was to come of it.
            ConfigError: a metric of the user's fails, or gives no numbers.
        """
        if not self.metrics:
            return {}
        if self.decides:
            for name in (
                name for name, output in outputs.items() if _spoilt(output, reference[name] if reference else None)
            ):
                refuse_item_at_fault(self.dataset, index, name)
        label, known = self.dataset.label(index), reference or {}
        scores: dict[str, tuple[float, ...] | NDArray[np.float64]] = {
            metric.name: self._row(metric, index, outputs, known, label) for metric in self.metrics
        }
        if self.classes is not None:
            scores[ANSWER] = self.classes.answer_and_margin(outputs)
        headline = self.metrics[0]
        if isinstance(headline, Counted):
            scores[LEAD] = (headline.lead(outputs, known, label, self.classes),)
        return scores

    def _row(
        self, metric: Metric, index: int, outputs: Outputs, reference: Outputs, label: Truth
    ) -> tuple[float, ...] | NDArray[np.float64]:
        """Return an item's row; a fault in a metric of the user's is told as one."""
        if type(metric).__module__.partition(".")[0] == __package__.partition(".")[0]:
            row = metric.score(outputs, reference, label, self.classes)
            # Many numbers take a quarter of the memory as an array.
            return row if isinstance(row, np.ndarray) else tuple(row)
        item = self.dataset.name(index)
        try:
            row = metric.score(outputs, reference, label, self.classes)
        except RunnerError:
            raise
        except Exception as error:  # whatever the user's code comes to
            raise ConfigError(
                f"metric: {metric.name}.score failed for the item {item}: {type(error).__name__}: {error}. Mend the class."
            ) from error
        try:
            return tuple(float(number) for number in row)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"metric: {metric.name}.score gave {str(row)[:80]!r} for the item {item}; expected a sequence of numbers."
            ) from error


def _spoilt(output: NDArray[Any], reference: NDArray[Any] | None) -> bool:
    """Return whether an output is not finite where the float model's is something else, or may be."""
    if reference is None:
        return not is_finite(output)
    comparable = output.shape == reference.shape
    return comparable and not (is_finite(output) and is_finite(reference)) and is_unlike(output, reference)
