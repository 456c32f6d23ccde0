"""Choose how much the channels between two convolutions are scaled (``runner.graph.equalization``), from what they hold.

One scale serves all channels of the tensor that the second layer reads, so a small channel gets few of the 256 codes. The
pair is scaled by ``k[c] = floor(strength * log2(largest width / width[c]))``, with the strength that is predicted to cost the
second layer's output least:

    (width / 255)**2 sum_c share[c] sum_o w[o, c]**2  +  sum_o scale_w[o]**2 sum_c x2[c]

with the variance of rounding to a step, ``step**2 / 12``, for every value that is not 0 (0 has a code of its own) and every
weight. Weights of a depthwise layer have a scale a channel and lose nothing; in a full convolution what the input gains the
weights lose, and only a strength that balances them helps.

A channel's width is not only what the items showed. A hundred photos leave channels of classes that none of them shows at
next to nothing, and a scale that just holds what they showed would clip those for good; so a channel is taken to reach six
deviations from its mean, as in Nagel et al., section 4.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.graph.equalization import Exponents, channel_weight, find_pairs, output_interval
from runner.graph.probe import with_outputs
from runner.ranges import NUM_STEPS
from runner.session import Session

# The version of this stage's meaning: raise it when the same model and data would give other exponents.
VERSION = 1

_STRENGTHS = (0.25, 0.5, 0.75, 1.0)
_DEVIATIONS = 6
# A pair is scaled where the predicted error falls to this share or below. The prediction knows neither clipping nor how
# errors add up; measured gains of less were as often losses.
_WORTHWHILE = 0.75
_WEIGHT_STEPS = 127
# Of an item's image, evenly spaced: enough for means; extremes are taken over all of it.
_PLACES = 1024
# Of the widest channel; a channel narrower than this holds nothing to tell apart.
_NEGLIGIBLE = 1e-6

_Channels = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ChannelStatistics:
    """What a tensor's channels hold over the items, each of shape (channels,).

    Attributes:
        low, high: extremes.
        mean: of the values.
        square: mean of their squares.
        share: of the values that are not 0.
    """

    low: _Channels
    high: _Channels
    mean: _Channels
    square: _Channels
    share: _Channels

    def reach(self, least: float, most: float) -> tuple[_Channels, _Channels]:
        """Return what channels are taken to reach down and up to, 0 included, between the ends of an activation."""
        spread = _DEVIATIONS * np.sqrt(np.maximum(self.square - self.mean**2, 0))
        low = np.maximum(np.minimum(self.low, self.mean - spread), least)
        high = np.minimum(np.maximum(self.high, self.mean + spread), most)
        return np.minimum(low, 0), np.maximum(high, 0)


def choose_exponents(
    model: ir.Model,
    dataset: Dataset,
    indices: Sequence[int],
    *,
    engine: Engine,
    float_layers: Collection[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Exponents:
    """Return exponents for the pairs that gain by being scaled; nothing for the others.

    Args:
        model: the prepared float model at a runnable opset.
        dataset: calibration data.
        indices: which items of it.
        engine: runs the model.
        float_layers: names of layers that stay float; what they read has no scale.
        progress: told the number of items done.
    """
    pairs = [pair for pair in find_pairs(model) if pair.second not in float_layers]
    if not pairs:
        return {}
    chosen = {}
    statistics = _observe(model, [pair.tensor for pair in pairs], dataset, indices, engine, progress)
    for pair, seen in zip(pairs, statistics, strict=True):
        exponents = best_exponents(seen, channel_weight(model, pair), output_interval(model, pair))
        if exponents.any():
            chosen[pair.first] = tuple(int(k) for k in exponents)
    return chosen


def best_exponents(
    seen: ChannelStatistics, weight: NDArray[np.float64], interval: tuple[float, float]
) -> NDArray[np.int64]:
    """Return the exponents of a pair, all 0 where scaling is not worthwhile.

    Args:
        seen: of the tensor between the two layers.
        weight: of the second one, shape (groups, outputs of one, channels of one, kernel).
        interval: the ends that the activation between them cuts values off at.
    """
    low, high = seen.reach(*interval)
    widths = high - low
    alive = widths > _NEGLIGIBLE * widths.max(initial=0)
    ratio = np.log2(widths.max(initial=0), where=alive, out=np.zeros_like(widths))
    ratio -= np.log2(widths, where=alive, out=np.zeros_like(widths))
    best = np.zeros(len(widths), np.int64)
    # One that is not worthwhile is none.
    least = _WORTHWHILE * _predicted_error(best, seen, weight, low, high)
    for strength in _STRENGTHS:
        exponents = np.floor(strength * ratio).astype(np.int64)
        error = _predicted_error(exponents, seen, weight, low, high)
        if error < least:
            best, least = exponents, error
    return best


def _predicted_error(
    exponents: NDArray[np.int64],
    seen: ChannelStatistics,
    weight: NDArray[np.float64],
    low: _Channels,
    high: _Channels,
) -> float:
    """Return the variance of the second layer's output, summed over its channels, times 12."""
    groups, _, inputs, kernel = weight.shape
    factors = np.exp2(exponents.astype(np.float64))
    step = float((high * factors).max() - (low * factors).min()) / NUM_STEPS
    scaled = weight / factors.reshape(groups, 1, inputs, 1)
    steps = np.abs(scaled).max(axis=(2, 3)) / _WEIGHT_STEPS
    share, square = seen.share.reshape(groups, inputs), (seen.square * factors**2).reshape(groups, inputs)
    of_input = float(step**2 * np.sum(share * np.sum(scaled**2, axis=(1, 3))))
    of_weight = float(kernel * np.sum(steps**2 * square.sum(axis=1, keepdims=True)))
    return of_input + of_weight


def _observe(
    model: ir.Model,
    tensors: Sequence[str],
    dataset: Dataset,
    indices: Sequence[int],
    engine: Engine,
    progress: Callable[[int], None],
) -> list[ChannelStatistics]:
    session = Session(with_outputs(model, tensors))
    lows: list[list[_Channels]] = [[] for _ in tensors]
    highs: list[list[_Channels]] = [[] for _ in tensors]
    sums = [np.zeros((3, 1)) for _ in tensors]
    places = [0] * len(tensors)

    def reduce(_: int, arrays: list[NDArray[Any]]) -> list[tuple[_Channels, _Channels, NDArray[np.float64], int]]:
        return [_reduced(array) for array in arrays]

    reduced = engine.map(session, dataset, indices, reduce, outputs=list(tensors))
    for done, item in enumerate(reduced, 1):
        for position, (low, high, added, count) in enumerate(item):
            lows[position].append(low)
            highs[position].append(high)
            sums[position] = sums[position] + added
            places[position] += count
        progress(done)
    return [
        ChannelStatistics(np.min(low, axis=0), np.max(high, axis=0), *(total / count))
        for low, high, total, count in zip(lows, highs, sums, places, strict=True)
    ]


def _reduced(array: NDArray[Any]) -> tuple[_Channels, _Channels, NDArray[np.float64], int]:
    """Return one item's extremes and sums of values, squares and values other than 0; array [N, channels, ...]."""
    rows = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
    some = rows[:, :: max(1, rows.shape[1] // _PLACES)].astype(np.float64)
    sums = np.stack([some.sum(axis=1), (some**2).sum(axis=1), np.count_nonzero(some, axis=1)])
    return rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64), sums, some.shape[1]
