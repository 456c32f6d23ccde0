"""Some items of a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from runner.dataset.item import Dataset, dataset_fingerprint
from runner.events import DataUsed, Emit


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some items of a dataset, by index."""

    dataset: Dataset
    indices: list[int]

    @property
    def fingerprint(self) -> str:
        """Return a digest of the items' contents."""
        return dataset_fingerprint(self.dataset, self.indices)

    def announce(self, context: str, emit: Emit) -> None:
        """Tell that the part is used, as ``calibration`` or ``evaluation``."""
        emit(DataUsed(self.dataset.describe(), context, len(self.indices), self.fingerprint))
