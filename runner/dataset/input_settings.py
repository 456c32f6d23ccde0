"""What a user says of the model's inputs beside a dataset: where their batch axis is, and which are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from runner.dataset.decoded import KeepsPixels
from runner.dataset.fitting import FitsInputs
from runner.dataset.item import Dataset, Item, Truth, digest
from runner.session import InputSpec
from runner.store.store import Store


@runtime_checkable
class FixesInputs(Protocol):
    """A dataset that gives values to inputs of the model, once and for all items."""

    @property
    def constants(self) -> Mapping[str, Any]:
        """Return model input -> its value: a number, or a list of them, of lists …."""
        ...


class InputSettings:
    """A dataset with what its user says of the model's inputs.

    Args:
        dataset: gives the items.
        batch_axis: model input -> which of its axes is the batch, None where items bring its whole shape; wins over what an
            item says itself.
        constants: model input -> the value that it is fixed at; the written models do not have that input.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_axis: Mapping[str, int | None] = MappingProxyType({}),
        constants: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.dataset = dataset
        self.batch_axis = dict(batch_axis)
        self.constants: Mapping[str, Any] = dict(constants)

    def __len__(self) -> int:
        return len(self.dataset)

    def item(self, index: int) -> Item:
        """Return an item of the dataset, with its inputs' batch axes."""
        item = self.dataset.item(index)
        return replace(item, batch_axis={**item.batch_axis, **self.batch_axis})

    def label(self, index: int) -> Truth:
        """Return an item's label."""
        return self.dataset.label(index)

    def name(self, index: int) -> str:
        """Return what the dataset calls an item."""
        return self.dataset.name(index)

    def fingerprint(self, index: int) -> str:
        """Return a digest of the item and its batch axes; constants are a matter of the model."""
        own = self.dataset.fingerprint(index)
        return digest(own, sorted(self.batch_axis.items())) if self.batch_axis else own

    def describe(self) -> str:
        """Return the dataset's name."""
        return self.dataset.describe()

    def fit_to(self, inputs: Sequence[InputSpec]) -> list[str]:
        """Have the dataset settle what it leaves open, if it does."""
        return self.dataset.fit_to(inputs) if isinstance(self.dataset, FitsInputs) else []

    def keep_in(self, store: Store) -> None:
        """Keep decoded pixels in a store, if there are any."""
        if isinstance(self.dataset, KeepsPixels):
            self.dataset.keep_in(store)


def beneath(dataset: Dataset) -> Dataset:
    """Return the dataset that was given, beneath what is said of the model's inputs."""
    return dataset.dataset if isinstance(dataset, InputSettings) else dataset


def constants_of(dataset: Dataset) -> Mapping[str, Any]:
    """Return the inputs that a dataset fixes."""
    return dataset.constants if isinstance(dataset, FixesInputs) else {}
