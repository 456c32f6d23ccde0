"""The measure of regression and of keypoints: the mean distance of numbers from the true ones, in the output's own unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Truth
from runner.errors import ConfigError
from runner.evaluation.metric import Scores, below_target
from runner.evaluation.outputs import ClassScores, Outputs

_EXPECTED = "arrays by the outputs' names (dataset=npz with dataset.truth={output: array})"


@dataclass(frozen=True, slots=True)
class MeanAbsoluteError:
    """Mean of |output - truth| over all values of all items that are annotated.

    Outputs are pooled: each value counts as much as any other, so name the outputs of one unit with ``outputs``. NaN in the
    truth is not annotated, as a keypoint that is hidden; where nothing is, the error is 0. An answer that is no finite number
    is infinitely wrong, as is an output of another size. Its loss is below 0 where the quantized model does better.

    An item's row is ``(sum of |output - truth|, annotated values)`` of each judged output, in the order of ``outputs``, or else
    of the truth.

    Attributes:
        outputs: names of the outputs to judge; None for all that the truth has.
    """

    outputs: list[str] | None = None
    name = "mae"
    unit = "output units"
    needs_labels = True
    needs_classes = False
    needs_reference = False
    output = None

    def __post_init__(self) -> None:
        if self.outputs is not None and (not self.outputs or len(set(self.outputs)) < len(self.outputs)):
            raise ConfigError(f"metric.outputs: expected null or names of outputs, each once, got {self.outputs}.")

    def why_not(self, truth: Truth) -> str | None:
        """Return what was expected of a truth that has no arrays, or not those of the judged outputs."""
        if not isinstance(truth, Mapping) or not truth:
            return _EXPECTED
        missing = [name for name in self._names(truth) if name not in truth]
        return f"{_EXPECTED}, among them '{missing[0]}' of metric.outputs" if missing else None

    def check_outputs(self, outputs: Outputs, truth: Truth) -> None:
        """Refuse outputs that the truth cannot be held against.

        Raises:
            ConfigError: an output is missing or of another size than its truth; says what to set.
        """
        for name in self._names(truth):
            true = np.asarray(truth[name])
            if name not in outputs:
                listed = ", ".join(f"'{each}' {list(array.shape)}" for each, array in outputs.items())
                raise ConfigError(
                    f"metric=mae: the truth is of an output '{name}' {list(true.shape)}; the model has {listed}. Say with "
                    "dataset.truth={output: array} which array is whose."
                )
            if outputs[name].size != true.size:
                raise ConfigError(
                    f"metric=mae: the output '{name}' has the shape {list(outputs[name].shape)}; its truth has "
                    f"{list(true.shape)}, expected as many values. Store the truth items first, as the output has them, or "
                    "judge other outputs with metric.outputs=[NAME]."
                )

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return (sum of errors, annotated values) of each judged output."""
        return tuple(number for name in self._names(label) for number in _errors(outputs.get(name), label[name]))

    def aggregate(self, scores: Scores) -> float:
        """Return the mean absolute error; NaN where nothing is annotated."""
        errors, values = _sums(scores).sum(axis=0)
        return _mean(errors, values) if values else math.nan

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how much larger the mean error is; infinite where an answer is no number that was one."""
        before, after = self.aggregate(float_scores), self.aggregate(scores)
        return 0.0 if before == after or math.isnan(after) else after - before

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target."""
        return below_target(self.loss(float_scores, scores), target)

    def figures(self, scores: Scores) -> Mapping[str, float]:
        """Return each output's own mean absolute error, where ``outputs`` names several."""
        if self.outputs is None or len(self.outputs) < 2:
            return {}
        columns = np.array([list(row) for row in scores], np.float64).sum(axis=0).reshape(-1, 2)
        return {f"mae_{name}": _mean(*each) for name, each in zip(self.outputs, columns, strict=True)}

    def resampled_losses(self, float_scores: Scores, scores: Scores, draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the loss over each draw of items; see ``Resampled``."""
        before, after = (_sums(each)[draws].sum(axis=1) for each in (float_scores, scores))
        with np.errstate(invalid="ignore"):
            lost = after[:, 0] / np.maximum(after[:, 1], 1.0) - before[:, 0] / np.maximum(before[:, 1], 1.0)
        # Infinite before and after.
        return np.asarray(np.where(np.isnan(lost), 0.0, lost), np.float64)

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return by how much the item's own mean error rose; None where it did not change."""
        return None if np.array_equal(before, after) else self.loss(before[np.newaxis], after[np.newaxis])

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return the item's own mean error, and of how many values."""
        errors, values = _sums(row[np.newaxis])[0]
        return {"mae": f"{_mean(errors, values):.4g}", "values": str(int(values))}

    def _names(self, truth: Mapping[str, Any]) -> list[str]:
        return list(truth) if self.outputs is None else self.outputs


def _errors(output: NDArray[Any] | None, truth: NDArray[Any]) -> tuple[float, float]:
    """Return the sum of |output - truth| over annotated values, and how many they are."""
    true = np.asarray(truth, np.float64).reshape(-1)
    annotated = ~np.isnan(true)
    count = float(np.count_nonzero(annotated))
    if not count:
        return 0.0, 0.0
    if output is None or output.size != true.size:
        return math.inf, count
    with np.errstate(invalid="ignore", over="ignore"):
        away = np.abs(np.asarray(output, np.float64).reshape(-1)[annotated] - true[annotated])
        total = float(away.sum())
    return (math.inf if math.isnan(total) else total), count


def _sums(scores: Scores) -> NDArray[np.float64]:
    """Return (sum of errors, annotated values) of each item over its outputs, shape (items, 2)."""
    return np.array([np.asarray(row, np.float64).reshape(-1, 2).sum(axis=0) for row in scores]).reshape(-1, 2)


def _mean(errors: float, values: float) -> float:
    return float(errors) / max(float(values), 1.0)
