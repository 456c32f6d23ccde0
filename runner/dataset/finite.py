"""Whose fault a value is that is not finite: the data's, where an item holds one itself, or the model's."""

from __future__ import annotations

import numpy as np

from runner.dataset.item import ONLY_INPUT, Dataset
from runner.errors import DatasetError, ModelError, RunnerError


def not_finite_in(dataset: Dataset, index: int) -> str | None:
    """Return which values of an item's arrays are NaN or infinite, in words; None where all are finite."""
    found = []
    for name, array in dataset.item(index).arrays.items():
        bad = int(np.sum(~np.isfinite(array))) if array.dtype.kind in "fc" else 0
        if bad:
            found.append(f"{bad} value(s)" if name == ONLY_INPUT else f"{bad} value(s) of the input '{name}'")
    return " and ".join(found) or None


def not_finite(dataset: Dataset, index: int, tensor: str, *, what: str, remedy: str) -> RunnerError:
    """Return the error of a tensor that is not finite for an item: of the data where the item is not, else of the model.

    Args:
        dataset: of the item.
        index: which of its items.
        tensor: its name.
        what: what it is, and where it was looked at.
        remedy: what may be done about a model.
    """
    name, bad = dataset.name(index), not_finite_in(dataset, index)
    if bad is not None:
        return DatasetError(
            f"dataset: item {name} holds {bad} that are NaN or infinite, and so does {what} '{tensor}' made of it; "
            "expected finite numbers. Mend the item or leave it out."
        )
    return ModelError(
        f"model.path: {what} '{tensor}' holds NaN or infinity for the item {name}, whose own values are finite; expected "
        f"finite numbers. {remedy}"
    )
