"""A model's outputs for one item, and how class scores are read from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[Any]]
OutputKind = Literal["auto", "logits", "probabilities"]

_SUM_TOLERANCE = 1e-3
SMALLEST_PROBABILITY = 1e-12
# The class that scores which hold NaN, or of another number of classes, stand for.
NO_ANSWER = -1


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Which output holds class scores, and what they are.

    Attributes:
        output: its name.
        classes: their number.
        kind: ``probabilities`` are used as they are, ``logits`` get a softmax.
    """

    output: str
    classes: int
    kind: Literal["logits", "probabilities"]

    def row(self, outputs: Outputs) -> NDArray[Any]:
        """Return one item's scores, shape (classes,)."""
        return outputs[self.output].reshape(-1)

    def has_answer(self, outputs: Outputs) -> bool:
        """Return whether there is a score for every class, and each is a number, infinite ones included."""
        row = self.row(outputs)
        return row.size == self.classes and not (row.dtype.kind == "f" and bool(np.isnan(row).any()))

    def answer(self, outputs: Outputs) -> int:
        """Return the class of the highest score, the first among equals; ``NO_ANSWER`` where there is none."""
        return int(np.argmax(self.row(outputs))) if self.has_answer(outputs) else NO_ANSWER

    def answer_and_margin(self, outputs: Outputs) -> tuple[int, float]:
        """Return the class of the highest score and how much likelier it is than the next, 0..1; 0 without an answer."""
        if not self.has_answer(outputs):
            return NO_ANSWER, 0.0
        second, first = np.partition(self.probabilities(outputs), -2)[-2:]
        return self.answer(outputs), float(first - second)

    def log_scores(self, outputs: Outputs) -> NDArray[np.float64]:
        """Return one item's scores whose differences are log odds, shape (classes,)."""
        return (
            np.log(self.probabilities(outputs))
            if self.kind == "probabilities"
            else self.row(outputs).astype(np.float64)
        )

    def probabilities(self, outputs: Outputs) -> NDArray[np.float64]:
        """Return one item's distribution, shape (classes,): at least 1e-12 each, summing to 1.

        A score that is infinite leaves nothing to finite ones; where all are minus infinity no class is likelier than another.
        Only of scores that have an answer.
        """
        row = self.row(outputs).astype(np.float64)
        top = row.max(initial=-np.inf)
        if np.isinf(top):
            row = (row == top).astype(np.float64)
        elif self.kind == "logits":
            row = np.exp(row - top)
        total = row.sum()
        # 8 bits may round every probability to 0.
        row = np.maximum(row / total if np.isfinite(total) and total != 0 else np.zeros_like(row), SMALLEST_PROBABILITY)
        return np.asarray(row / row.sum(), np.float64)


def are_distributions(array: NDArray[Any]) -> bool:
    """Return whether every row along the last axis is non-negative and sums to 1 within 1e-3."""
    if array.dtype.kind != "f" or not array.min(initial=0) >= 0:
        return False
    return bool(np.all(np.abs(array.sum(axis=-1, dtype=np.float64) - 1) <= _SUM_TOLERANCE))


def is_distribution(array: NDArray[Any]) -> bool:
    """Return whether all values together are non-negative and sum to 1 within 1e-3."""
    values = array.astype(np.float64)
    return bool(values.min() >= 0 and abs(values.sum() - 1) <= _SUM_TOLERANCE)
