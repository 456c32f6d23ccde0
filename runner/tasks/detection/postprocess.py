"""What a postprocess is: from a detector's outputs for one item to boxes in the model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runner.dataset.frame import Size
from runner.evaluation.outputs import Outputs


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes found in one item, the surest first.

    Attributes:
        corners: x1, y1, x2, y2 in pixels of the model's input, float64 of shape (n, 4).
        scores: 0..1, of shape (n,).
        classes: int64 of shape (n,).
    """

    corners: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


class Postprocess(Protocol):
    """Reads the boxes out of a detector's outputs; an instance is a value, whose fields settle the result."""

    def detections(self, outputs: Outputs, size: Size) -> Detections:
        """Return the boxes of one item.

        Args:
            outputs: of the model, by name, with their batch axis of 1.
            size: (height, width) of the model's input.

        Raises:
            ConfigError: the outputs are not those of this family; says what was expected and what they are.
        """
        ...


@runtime_checkable
class KnowsOtherHeads(Protocol):
    """A postprocess that can tell from the float model's outputs for one item that they mean something else."""

    def check(self, outputs: Outputs, size: Size) -> None:
        """Raise a ConfigError that says what was expected, what the outputs hold, and what to set."""
        ...


@runtime_checkable
class KnowsClasses(Protocol):
    """A postprocess whose head shows how many classes there are."""

    def classes_told(self, outputs: Outputs, size: Size) -> int:
        """Return how many classes the outputs tell apart."""
        ...
