"""Items to model inputs: names, batch axis, types and shapes, refused with one message where they do not fit.

How an item's array meets an input of rank r, where ``Item.batch_axis`` says nothing of that input:

| the array's rank | it is |
| --- | --- |
| r, every size fits | the input's whole shape, fed as it is: a recurrent state, a graph's nodes, a scalar |
| r - 1, the sizes behind the first axis fit | one row: the first axis is the batch and gets the size 1 |
| the same, and the model fixes a batch of n > 1 | one row, repeated n times; the first row of the outputs counts |
| anything else | refused |

No array fits two of them. A first axis of a fixed size n > 1 is the model's batch only where it is that of every input (scalars
aside): the layers of a recurrent state are none, and one layer's state is never repeated for the others. ``batch_axis`` says
of an input which axis the batch is, or None that items bring its whole shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.dataset.item import ONLY_INPUT, Item
from runner.errors import ConfigError, DatasetError, near_names
from runner.session import InputSpec

Shape = Sequence[int | None]


def bind(item: Item, inputs: tuple[InputSpec, ...], *, name: str) -> dict[str, NDArray[Any]]:
    """Return feeds for a model's inputs, see the head of this file.

    Args:
        item: arrays without batch axis, or of an input's whole shape.
        inputs: the model's.
        name: what the user calls the item.

    Raises:
        DatasetError: an input has no array, an array's shape does not fit, or an integer input would cut values.
        ConfigError: ``batch_axis`` names no input, or no axis of one.
    """
    _check_axes(item.batch_axis, inputs)
    arrays = _named(item, inputs)
    batch = fixed_batch(inputs, item.batch_axis)
    feeds = {}
    for spec in inputs:
        array = _of_rank(arrays[spec.name], spec)
        axis = _axis(array, spec, item.batch_axis, batch)
        if not _fits(array, spec, axis) or (axis is not None and spec.shape[axis] not in (None, 1, batch)):
            raise DatasetError(_misfit(array, spec, item.batch_axis, inputs, name))
        typed = _as_type(array, spec, name)
        feeds[spec.name] = typed if axis is None else _repeated(typed, axis, spec.shape[axis])
    return feeds


def repeats(item: Item, inputs: tuple[InputSpec, ...]) -> int:
    """Return how often ``bind`` repeats an item to fill the batch that the model fixes; 1 where it does not."""
    batch = fixed_batch(inputs, item.batch_axis)
    if batch == 1:
        return 1
    arrays = _named(item, inputs)
    axes = {spec: _axis(_of_rank(arrays[spec.name], spec), spec, item.batch_axis, batch) for spec in inputs}
    return batch if any(axis is not None and spec.shape[axis] == batch for spec, axis in axes.items()) else 1


def first_rows(arrays: Sequence[NDArray[Any]], batch: int) -> list[NDArray[Any]]:
    """Return outputs as those of an item alone: of what has a row for each repetition, the first."""
    return [array[:1] if batch > 1 and array.shape[:1] == (batch,) else array for array in arrays]


def fixed_batch(inputs: Sequence[InputSpec], batch_axis: Mapping[str, int | None] | None = None) -> int:
    """Return the batch size that the model fixes, the same for every input but scalars, or 1 where it leaves it open.

    Args:
        inputs: the model's.
        batch_axis: input -> which axis is the batch, None for an input that has none; the first of every other input.
    """
    said = batch_axis or {}
    axes = {spec.name: said.get(spec.name, 0) for spec in inputs if spec.shape}
    sizes = {spec.shape[axis] for spec in inputs if (axis := axes.get(spec.name)) is not None}
    only = sizes.pop() if len(sizes) == 1 else None
    return only if only is not None and only > 1 else 1


def _named(item: Item, inputs: tuple[InputSpec, ...]) -> dict[str, NDArray[Any]]:
    arrays = dict(item.arrays)
    if set(arrays) == {ONLY_INPUT}:
        if len(inputs) != 1:
            wanted = ", ".join(spec.name for spec in inputs)
            raise DatasetError(
                f"dataset: gives one array an item, but the model has {len(inputs)} inputs: {wanted}. "
                "Set dataset.inputs to say which array is for which, or dataset.constants to fix an input."
            )
        return {inputs[0].name: arrays[ONLY_INPUT]}
    missing = [spec.name for spec in inputs if spec.name not in arrays]
    if missing:
        raise DatasetError(
            f"dataset: no array for the model input '{missing[0]}'; the dataset has {', '.join(arrays)}. "
            f"Set dataset.inputs to name one, or dataset.constants={{{missing[0]}: VALUE}} to fix the input."
        )
    return arrays


def _check_axes(batch_axis: Mapping[str, int | None], inputs: tuple[InputSpec, ...]) -> None:
    ranks = {spec.name: len(spec.shape) for spec in inputs}
    for name, axis in batch_axis.items():
        if name not in ranks:
            raise ConfigError(f"dataset.batch_axis: the model has no input '{name}'.{near_names(name, ranks)}")
        if axis is not None and not 0 <= axis < ranks[name]:
            axes = f"an axis from 0 to {ranks[name] - 1}, or null" if ranks[name] else "null, since it is a scalar"
            raise ConfigError(f"dataset.batch_axis.{name}: expected {axes}, got {axis}.")


def _of_rank(array: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Return a number as a row of one where the input takes those."""
    return np.reshape(array, (1,)) if array.ndim == 0 and len(spec.shape) == 2 and spec.shape[1] in (1, None) else array


