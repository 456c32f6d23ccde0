"""What a dataset is: a length, items by index and a fingerprint an item."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runner.dataset.truth import Known
from runner.errors import ConfigError

# The key of an item's array when a dataset has one array and leaves the input's name to the model.
ONLY_INPUT = ""
# What is true of an item: a class index, or whatever a metric needs (a text, boxes with their classes), as plain values of
# JSON, numpy arrays, mappings of those, or values that have a ``content`` (see ``truth``); None where nothing is known.
Truth = Any


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One labelled example.

    Attributes:
        arrays: model input name -> array without batch axis, or of the input's whole shape (a recurrent state, a scalar);
            the single key ONLY_INPUT stands for the model's only input.
        label: its truth, see ``Dataset.label``.
        batch_axis: model input name -> which of its axes is the batch, None where the array has its whole shape; what is not
            named is read by the array's rank, see ``binding``.
    """

    arrays: Mapping[str, NDArray[Any]]
    label: Truth
    batch_axis: Mapping[str, int | None] = field(default_factory=dict)


class Dataset(Protocol):
    """Items by index, in a fixed order. Implementations must be safe to read from several threads."""

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def item(self, index: int) -> Item:
        """Return one preprocessed item."""
        ...

    def label(self, index: int) -> Truth:
        """Return what is true of an item, without decoding it: a class index, or what the metric needs; None without any."""
        ...

    def name(self, index: int) -> str:
        """Return what a user calls the item, such as its file name."""
        ...

    def fingerprint(self, index: int) -> str:
        """Return a digest of everything that an item's arrays depend on; the label is no part of it."""
        ...

    def describe(self) -> str:
        """Return a short name of the whole dataset for tables and logs."""
        ...


def class_of(truth: Truth) -> int | None:
    """Return the class that an item is known to be of; None where its truth is no class."""
    return int(truth) if isinstance(truth, int | np.integer) and not isinstance(truth, bool) else None


def evenly_spaced(count: int, total: int, *, key: str = "calibration.count") -> list[int]:
    """Return ``count`` indices spread evenly over ``range(total)``: data is often sorted by class.

    Raises:
        ConfigError: ``count`` is not in 1..total.
    """
    if not 1 <= count <= total:
        raise ConfigError(
            f"{key}: expected 1 to {total} (the dataset's items), got {count}. Lower it or name more data."
        )
    return [index * total // count for index in range(count)]


def dataset_fingerprint(dataset: Dataset, indices: Sequence[int]) -> str:
    """Return one digest over the fingerprints and labels of the given items, in order."""
    return digest(*(part for index in indices for part in (dataset.fingerprint(index), dataset.label(index))))


def digest(*parts: bytes | Truth) -> str:
    """Return a hex digest of parts, told apart from one another: bytes, plain values, or what may be true of an item."""
    hasher = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, default=_plain).encode()
        hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.hexdigest()


def _plain(part: Any) -> Any:  # noqa: ANN401 - what JSON does not know
    if isinstance(part, Known):
        return {"content": part.content}
    if isinstance(part, np.ndarray):
        return {"dtype": part.dtype.str, "shape": part.shape, "sha256": hashlib.sha256(part.tobytes()).hexdigest()}
    if isinstance(part, np.generic):
        return part.item()
    raise TypeError(f"expected plain values, arrays, or a value with a `content`, got {type(part).__name__}")
