"""Metrics of distance between the quantized and the float model's outputs; they need no labels.

Of several outputs the worst decides: pooled by their energy, boxes in pixels would hide what becomes of scores below 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.evaluation.likeness import squares
from runner.evaluation.metric import Scores, below_target
from runner.evaluation.outputs import SMALLEST_PROBABILITY, ClassScores, Outputs
from runner.similarity import PairSums, sqnr_db
from runner.wording import say


class Distance:
    """The float model against itself has no loss, and no model has less.

    An item has the same numbers for each output. The loss is that of the worst output, and grows with the output's error,
    summed over items, in proportion to its weight.

    Attributes:
        numbers: how many an item has for each output.
        error_column: of an output's numbers, the one that is 0 for the float model itself, never below 0, and whose sum over
            items decides the loss, which grows with it. The others are the same for every model.
        weight_column: of an output's numbers, the one whose sum the error's is divided by; None for the number of items.
        never_negative: as a loss is.
    """

    name: str
    needs_labels = False
    numbers = 1
    error_column = 0
    weight_column: int | None = None
    never_negative = True

    def accepts(self, float_scores: Scores, scores: Scores, target: float) -> bool:
        """Return whether the loss is below the target after rounding to 1e-9."""
        return below_target(self.loss(float_scores, scores), target)

    def aggregate(self, scores: Scores) -> float:
        """Return the metric over items."""
        raise NotImplementedError

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return the distance beyond the float model's own, which is none."""
        return self.aggregate(scores) - self.aggregate(float_scores)

    @property
    def error_columns(self) -> slice:
        """The columns of the errors, one an output."""
        return slice(self.error_column, None, self.numbers)

    def weights(self, scores: Scores) -> NDArray[np.float64]:
        """Return each item's weight for each output, shape (items, outputs)."""
        if self.weight_column is None:
            return np.ones_like(scores[:, self.error_columns], np.float64)
        return np.asarray(scores[:, self.weight_column :: self.numbers], np.float64)

    def loss_at(self, ratio: float) -> float:
        """Return the loss of an output whose errors, summed, are so many times its weights."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Kl(Distance):
    """Kullback-Leibler divergence of the quantized model's class distribution from the float model's, mean over items."""

    output: str | None = None
    needs_classes = True
    name = "kl"
    unit = say("nats")

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

    def loss_at(self, ratio: float) -> float:
        """Return the mean itself."""
        return ratio


@dataclass(frozen=True, slots=True)
class OutputSums:
    """What an output's SQNR and mean squared error are made of, over all items (see ``likeness.squares``)."""

    signal: float
    noise: float
    values: float

    @property
    def sqnr_db(self) -> float:
        """The ratio of signal to noise in dB: infinite without noise, else 0 without signal."""
        return sqnr_db(PairSums(self.signal, 0.0, self.noise, 1))

    @property
    def mse(self) -> float:
        """The noise of a value of the float model's; where that has none, all of the noise."""
        return self.noise / max(self.values, 1.0)


@dataclass(frozen=True, slots=True)
class Sqnr(Distance):
    """Signal to quantization noise of the worst raw output: ``10 log10(sum f^2 / sum (f - q)^2)`` over all items.

    Attributes:
        ceiling_db: better than this counts as identical; the loss is what is missing to it.
        output: judge this output only.
    """

    ceiling_db: float = 60.0
    output: str | None = None
    needs_classes = False
    numbers = 3
    error_column = 1
    weight_column = 0
    name = "sqnr"
    unit = say("dB below the ceiling")

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return (signal, noise, number of values) of each output."""
        return tuple(number for sums in _squares(outputs, reference, self.output) for number in sums)

    def of_outputs(self, scores: Scores) -> list[OutputSums]:
        """Return each output's sums over items, in the order of the float model's outputs."""
        sums = [math.fsum(column) for column in scores.T]
        return [OutputSums(*sums[start : start + self.numbers]) for start in range(0, len(sums), self.numbers)]

    def aggregate(self, scores: Scores) -> float:
        """Return the lowest ratio of any output in dB, at most the ceiling."""
        return self.capped(min(sums.sqnr_db for sums in self.of_outputs(scores)))

    def capped(self, db: float) -> float:
        """Return a ratio in dB, at most the ceiling."""
        return min(db, self.ceiling_db)

    def loss(self, float_scores: Scores, scores: Scores) -> float:
        """Return the dB missing to the ceiling."""
        return self.ceiling_db - self.aggregate(scores)

    def loss_at(self, ratio: float) -> float:
        """Return the dB missing to the ceiling at a ratio of noise to signal."""
        return self.ceiling_db - self.capped(-10.0 * math.log10(ratio) if ratio > 0 else math.inf)


@dataclass(frozen=True, slots=True)
class SqnrOfEvery(Sqnr):
    """The same of all outputs, to be told beside that of a named one."""

    name = "sqnr_all"


@dataclass(frozen=True, slots=True)
class Mse(Distance):
    """Mean squared difference of the worst raw output, in its own unit squared; of labels the share that differs."""

    output: str | None = None
    needs_classes = False
    numbers = 2
    weight_column = 1
    name = "mse"
    unit = say("output unit squared")

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return (noise, number of values) of each output."""
        return tuple(number for sums in _squares(outputs, reference, self.output) for number in sums[1:])

    def aggregate(self, scores: Scores) -> float:
        """Return the largest mean of any output over all values of all items; of the float model's, where shapes differ."""
        sums = [math.fsum(column) for column in scores.T]
        return max(noise / max(values, 1.0) for noise, values in zip(sums[::2], sums[1::2], strict=True))

    def loss_at(self, ratio: float) -> float:
        """Return the mean itself."""
        return ratio


def _squares(outputs: Outputs, reference: Outputs, only: str | None) -> Iterator[tuple[float, float, float]]:
    """Yield (signal, noise, number of values) of the named output or of each."""
    for name in [only] if only is not None else list(reference):
        yield squares(outputs[name], reference[name])
