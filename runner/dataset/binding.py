"""Items to model inputs: names, batch axis, types and shapes, refused with one message where they do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import ONLY_INPUT, Item
from runner.errors import DatasetError
from runner.session import InputSpec


def bind(item: Item, inputs: tuple[InputSpec, ...], *, name: str) -> dict[str, NDArray[Any]]:
    """Return feeds of batch 1 for a model's inputs.

    Where the model fixes a larger batch, the item is repeated to fill it.

    Args:
        item: arrays without batch axis.
        inputs: the model's.
        name: what the user calls the item.

    Raises:
        DatasetError: an input has no array, an array's shape does not fit, or an integer input would cut values.
    """
    arrays = dict(item.arrays)
    if set(arrays) == {ONLY_INPUT}:
        if len(inputs) != 1:
            wanted = ", ".join(spec.name for spec in inputs)
            raise DatasetError(
                f"dataset: gives one array an item, but the model has {len(inputs)} inputs: {wanted}. "
                "Set dataset.inputs to say which array is for which."
            )
        arrays = {inputs[0].name: arrays[ONLY_INPUT]}
    feeds = {}
    for spec in inputs:
        if spec.name not in arrays:
            raise DatasetError(
                f"dataset: no array for the model input '{spec.name}'; the dataset has {', '.join(arrays)}."
            )
        feeds[spec.name] = _fit(arrays[spec.name], spec, name)
    return feeds


def fixed_batch(inputs: tuple[InputSpec, ...]) -> int:
    """Return the batch size that the model fixes, or 1 where it leaves it open."""
    first = inputs[0].shape[0] if inputs and inputs[0].shape else None
    return first if first is not None and first > 1 else 1


def _fit(array: NDArray[Any], spec: InputSpec, name: str) -> NDArray[Any]:
    expected = spec.shape[1:]
    if (
        len(spec.shape) == 0
        or array.ndim != len(expected)
        or any(want is not None and want != got for want, got in zip(expected, array.shape, strict=True))
    ):
        shown = "x".join("?" if d is None else str(d) for d in expected)
        raise DatasetError(
            f"dataset: item {name} has shape {'x'.join(map(str, array.shape))}, but the model input '{spec.name}' takes "
            f"{shown} an item. Set dataset.preprocess (resize, crop, layout) to fit."
        )
    batch = _as_type(array, spec, name)[np.newaxis]
    size = spec.shape[0]
    return np.repeat(batch, size, axis=0) if size is not None and size > 1 else batch


def _as_type(array: NDArray[Any], spec: InputSpec, name: str) -> NDArray[Any]:
    """Return the array in the input's type; whole numbers are never cut or wrapped."""
    if spec.dtype.kind not in "iu" or np.can_cast(array.dtype, spec.dtype):
        return np.ascontiguousarray(array, dtype=spec.dtype)
    with np.errstate(invalid="ignore"):
        cast = np.ascontiguousarray(array, dtype=spec.dtype)
    lost = cast != array
    if lost.any():
        value = array[lost].flat[0]
        raise DatasetError(
            f"dataset: item {name} holds {value}, but the model input '{spec.name}' takes {spec.dtype}. "
            "Set dataset.preprocess to fit, or dataset.preprocess_inputs to leave this input as stored."
        )
    return cast
