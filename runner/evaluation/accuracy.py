"""Counted metrics: the share of items that come out right, in percent; a loss is in percentage points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.likeness import sqnr_of
from runner.evaluation.metric import Scores, hits_below_target
from runner.evaluation.outputs import NO_ANSWER, ClassScores, Outputs
from runner.wording import say

PERCENTAGE_POINTS = say("percentage points")


class Counted:
    """One number an item: 1 for a hit, 0 for a miss."""

    unit = PERCENTAGE_POINTS

    def aggregate(self, scores: Scores) -> float:
        """Return the share of hits in percent."""
        return 100.0 * _hits(scores) / len(scores)

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return the loss in percentage points, from whole hits."""
        return 100.0 * (_hits(float_scores) - _hits(scores)) / len(scores)

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target, decided on integers."""
        return hits_below_target(_hits(float_scores), _hits(scores), len(scores), target)

    def lead(self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None) -> float:
        """Return how far an item is from the other verdict: above 0 for a hit, below for a miss, 0 for a tie."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TopK(Counted):
    """The label is among the ``k`` highest scores; equal scores rank by class number.

    Attributes:
        k: 1 for top-1.
        output: name of the output that holds the scores; the only one by default.
    """

    k: int = 1
    output: str | None = None
    needs_labels = True
    needs_classes = True
    needs_reference = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"metric.k: expected 1 or more, got {self.k}.")

    @property
    def name(self) -> str:
        """Return ``top1``, ``top5`` …."""
        return f"top{self.k}"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return 1 where the label is among the k highest scores."""
        assert classes is not None and label is not None  # needs_classes, needs_labels
        if not classes.has_answer(outputs):
            return (0.0,)
        row: NDArray[np.float64] = classes.row(outputs).astype(np.float64)
        own = row[label]
        ahead = int(np.sum(row > own)) + int(np.sum(row[:label] == own))
        return (float(ahead < self.k),)

    def lead(self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None) -> float:
        """Return the log odds of the label against the k-th of the others; infinite with k classes or fewer."""
        assert classes is not None and label is not None  # needs_classes, needs_labels
        if not classes.has_answer(outputs):
            return -math.inf
        return _lead(classes.log_scores(outputs), label, self.k)


@dataclass(frozen=True, slots=True)
class Agreement(Counted):
    """Same answer as the float model; needs no labels.

    For a classifier the same class; where an output gives classes at several positions of an item, see ``PositionAgreement``.
    Elsewhere every output (or the named one) within ``sqnr_min`` dB of the float model's;
    of labels and other whole numbers, as large a share of equal ones (see ``likeness.counts_by_equality``).

    Attributes:
        sqnr_min: in dB.
        output: judge this output only.
    """

    sqnr_min: float = 20.0
    output: str | None = None
    needs_labels = False
    needs_classes = False
    never_negative = True
    name = "agreement"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return 1 where the answer is the float model's."""
        if classes is not None:
            return (float(classes.answer(outputs) == classes.answer(reference) != NO_ANSWER),)
        names = [self.output] if self.output is not None else list(reference)
        return (float(all(sqnr_of(outputs[n], reference[n]) >= self.sqnr_min for n in names)),)

    def lead(self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None) -> float:
        """Return the log odds of the float model's class against the next, or the dB above ``sqnr_min``.

        The latter is infinite for the float model itself, so nothing can be told there from how it changes.
        """
        if classes is not None:
            if not (classes.has_answer(outputs) and classes.has_answer(reference)):
                return -math.inf
            return _lead(classes.log_scores(outputs), classes.answer(reference), 1)
        names = [self.output] if self.output is not None else list(reference)
        return min((sqnr_of(outputs[n], reference[n]) for n in names), default=math.inf) - self.sqnr_min


@dataclass(frozen=True, slots=True)
class TiedAnswers(Counted):
    """Another answer than the float model's, which gives both classes the same score, its highest.

    Scores rounded to 8 bits often tie. The first of equals is the answer then, and which that is means nothing.
    """

    output: str | None = None
    needs_labels = False
    needs_classes = True
    name = "tied_answers"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return 1 where the answers differ and the float model's scores of the two are equal."""
        assert classes is not None  # needs_classes
        own, other = classes.answer(reference), classes.answer(outputs)
        row = classes.row(reference)
        return (float(own != other and row[own] == row[other]),)


def _lead(row: NDArray[np.float64], own: int, k: int) -> float:
    others = np.delete(row, own)
    # Python's floats: infinite scores give NaN without a warning.
    return float(row[own]) - float(np.partition(others, -k)[-k]) if k <= len(others) else math.inf


def _hits(scores: Scores) -> int:
    return int(scores[:, 0].sum())