def _axis(array: NDArray[Any], spec: InputSpec, said: Mapping[str, int | None], batch: int) -> int | None:
    """Return which axis of the input the array lacks; None where it has the input's whole shape, or none that fits."""
    if spec.name in said:
        return said[spec.name]
    if array.ndim != len(spec.shape) - 1:
        return None
    return 0 if spec.shape[0] in (None, 1, batch) else None


def _fits(array: NDArray[Any], spec: InputSpec, axis: int | None) -> bool:
    shape = spec.shape if axis is None else (*spec.shape[:axis], *spec.shape[axis + 1 :])
    return _same(array.shape, shape)


def _same(shape: Sequence[int], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(want in (None, got) for want, got in zip(wanted, shape, strict=True))


def _repeated(array: NDArray[Any], axis: int, size: int | None) -> NDArray[Any]:
    row = np.expand_dims(array, axis)
    return np.repeat(row, size, axis=axis) if size is not None and size > 1 else row


def _misfit(
    array: NDArray[Any], spec: InputSpec, said: Mapping[str, int | None], inputs: Sequence[InputSpec], name: str
) -> str:
    """Return what is wrong with an array's shape, and what to do."""
    whole, row = shown_shape(spec.shape), shown_shape(spec.shape[1:])
    got = f"dataset: item {name} has shape {shown_shape(array.shape)}, but the model input '{spec.name}' takes"
    if spec.name in said:
        axis = said[spec.name]
        if axis is None:
            return f"{got} {whole}, every axis of it (dataset.batch_axis.{spec.name}=null)."
        if _fits(array, spec, axis):
            return f"{got} {whole}, and axis {axis} {_no_batch(spec, inputs)}. Give items of the whole shape {whole}."
        rest = shown_shape((*spec.shape[:axis], *spec.shape[axis + 1 :]))
        return f"{got} {rest} an item, and the batch as axis {axis} (dataset.batch_axis.{spec.name}={axis})."
    if not spec.shape:
        return f"{got} a scalar. Give a number an item, or fix the input: dataset.constants={{{spec.name}: VALUE}}."
    axes = [axis for axis in range(1, len(spec.shape)) if spec.shape[axis] in (None, 1) and _fits(array, spec, axis)]
    if axes and len(spec.shape) > 2:
        return (
            f"{got} {whole}. If its batch is axis {axes[0]}, say so: dataset.batch_axis={{{spec.name}: {axes[0]}}}; "
            f"items of the whole shape {whole} are taken too."
        )
    if _same(array.shape, spec.shape[1:]):
        # One row fits, but the first axis is no batch.
        return (
            f"{got} {whole}, and its first axis {_no_batch(spec, inputs)}. Give items of the whole shape {whole}, or say "
            f"which axis is the batch: dataset.batch_axis={{{spec.name}: AXIS}}."
        )
    both = f"{got} {row} an item" if len(spec.shape) > 1 else f"{got} one number an item"
    if _same(np.roll(array.shape, 1).tolist(), spec.shape[1:]) and array.ndim == 3:
        return f"{both}. The channels are last: set dataset.preprocess.layout=nhwc."
    if _same(np.roll(array.shape, -1).tolist(), spec.shape[1:]) and array.ndim == 3:
        return (
            f"{both}. The model takes the channels last: store the arrays so, as numpy.moveaxis(x, 1, -1) gives them."
        )
    side = _side(array, spec)
    if side is not None:
        return f"{both}. Of photos set dataset.preprocess.resize={side}, or a crop or letterbox of that size."
    if len(spec.shape) < 4:
        return f"{both}, or {whole} as a whole. Give items of that shape."
    return f"{both}. Set dataset.preprocess (resize, crop, letterbox, layout) to fit."


def _side(array: NDArray[Any], spec: InputSpec) -> str | None:
    """Return the height and width that an input takes where these alone are other than an array's; None elsewhere."""
    if array.ndim != 3 or len(spec.shape) != 4:
        return None
    for channels, sides in ((0, spec.shape[2:]), (2, spec.shape[1:3])):
        wanted = spec.shape[1 + channels]
        if array.shape[channels] in (1, 3) and wanted == array.shape[channels] and None not in sides:
            return f"[{sides[0]},{sides[1]}]"
    return None


def _no_batch(spec: InputSpec, inputs: Sequence[InputSpec]) -> str:
    others = ", ".join(f"'{other.name}' takes {shown_shape(other.shape)}" for other in inputs if other is not spec)
    return f"is no batch that all inputs share ({others}), so an item is not repeated along it"


def shown_shape(shape: Shape) -> str:
    """Return a shape in words: sizes with x between, ? where one is open."""
    return "x".join("?" if size is None else str(size) for size in shape) or "()"


def _as_type(array: NDArray[Any], spec: InputSpec, name: str) -> NDArray[Any]:
    """Return the array in the input's type; whole numbers are never cut or wrapped."""
    # Not np.ascontiguousarray, which makes a vector of a scalar.
    if spec.dtype.kind not in "iu" or np.can_cast(array.dtype, spec.dtype):
        return np.asarray(array, dtype=spec.dtype, order="C")
    with np.errstate(invalid="ignore"):
        cast = np.asarray(array, dtype=spec.dtype, order="C")
    lost = cast != array
    if lost.any():
        value = array[lost].flat[0]
        raise DatasetError(
            f"dataset: item {name} holds {value}, but the model input '{spec.name}' takes {spec.dtype}. "
            "Set dataset.preprocess to fit, or dataset.preprocess_inputs to leave this input as stored."
        )
    return cast
