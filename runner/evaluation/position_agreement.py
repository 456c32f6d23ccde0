"""Agreement where an output gives classes at many positions: characters of a line, tokens, places of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.accuracy import PERCENTAGE_POINTS, Agreement
from runner.evaluation.distance import Distance
from runner.evaluation.metric import Metric, Scores, hits_below_target
from runner.evaluation.output_facts import ItemFacts
from runner.evaluation.outputs import NO_ANSWER, ClassScores, OutputKind, Outputs

# [items, positions, classes]: where what the values are is not to be seen, but said, other ranks may have any order of axes.
_RANK = 3


@dataclass(frozen=True, slots=True)
class PositionAgreement(Distance):
    """Same class as the float model's, over all positions of all items; items may have more positions or fewer.

    Attributes:
        output: its last axis holds the classes.
    """

    output: str
    needs_classes = False
    numbers = 2
    weight_column = 1
    name = "agreement"
    unit = PERCENTAGE_POINTS

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return (positions of another class, positions of the float model's output); of another shape all are wrong."""
        output, float_output = outputs[self.output], reference[self.output]
        positions = float_output.size // float_output.shape[-1] if float_output.size else 0
        if output.shape != float_output.shape:
            return float(positions), float(positions)
        return float(np.count_nonzero(_answers(output) != _answers(float_output))), float(positions)

    def aggregate(self, scores: Scores) -> float:
        """Return the share of positions of the same class, in percent."""
        return 100.0 - self.loss(scores, scores)

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return the share of positions of another class, in percentage points."""
        wrong, positions = _counts(scores)
        return 100.0 * wrong / max(positions, 1.0)

    def loss_at(self, ratio: float) -> float:
        """Return the loss where so many of all positions are of another class; no more than all can be."""
        return 100.0 * min(ratio, 1.0)

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target, decided on whole positions."""
        wrong, positions = _counts(scores)
        return hits_below_target(wrong, 0, max(positions, 1.0), target)


def class_positions(facts: Sequence[ItemFacts], *, kind: OutputKind = "auto", output: str | None = None) -> str | None:
    """Return the output that gives classes at several positions of an item, along its last axis; None where none is known to.

    That is the named output, or the only one, where every row of it is a distribution for every item. Rows that sum to 1 are
    the only sign that tells them from boxes, maps and features; where ``kind`` says that the output holds class scores, any
    output of three axes is taken.

    Args:
        facts: of the float model's outputs, an entry an item.
        kind: what the user says of them.
        output: the name that the user gives.
    """
    name = output if output is not None else next(iter(facts[0])) if len(facts[0]) == 1 else None
    if name is None:
        return None
    each = [item[name] for item in facts]
    shapes = [one.shape for one in each]
    if any(len(shape) < 2 or shape[-1] < 2 for shape in shapes) or len({shape[-1] for shape in shapes}) > 1:
        return None
    if all(one.size == one.shape[-1] for one in each):
        return None  # one row an item
    if kind != "auto" and len(shapes[0]) == _RANK:
        return name
    return name if any(one.size for one in each) and all(one.rows_are_distributions for one in each) else None


def at_positions(metric: Metric, output: str | None) -> Metric:
    """Return how a metric counts where an output gives classes at several positions of an item; None: where none does."""
    return PositionAgreement(output) if isinstance(metric, Agreement) and output is not None else metric


def _answers(array: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class of the highest score at each position, the first among equals; NO_ANSWER where one is NaN."""
    rows = array.reshape(-1, array.shape[-1])
    answers = np.argmax(rows, axis=1)
    return np.where(np.isnan(rows).any(axis=1), NO_ANSWER, answers) if rows.dtype.kind == "f" else answers


def _counts(scores: Scores) -> tuple[float, float]:
    return math.fsum(scores[:, 0]), math.fsum(scores[:, 1])
