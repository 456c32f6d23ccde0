"""Metrics of distance between the quantized and the float model's outputs; they need no labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from runner.evaluation.likeness import squares
from runner.evaluation.metric import Scores, below_target
from runner.evaluation.outputs import SMALLEST_PROBABILITY, ClassScores, Outputs
from runner.similarity import PairSums, sqnr_db


class Distance:
    """The float model against itself has no loss; the aggregate of the quantized scores is (or gives) the loss.

    Attributes:
        error_column: of an item's numbers, the one that is 0 for the float model itself, never below 0, and whose sum over
            items decides the loss, which grows with it. The others are the same for every model.
    """

    needs_labels = False
    error_column = 0

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target after rounding to 1e-9."""
        return below_target(self.loss(float_scores, scores), target)

    def aggregate(self, scores: Scores) -> float:
        """Return the metric over items."""
        raise NotImplementedError

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return the distance beyond the float model's own, which is none."""
        return self.aggregate(scores) - self.aggregate(float_scores)


@dataclass(frozen=True, slots=True)
class Kl(Distance):
    """Kullback-Leibler divergence of the quantized model's class distribution from the float model's, mean over items."""

    output: str | None = None
    needs_classes = True
    name = "kl"
    unit = "nats"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return ``sum p log(p / q)`` with p the float model's distribution."""
        assert classes is not None  # needs_classes
        p, q = classes.probabilities(reference), classes.probabilities(outputs)
        if not classes.has_answer(outputs):
            # No distribution: as wrong as one that rules every class out.
            q = np.full_like(p, SMALLEST_PROBABILITY)
        # Never below 0, but for the rounding of equal distributions.
        return (max(0.0, float(np.sum(p * np.log(p / q)))),)

    def aggregate(self, scores: Scores) -> float:
        """Return the mean in nats."""
        return math.fsum(scores[:, 0]) / len(scores)


@dataclass(frozen=True, slots=True)
class Sqnr(Distance):
    """Signal to quantization noise of the raw outputs: ``10 log10(sum f^2 / sum (f - q)^2)`` over all items.

    Attributes:
        ceiling_db: better than this counts as identical; the loss is what is missing to it.
        output: judge this output only.
    """

    ceiling_db: float = 60.0
    output: str | None = None
    needs_classes = False
    error_column = 1
    name = "sqnr"
    unit = "dB below the ceiling"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return (sum f^2, sum (f - q)^2)."""
        return _squares(outputs, reference, self.output)[:2]

    def aggregate(self, scores: Scores) -> float:
        """Return the ratio in dB, at most the ceiling."""
        sums = PairSums(math.fsum(scores[:, 0]), 0.0, math.fsum(scores[:, 1]), 1)
        return min(sqnr_db(sums), self.ceiling_db)

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return the dB missing to the ceiling."""
        return self.ceiling_db - self.aggregate(scores)


@dataclass(frozen=True, slots=True)
class Mse(Distance):
    """Mean squared difference of the raw outputs, in their own unit squared."""

    output: str | None = None
    needs_classes = False
    name = "mse"
    unit = "output unit squared"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return (sum (f - q)^2, number of values)."""
        return _squares(outputs, reference, self.output)[1:]

    def aggregate(self, scores: Scores) -> float:
        """Return the mean over all values of all items; of the float model's outputs, where shapes differ."""
        return math.fsum(scores[:, 0]) / max(math.fsum(scores[:, 1]), 1.0)


def _squares(outputs: Outputs, reference: Outputs, only: str | None) -> tuple[float, float, float]:
    """Return (sum f^2, sum (f - q)^2, count) over the named output or all of them."""
    ff = dd = count = 0.0
    for name in [only] if only is not None else list(reference):
        of_f, of_d, values = squares(outputs[name], reference[name])
        ff, dd, count = ff + of_f, dd + of_d, count + values
    return ff, dd, count
