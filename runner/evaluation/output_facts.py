"""What is remembered of a float model's outputs for an item once they are gone, and what kind of answers that says they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from runner.errors import ConfigError
from runner.evaluation.likeness import holds_labels
from runner.evaluation.outputs import ClassScores, OutputKind, Outputs, are_distributions, is_distribution


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """Facts of one output for one item.

    Attributes:
        shape: of the array.
        dtype: numpy's name of its type, such as ``<f4``.
        has_nan: whether a value is NaN.
        has_signal: whether a value is not 0.
        is_distribution: whether it is one row, and a distribution.
        rows_are_distributions: whether every row along the last axis is one.
    """

    shape: tuple[int, ...]
    dtype: str
    has_nan: bool
    has_signal: bool
    is_distribution: bool
    rows_are_distributions: bool

    @property
    def size(self) -> int:
        """How many values there are."""
        return math.prod(self.shape)

    @property
    def holds_labels(self) -> bool:
        """Whether values count by equality, see ``likeness``."""
        return holds_labels(np.dtype(self.dtype))

    @property
    def is_row(self) -> bool:
        """Whether it is one row: [1, classes], or [1, classes, 1, 1] from a network that ends in a convolution."""
        return _is_row(self.shape)


# Of each output, by name.
ItemFacts = Mapping[str, OutputFacts]


def facts_of(outputs: Outputs) -> ItemFacts:
    """Return the facts of one item's outputs."""
    return {name: _facts(array) for name, array in outputs.items()}


def _facts(array: NDArray[Any]) -> OutputFacts:
    with np.errstate(invalid="ignore"):
        return OutputFacts(
            array.shape,
            array.dtype.str,
            has_nan=array.dtype.kind == "f" and bool(np.isnan(array).any()),
            has_signal=bool(np.any(array)),
            is_distribution=_is_row(array.shape) and is_distribution(array),
            rows_are_distributions=array.ndim > 0 and are_distributions(array),
        )


def _is_row(shape: tuple[int, ...]) -> bool:
    size = math.prod(shape)
    return size > 1 and len(shape) > 1 and size in (shape[-1], shape[1])


def class_scores(
    facts: Sequence[ItemFacts], labels: Sequence[int | None], *, kind: OutputKind = "auto", output: str | None = None
) -> ClassScores | None:
    """Return how to read class scores from outputs, or None where the model is no classifier.

    A model counts as one when its (named, or only) output is one row an item and the data is labelled, the rows are
    distributions, or ``kind`` says so.

    Args:
        facts: of the float model's outputs, an entry an item.
        labels: the items' labels.
        kind: ``auto`` decides by the rows: non-negative and summing to 1 within 1e-3 are probabilities.
        output: name of the output to read.

    Raises:
        ConfigError: the named output does not exist.
    """
    if output is not None and output not in facts[0]:
        raise ConfigError(f"metric.output: the model has no output '{output}'; it has {', '.join(facts[0])}.")
    name = output if output is not None else next(iter(facts[0])) if len(facts[0]) == 1 else None
    if name is None or not all(item[name].is_row for item in facts):
        return None
    if len({item[name].size for item in facts}) > 1:
        # Rows of several lengths are no scores of the same classes.
        return None
    distributions = all(item[name].is_distribution for item in facts)
    if kind == "auto" and not distributions and any(label is None for label in labels):
        return None
    chosen: Literal["logits", "probabilities"]
    chosen = ("probabilities" if distributions else "logits") if kind == "auto" else kind
    return ClassScores(name, facts[0][name].size, chosen)
