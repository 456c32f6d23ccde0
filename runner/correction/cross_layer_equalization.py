"""Choose how much the channels between two convolutions are scaled, from what they hold.

One scale serves all channels of the tensor that the second layer reads, so a small channel gets few of the 256 codes. The
pair is scaled by ``k[c] = floor(strength * log2(largest width / width[c]))``, with the strength that is predicted to cost the
second layer's output least (``runner.correction.channels``). Weights of a depthwise layer have a scale a channel and lose
nothing; in a full convolution what the input gains the weights lose, and only a strength that balances them helps.

A channel's width is not only what the items showed. A hundred photos leave channels of classes that none of them shows at
next to nothing, and a scale that just holds what they showed would clip those for good; so a channel is taken to reach six
deviations from its mean, as in Nagel et al., section 4.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.correction.channels import WORTHWHILE, ChannelStatistics, observe_channels, predicted_error
from runner.correction.shrinkage import PerChannel
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.cross_layer_equalization import Exponents, channel_weight, find_pairs, output_interval

# The version of this stage's meaning: raise it when the same model and data would give other exponents.
VERSION = 1

_STRENGTHS = (0.25, 0.5, 0.75, 1.0)
_DEVIATIONS = 6
# Of the widest channel; a channel narrower than this holds nothing to tell apart.
_NEGLIGIBLE = 1e-6


def choose_exponents(
    model: ir.Model,
    items: Subset,
    *,
    engine: Engine,
    float_layers: Collection[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Exponents:
    """Return exponents for the pairs that gain by being scaled; nothing for the others.

    Args:
        model: the prepared float model at a runnable opset.
        items: calibration data.
        engine: runs the model.
        float_layers: names of layers that stay float; what they read has no scale.
        progress: told the number of items done.
    """
    pairs = [pair for pair in find_pairs(model) if pair.second not in float_layers]
    if not pairs:
        return {}
    chosen = {}
    tensors = [(pair.tensor, 1) for pair in pairs]
    readers = {pair.tensor: [pair.second] for pair in pairs}
    statistics = observe_channels(model, tensors, items, readers=readers, engine=engine, progress=progress)
    for pair, tensor in zip(pairs, tensors, strict=True):
        if tensor not in statistics:
            continue
        exponents = best_exponents(statistics[tensor], channel_weight(model, pair), output_interval(model, pair))
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
    low, high = reached = _reach(seen, *interval)
    widths = high - low
    alive = widths > _NEGLIGIBLE * widths.max(initial=0)
    ratio = np.log2(widths.max(initial=0), where=alive, out=np.zeros_like(widths))
    ratio -= np.log2(widths, where=alive, out=np.zeros_like(widths))
    best = np.zeros(len(widths), np.int64)
    # One that is not worthwhile is none.
    least = WORTHWHILE * predicted_error(weight, seen, reached, np.ones_like(widths))
    for strength in _STRENGTHS:
        exponents = np.floor(strength * ratio).astype(np.int64)
        error = predicted_error(weight, seen, reached, np.exp2(exponents.astype(np.float64)))
        if error < least:
            best, least = exponents, error
    return best


def _reach(seen: ChannelStatistics, least: float, most: float) -> tuple[PerChannel, PerChannel]:
    """Return what channels are taken to reach down and up to, 0 included, between the ends of an activation."""
    spread = _DEVIATIONS * np.sqrt(np.maximum(seen.square - seen.mean**2, 0))
    low = np.maximum(np.minimum(seen.low, seen.mean - spread), least)
    high = np.minimum(np.maximum(seen.high, seen.mean + spread), most)
    return np.minimum(low, 0), np.maximum(high, 0)
