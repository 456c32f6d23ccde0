"""How many models a job ran, and on how many items: counted here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class Ledger:
    """The runs of one job's models; what was remembered was not run.

    Attributes:
        full: models that were run over all items, the float one included.
        partial: models that were run over some items only.
        items: items that any model was run on.
    """

    def __init__(self) -> None:
        self.full = self.partial = self.items = 0

    def ran(self, *, whole: bool, continued: bool = False) -> None:
        """Count a model that was run.

        Args:
            whole: over all items, some of them maybe earlier.
            continued: it was counted before, as run over some of them.
        """
        self.full += whole
        self.partial += (not whole) - continued

    def counted(self, outputs: Iterable[T]) -> Iterator[T]:
        """Yield a model's outputs, an entry an item, and count the items."""
        for each in outputs:
            self.items += 1
            yield each
