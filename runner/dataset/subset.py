"""Some items of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from runner.dataset.item import Dataset, digest
from runner.events import DataUsed, Emit


@dataclass(frozen=True, eq=False)
class Subset:
    """Some items of a dataset, by index, in the order in which they are looked at."""

    dataset: Dataset
    indices: Sequence[int]

    @classmethod
    def whole(cls, dataset: Dataset) -> Subset:
        """Return all items of a dataset."""
        return cls(dataset, range(len(dataset)))

    def __len__(self) -> int:
        return len(self.indices)

    def at(self, positions: Iterable[int]) -> Subset:
        """Return the items at some positions of this subset; contents that are known stay known."""
        chosen = list(positions)
        made = Subset(self.dataset, [self.indices[position] for position in chosen])
        known = self.known_contents
        return made if known is None else made.with_contents([known[position] for position in chosen])

    @property
    def known_contents(self) -> tuple[str, ...] | None:
        """The digests of the items' contents, if they have been read for them."""
        return self.__dict__.get("contents")

    def with_contents(self, contents: Sequence[str]) -> Subset:
        """Return the same items, of which the digests are known already."""
        made = Subset(self.dataset, self.indices)
        made.__dict__["contents"] = tuple(contents)
        return made

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """A digest of each item's content; the items are read for it, once."""
        return tuple(self.dataset.fingerprint(index) for index in self.indices)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all items' contents and labels."""
        indexed = zip(self.indices, self.contents, strict=True)
        return digest(*(part for index, content in indexed for part in (content, self.dataset.label(index))))

    @cached_property
    def content(self) -> str:
        """A digest of all items' contents, whatever their labels: of what depends on no label."""
        return digest(*self.contents)

    def announce(self, context: str, emit: Emit) -> None:
        """Tell that these items are used, as ``calibration`` or ``evaluation``."""
        emit(DataUsed(self.dataset.describe(), context, len(self.indices), self.fingerprint))
