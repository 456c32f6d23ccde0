"""What the channels of tensors hold, and what rounding such a tensor and the weights that meet it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.calibration.collect import check_finite
from runner.correction.shrinkage import PerChannel
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.probe import with_outputs
from runner.ranges import NUM_STEPS

# A tensor's name, and which of its axes the channels are.
ChannelsOf = tuple[str, int]

# Something is done to a layer's channels where the predicted error falls to this share or below. The prediction knows neither
# clipping nor how errors add up; measured gains of less were as often losses.
WORTHWHILE = 0.75
WEIGHT_STEPS = 127
# Of an item's image, evenly spaced: enough for means; extremes are taken over all of it.
_PLACES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """What a tensor's channels hold over the items, each of shape (channels,).

    Attributes:
        low, high: extremes.
        mean: of the values.
        square: mean of their squares.
        share: of the values that are not 0.
    """

    low: PerChannel
    high: PerChannel
    mean: PerChannel
    square: PerChannel
    share: PerChannel

    @property
    def peaks(self) -> PerChannel:
        """The largest magnitude."""
        return np.maximum(self.high, -self.low)


def predicted_error(
    weight: NDArray[np.float64],
    seen: ChannelStatistics,
    interval: tuple[PerChannel, PerChannel],
    factors: PerChannel,
    *,
    one_scale: bool = False,
) -> float:
    """Return the variance of a layer's output, summed over its channels, times 12, with its input and its weights rounded.

    Every value that is not 0 (0 has a code of its own) and every weight takes the variance of rounding to a step,
    ``step**2 / 12``:

        (width / 255)**2 sum_c share[c] sum_o w[o, c]**2  +  sum_o scale_w[o]**2 sum_c x2[c]

    Args:
        weight: shape (groups, outputs of one, channels of one, kernel).
        seen: of its input.
        interval: the ends of what each channel shall reach, 0 included.
        factors: what each channel is multiplied by, and the weights that meet it divided by.
        one_scale: whether all weights share a scale; otherwise each output has its own.
    """
    groups, _, inputs, kernel = weight.shape
    low, high = interval
    step = float((high * factors).max() - (low * factors).min()) / NUM_STEPS
    scaled = weight / factors.reshape(groups, 1, inputs, 1)
    peaks = np.abs(scaled).max(axis=(2, 3))
    steps = (np.full_like(peaks, peaks.max()) if one_scale else peaks) / WEIGHT_STEPS
    share, square = seen.share.reshape(groups, inputs), (seen.square * factors**2).reshape(groups, inputs)
    of_input = float(step**2 * np.sum(share * np.sum(scaled**2, axis=(1, 3))))
    of_weight = float(kernel * np.sum(steps**2 * square.sum(axis=1, keepdims=True)))
    return of_input + of_weight


def observe_channels(
    model: ir.Model,
    tensors: Sequence[ChannelsOf],
    items: Subset,
    *,
    readers: Mapping[str, Sequence[str]],
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[ChannelsOf, ChannelStatistics]:
    """Return what the channels of some tensors hold over the items; a tensor without values for all of them is left out.

    Args:
        model: the prepared float model at a runnable opset.
        tensors: to look at.
        items: calibration data.
        readers: tensor's name -> names of the layers that are to read it in int8.
        engine: runs the model.
        progress: told the number of items done.

    Raises:
        ModelError: an activation holds a value that is not finite.
        DatasetError: it does because an item holds one.
    """
    wanted = list(dict.fromkeys(tensors))
    names = list(dict.fromkeys(name for name, _ in wanted))
    session = engine.session(with_outputs(model, names))

    def reduce(index: int, arrays: list[NDArray[Any]]) -> dict[ChannelsOf, _Sums]:
        values = dict(zip(names, arrays, strict=True))
        for name, array in values.items():
            check_finite(array, name, items.dataset, index, readers[name])
        return {(name, axis): _sums(values[name], axis) for name, axis in wanted if values[name].size}

    seen: dict[ChannelsOf, _Sums] = {}
    for done, item in enumerate(engine.map(session, items, reduce, outputs=names), 1):
        for key, new in item.items():
            seen[key] = seen[key].with_item(new) if key in seen else new
        progress(done)
    return {key: sums.statistics() for key, sums in seen.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Of a tensor's channels over some items: extremes; sums of values, squares and values other than 0; number of values."""

    low: PerChannel
    high: PerChannel
    sums: NDArray[np.float64]
    count: int

    def with_item(self, other: _Sums) -> _Sums:
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return _Sums(low, high, self.sums + other.sums, self.count + other.count)

    def statistics(self) -> ChannelStatistics:
        return ChannelStatistics(self.low, self.high, *(self.sums / self.count))


def _sums(array: NDArray[Any], axis: int) -> _Sums:
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
    some = rows[:, :: max(1, rows.shape[1] // _PLACES)].astype(np.float64)
    sums = np.stack([some.sum(axis=1), (some**2).sum(axis=1), np.count_nonzero(some, axis=1)])
    return _Sums(low, high, sums, some.shape[1])
