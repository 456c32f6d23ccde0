"""A model's outputs for one item, and when they are the scores of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError

Outputs = Mapping[str, NDArray[Any]]
OutputKind = Literal["auto", "logits", "probabilities"]

_SUM_TOLERANCE = 1e-3
_SMALLEST = 1e-12


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

    def answer(self, outputs: Outputs) -> int:
        """Return the class of the highest score, the first among equals."""
        return int(np.argmax(self.row(outputs)))

    def answer_and_margin(self, outputs: Outputs) -> tuple[int, float]:
        """Return the class of the highest score and how much likelier it is than the next, 0..1."""
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
        """Return one item's distribution, shape (classes,): at least 1e-12 each, summing to 1."""
        row = self.row(outputs).astype(np.float64)
        if self.kind == "logits":
            row = np.exp(row - row.max())
        row = np.maximum(row / row.sum(), _SMALLEST)
        return np.asarray(row / row.sum(), np.float64)


def class_scores(
    reference: Sequence[Outputs], labels: Sequence[int | None], *, kind: OutputKind = "auto", output: str | None = None
) -> ClassScores | None:
    """Return how to read class scores from outputs, or None where the model is no classifier.

    A model counts as one when its (named, or only) output is one row an item and the data is labelled, the rows are
    distributions, or ``kind`` says so.

    Args:
        reference: the float model's outputs, an entry an item.
        labels: the items' labels.
        kind: ``auto`` decides by the rows: non-negative and summing to 1 within 1e-3 are probabilities.
        output: name of the output to read.

    Raises:
        ConfigError: the named output does not exist.
    """
    if output is not None and output not in reference[0]:
        raise ConfigError(f"metric.output: the model has no output '{output}'; it has {', '.join(reference[0])}.")
    name = output if output is not None else next(iter(reference[0])) if len(reference[0]) == 1 else None
    if name is None or not all(_is_row(item[name]) for item in reference):
        return None
    distributions = all(_is_distribution(item[name]) for item in reference)
    if kind == "auto" and not distributions and any(label is None for label in labels):
        return None
    chosen: Literal["logits", "probabilities"]
    chosen = ("probabilities" if distributions else "logits") if kind == "auto" else kind
    return ClassScores(name, reference[0][name].size, chosen)


def _is_row(array: NDArray[Any]) -> bool:
    """One row an item: [1, classes], or [1, classes, 1, 1] from a network that ends in a convolution."""
    return array.size > 1 and array.ndim > 1 and array.size in (array.shape[-1], array.shape[1])


def _is_distribution(array: NDArray[Any]) -> bool:
    values = array.astype(np.float64)
    return bool(values.min() >= 0 and abs(values.sum() - 1) <= _SUM_TOLERANCE)
