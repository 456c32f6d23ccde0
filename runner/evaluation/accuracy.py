"""Counted metrics: the share of items that come out right, in percent; a loss is in percentage points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.distance import sqnr_of
from runner.evaluation.metric import Scores, hits_below_target
from runner.evaluation.outputs import ClassScores, Outputs

PERCENTAGE_POINTS = "percentage points"


class _Counted:
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


@dataclass(frozen=True, slots=True)
class TopK(_Counted):
    """The label is among the ``k`` highest scores; equal scores rank by class number.

    Attributes:
        k: 1 for top-1.
        output: name of the output that holds the scores; the only one by default.
    """

    k: int = 1
    output: str | None = None
    needs_labels = True
    needs_classes = True

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
        row: NDArray[np.float64] = classes.row(outputs).astype(np.float64)
        own = row[label]
        # Not "row > own", which a NaN would pass as if nothing were ahead of it.
        ahead = int(np.sum(~(row <= own))) + int(np.sum(row[:label] == own))
        return (float(ahead < self.k),)


@dataclass(frozen=True, slots=True)
class Agreement(_Counted):
    """Same answer as the float model; needs no labels.

    For a classifier the same class. Elsewhere every output (or the named one) within ``sqnr_min`` dB of the float model's.

    Attributes:
        sqnr_min: in dB.
        output: judge this output only.
    """

    sqnr_min: float = 20.0
    output: str | None = None
    needs_labels = False
    needs_classes = False
    name = "agreement"

    def score(
        self, outputs: Outputs, reference: Outputs, label: int | None, classes: ClassScores | None
    ) -> tuple[float, ...]:
        """Return 1 where the answer is the float model's."""
        if classes is not None:
            return (float(classes.answer(outputs) == classes.answer(reference)),)
        names = [self.output] if self.output is not None else list(reference)
        return (float(all(sqnr_of(outputs[n], reference[n]) >= self.sqnr_min for n in names)),)


def _hits(scores: Scores) -> int:
    return int(scores[:, 0].sum())
