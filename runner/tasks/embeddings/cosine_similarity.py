"""How far the quantized model's outputs turn away from the float model's: a measure of embeddings that needs no labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import Truth
from runner.evaluation.accuracy import PERCENTAGE_POINTS
from runner.evaluation.distance import Distance
from runner.evaluation.metric import Scores
from runner.evaluation.outputs import ClassScores, Outputs


@dataclass(frozen=True, slots=True)
class CosineSimilarity(Distance):
    """Cosine similarity of an item's output to the float model's, mean over items, in percent; of several outputs the worst.

    Its loss is 100 less that, in percentage points: 1 - cos of 0.01, an angle of 8 degrees, is a loss of 1. An item's row is
    1 - cos of each output, its values taken as one vector: 0 for the same direction, 1 at a right angle, 2 for the opposite.

    Attributes:
        output: judge this output only.
    """

    output: str | None = None
    needs_classes = False
    name = "cosine"
    unit = PERCENTAGE_POINTS

    def score(
        self, outputs: Outputs, reference: Outputs, label: Truth, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return 1 - cos of each output; 1 where an output is of another size than the float model's, or not finite."""
        names = [self.output] if self.output is not None else list(reference)
        return tuple(_turned(outputs[name], reference[name]) for name in names)

    def aggregate(self, scores: Scores) -> float:
        """Return the mean cosine similarity of the worst output in percent."""
        worst = max((math.fsum(column) for column in scores.T), default=0.0)
        return 100.0 * (1.0 - worst / len(scores))

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return how much is missing to the float model's own similarity to itself."""
        return self.aggregate(float_scores) - self.aggregate(scores)

    def loss_at(self, ratio: float) -> float:
        """Return the loss at a mean of 1 - cos."""
        return 100.0 * ratio

    def cost(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> float | None:
        """Return by how many points the similarity of the item's worst output fell; None where none turned away."""
        return None if np.array_equal(before, after) else 100.0 * float(after.max() - before.max())

    def words(self, row: NDArray[np.float64]) -> Mapping[str, str]:
        """Return the cosine similarity of the item's worst output."""
        return {"cosine": f"{1.0 - float(row.max(initial=0.0)):.6f}"}


def _turned(output: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return 1 - cos of two outputs; 0 where they are equal, zeros and NaN included."""
    u, v = (np.asarray(array, np.float64).reshape(-1) for array in (output, reference))
    if u.shape == v.shape and np.array_equal(u, v, equal_nan=True):
        return 0.0
    u, v = _unit(u), _unit(v)
    if u.shape != v.shape or not (u.any() and v.any()):
        return 1.0
    # Not 1 - u @ v, which cancels to noise where the two nearly agree.
    difference = u - v
    return float(difference @ difference) / 2


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a vector's direction; zeros where it has none, or holds what is not finite."""
    largest = np.abs(vector).max(initial=0.0)
    if not (np.isfinite(largest) and largest > 0):
        return np.zeros_like(vector)
    scaled = vector / largest  # squares of doubles may leave what a double holds
    return np.asarray(scaled / np.sqrt(scaled @ scaled), np.float64)
