"""What an observer is: it sees a tensor item by item and says which range its codes shall cover."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runner.ranges import Range


class TensorStatistic(Protocol):
    """The statistic of one tensor, gathered in one or more passes over the items.

    ``reduce`` may run in several threads at once; ``merge`` is called once an item in the items' order, so that sums do not
    depend on timing.
    """

    def reduce(self, x: NDArray[np.float32]) -> Any:  # noqa: ANN401 - each statistic has its own
        """Return what this pass needs of one item's tensor (any shape); changes nothing."""
        ...

    def merge(self, partial: Any) -> None:  # noqa: ANN401
        """Add one item's reduction."""
        ...

    def end_pass(self) -> bool:
        """Close a pass over all items; return whether another is needed."""
        ...

    def result(self) -> Range:
        """Return the range, after the last pass."""
        ...


@runtime_checkable
class SamplingStatistic(Protocol):
    """A statistic that looks at some of an item's values, at other ones of each item."""

    def reduce_some(self, x: NDArray[np.float32], ends: Range, place: int) -> Any:  # noqa: ANN401
        """Return what this pass needs of one item's tensor, in place of ``reduce``.

        Args:
            x: the tensor.
            ends: its smallest and its largest value.
            place: of the item among the calibration items.
        """
        ...


class Observer(Protocol):
    """A way to choose ranges, with its options; makes one statistic a tensor."""

    @property
    def asymmetric(self) -> bool:
        """Whether the range may lie unevenly around zero."""
        ...

    @property
    def passes(self) -> int:
        """How often a statistic usually wants to see every item, for progress bars."""
        ...

    def start(self, items: int) -> TensorStatistic:
        """Return an empty statistic for a tensor that will be seen ``items`` times a pass."""
        ...

    def amct_params(self) -> dict[str, Any]:
        """Return the entry ``activation_quant_params`` of AMCT's config.json, in AMCT's key order."""
        ...
