"""Some items of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from runner.dataset.item import Dataset, digest
from runner.events import DataUsed, Emit


@dataclass(frozen=True, eq=False)
class Part:
    """Some items of a dataset, by index."""

    dataset: Dataset
    indices: list[int]

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """A digest of each item's content; the items are read for it, once."""
        return tuple(self.dataset.fingerprint(index) for index in self.indices)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all items' contents and labels."""
        indexed = zip(self.indices, self.contents, strict=True)
        return digest(*(part for index, content in indexed for part in (content, self.dataset.label(index))))

    def announce(self, context: str, emit: Emit) -> None:
        """Tell that the part is used, as ``calibration`` or ``evaluation``."""
        emit(DataUsed(self.dataset.describe(), context, len(self.indices), self.fingerprint))
