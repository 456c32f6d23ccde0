"""Find the levels of an image that a convolution reads (``runner.graph.pixel_codes``), from what its channels hold.

Eight-bit images hold at most 256 values a channel, evenly spaced, however they were normalized; resized in floating point, or
of another kind altogether, a tensor holds more, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import dequantize, quantize
from runner.calibration.collect import check_finite
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.pixel_codes import ImageReader, Levels, PixelCodes, find_image_readers
from runner.graph.probe import only_outputs
from runner.ranges import NUM_STEPS, Range, activation_params

# The version of this stage's meaning: raise it when the same model and data would give other levels.
VERSION = 1

# How far a value may lie from its level, in steps: float32 arithmetic errs by less than a hundredth of this.
_OFF_LEVEL = 0.01
# In codes: where none errs by more, they are the levels themselves.
_EXACT = 0.02

_Values = NDArray[np.float32]


def choose_levels(
    model: ir.Model,
    items: Subset,
    *,
    engine: Engine,
    left_alone: Collection[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> PixelCodes:
    """Return the levels of images whose values no scale and zero point have codes for.

    Args:
        model: the prepared float model at a runnable opset.
        items: calibration data.
        engine: runs what stands before the image's reader.
        left_alone: names of layers that stay float, so that what they read is not rounded, or whose zero point has to be 0.
        progress: told the number of items done.

    Raises:
        ModelError: an image holds a value that is not finite.
        DatasetError: it does because an item holds one.
    """
    readers = [reader for reader in find_image_readers(model) if reader.layer not in left_alone]
    if not readers:
        return {}
    chosen = {}
    for reader, values in zip(readers, _observe(model, readers, items, engine, progress), strict=True):
        levels = None if values is None or _have_codes(values) else levels_of(values)
        if levels is not None:
            chosen[reader.layer] = levels
    return chosen


def levels_of(channels: Sequence[_Values]) -> Levels | None:
    """Return the levels that hold the values of all channels and 0, which is what stands in padding; None if there are none.

    Where the values seen leave codes over, half of them lie below and half above; where they are so few that twice as many
    levels fit, these lie between them too.

    Args:
        channels: each channel's distinct values, ascending.
    """
    lines = [_evenly_spaced(np.asarray(values, np.float64)) for values in channels]
    found = np.array([line for line in lines if line is not None])
    if len(found) < len(lines):
        return None
    first, step = found.T
    places = -first / step
    if places.min() < -0.5 or places.max() > NUM_STEPS + 0.5:
        return None
    # What the layer reads stays around 0, for the mean of an input multiplies what rounding takes off the weights.
    lowest = -int(np.clip(np.rint(places.mean()), 0, NUM_STEPS))
    return Levels(tuple((first - lowest * step).tolist()), tuple(step.tolist()), lowest)


def _evenly_spaced(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return (first, step) of the line ``first + k * step`` that distinct values lie on, k from 0 to 255."""
    if len(values) < 2:
        return None
    places = np.rint((values - values[0]) / np.diff(values).min())
    span = int(places[-1])
    if span > NUM_STEPS:
        return None
    step, first = np.polyfit(places, values, 1)
    if np.abs(first + places * step - values).max() > _OFF_LEVEL * step:
        return None
    between = NUM_STEPS // span
    spare = NUM_STEPS - between * span
    step /= between
    return float(first - spare // 2 * step), float(step)


def _have_codes(channels: Sequence[_Values]) -> bool:
    """Return whether one scale and zero point for all channels have a code for every value already."""
    values = np.concatenate(channels)
    if not values.size:
        return True  # nothing was seen
    params = activation_params(Range(float(values.min()), float(values.max())))
    codes = quantize(values, params.scale, params.zero_point)
    off = np.abs(dequantize(codes, params.scale, params.zero_point) - values).max()
    return bool(off < _EXACT * params.scale)


def _observe(
    model: ir.Model,
    readers: Sequence[ImageReader],
    items: Subset,
    engine: Engine,
    progress: Callable[[int], None],
) -> list[list[_Values] | None]:
    """Return the distinct values of each channel of each image; None where one has more than an image's levels."""
    names = [reader.image for reader in readers]
    session = engine.session(only_outputs(model, names))
    seen: list[list[_Values] | None] = [[np.zeros(0, np.float32)] * reader.channels for reader in readers]

    def distinct(index: int, arrays: list[NDArray[Any]]) -> list[list[_Values]]:
        for name, array in zip(names, arrays, strict=True):
            check_finite(
                array, name, items.dataset, index, [reader.layer for reader in readers if reader.image == name]
            )
        return [[np.unique(channel) for channel in np.moveaxis(array, 1, 0)] for array in arrays]

    for done, item in enumerate(engine.map(session, items, distinct), 1):
        for place, (before, new) in enumerate(zip(seen, item, strict=True)):
            if before is not None:
                both = [np.union1d(*pair) for pair in zip(before, new, strict=True)]
                seen[place] = both if all(len(values) <= NUM_STEPS + 1 for values in both) else None
        if not any(seen):
            break
        progress(done)
    return seen
