"""Arrays side by side, items first: one a model input, and class numbers, if any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import ONLY_INPUT, Item, digest
from runner.dataset.preprocess import ArrayPreprocess
from runner.errors import ConfigError, DatasetError


class ArrayTable:
    """Items cut from arrays along their first axis.

    Args:
        arrays: model input name (or ONLY_INPUT) -> array of shape (items, ...).
        labels: class numbers of shape (items,), or None.
        preprocess: from a stored array to model input.
        preprocessed: names of the inputs that ``preprocess`` is for; None for all. Others stay as stored.
        titles: what the arrays are called in messages: the option, the file, the array; labels under ``LABELS``.

    Raises:
        DatasetError: an array is empty or holds no numbers, or the arrays and labels do not fit one another.
        ConfigError: ``preprocessed`` names no input.
    """

    LABELS = "\0labels"

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        labels: NDArray[Any] | None,
        preprocess: ArrayPreprocess,
        *,
        titles: Mapping[str, str],
        preprocessed: Sequence[str] | None = None,
    ) -> None:
        self._arrays = dict(arrays)
        self._labels = labels
        self._preprocess = preprocess
        self._preprocessed = set(arrays if preprocessed is None else preprocessed)
        unknown = sorted(self._preprocessed - set(arrays))
        if unknown:
            known = (
                ", ".join(name for name in arrays if name != ONLY_INPUT) or "set with dataset.inputs; there are none"
            )
            raise ConfigError(f"dataset.preprocess_inputs: no input is called '{unknown[0]}'; the inputs are {known}.")
        for name, array in self._arrays.items():
            _check_array(array, titles[name])
        first = next(iter(self._arrays))
        for name, array in self._arrays.items():
            if len(array) != len(self._arrays[first]):
                raise DatasetError(
                    f"{titles[name]} has {len(array)} items, but {titles[first]} has {len(self._arrays[first])}; "
                    "expected as many."
                )
        if labels is not None:
            _check_labels(labels, len(self), titles[self.LABELS])

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def item(self, index: int) -> Item:
        """Return one item and its label; what is not scaled keeps its stored type."""
        arrays = {
            # Not np.ascontiguousarray, which makes a vector of a number.
            name: self._preprocess(array[index]) if name in self._preprocessed else np.asarray(array[index], order="C")
            for name, array in self._arrays.items()
        }
        return Item(arrays, self.label(index))

    def label(self, index: int) -> int | None:
        """Return an item's class, or None without labels."""
        return None if self._labels is None else int(self._labels[index])

    def fingerprint(self, index: int) -> str:
        """Return a digest of the stored arrays and the preprocessing."""
        parts: list[Any] = []
        for name, array in self._arrays.items():
            row = np.ascontiguousarray(array[index])
            settings = self._preprocess.settings() if name in self._preprocessed else None
            parts += [name, row.tobytes(), [str(row.dtype), *array.shape[1:]], settings]
        return digest(*parts)


def _check_array(array: NDArray[Any], title: str) -> None:
    if array.ndim == 0 or len(array) == 0:
        raise DatasetError(f"{title} has shape {list(array.shape)}; expected at least one item.")
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{title} is {array.dtype}; expected numbers.")


def check_truth(array: NDArray[Any], items: int, title: str) -> None:
    """Refuse an array that does not tell what is true of each item.

    Args:
        array: of shape (items, ...).
        items: how many there are.
        title: what the array is called in messages.

    Raises:
        DatasetError: it has another number of items, or holds no numbers.
    """
    _check_array(array, title)
    if len(array) != items:
        raise DatasetError(f"{title} has {len(array)} items; expected {items}, as the inputs have.")


def _check_labels(labels: NDArray[Any], items: int, title: str) -> None:
    if labels.shape != (items,) or labels.dtype.kind not in "iu":
        raise DatasetError(
            f"{title} is {labels.dtype} of shape {list(labels.shape)}; expected {items} class numbers, one an item."
        )
    if labels.min() < 0:
        first = int(np.argmax(labels < 0))
        raise DatasetError(f"{title}[{first}] is {labels[first]}; expected 0 or more.")
