"""Choose how much the channels between layers are scaled, from what they hold.

One scale serves all channels of the tensor that layers read, so a small channel gets few of the 256 codes. Channels are scaled
by ``k[c] = floor(strength * log2(largest width / width[c]))``, no more than a limit, with the strength and the limit that are
predicted to cost the outputs least (``runner.correction.channels``). Weights of a depthwise layer have a scale a channel and
lose nothing; in others what the input gains the weights lose. So do those of a layer that makes the channels, where all its
weights share a scale; a normalization, or one with a scale a channel, loses nothing. A limit serves outliers: all channels but
a few are scaled alike.

A channel's width is not only what the items showed. A hundred photos leave channels of classes that none of them shows at
next to nothing, and a scale that just holds what they showed would clip those for good; so a channel of an image is taken to
reach six deviations from its mean, as in Nagel et al., section 4.2.1. Every token shows all channels: to let those reach beyond
what was seen would only make the input's error look larger than it is beside that of the weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.correction.channels import (
    WEIGHT_STEPS,
    WORTHWHILE,
    ChannelsOf,
    ChannelStatistics,
    observe_channels,
    predicted_error,
)
from runner.correction.shrinkage import PerChannel
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.channel_makers import LAST
from runner.graph.channel_readers import channel_weight
from runner.graph.constants import constant
from runner.graph.cross_layer_equalization import Exponents, Link, find_links
from runner.graph.operators import layout_of, operator_of

# The version of this stage's meaning: raise it when the same model and data would give other exponents.
VERSION = 2

_STRENGTHS = (0.25, 0.5, 0.75, 1.0)
# Of the exponents. (Between convolutions they were predicted to help where they did harm.)
_LIMITS = (1, 2, 3, 4, 5, 6, 8)
# Beyond it a factor is no normal float32.
_LARGEST = 126
_DEVIATIONS = 6
# Of the widest channel; a channel narrower than this holds nothing to tell apart.
_NEGLIGIBLE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """A layer that reads the channels.

    Attributes:
        weight: shape (groups, outputs of one, channels of one, kernel).
        one_scale: whether all weights share a scale.
    """

    weight: NDArray[np.float64]
    one_scale: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Maker:
    """A layer that makes the channels, all its weights sharing a scale.

    Attributes:
        peaks: largest magnitude of the weights of each channel.
        energy: sum of the mean squares of what these weights multiply.
    """

    peaks: PerChannel
    energy: float


def choose_exponents(
    model: ir.Model,
    items: Subset,
    *,
    engine: Engine,
    float_layers: Collection[str] = (),
    one_scale: Collection[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Exponents:
    """Return exponents for the links that gain by being scaled; nothing for the others.

    Args:
        model: the prepared float model at a runnable opset.
        items: calibration data.
        engine: runs the model.
        float_layers: names of layers that stay float; what they read has no scale.
        one_scale: names of layers whose weights share one scale.
        progress: told the number of items done.
    """
    nodes = {node.name or "": node for node in model.graph}
    # Those whose readers are to be int8, with these.
    links = {link: [name for name in link.readers if name not in float_layers] for link in find_links(model)}
    links = {link: readers for link, readers in links.items() if readers}
    if not links:
        return {}
    tensors: dict[Link, ChannelsOf] = {link: (link.tensor, link.axis) for link in links}
    shared = [link for link in links if link.maker in one_scale and link.maker not in float_layers]
    inputs = {link: _input(nodes[link.maker]) for link in shared}
    read = {link.tensor: readers for link, readers in links.items()}
    read = {name: [link.maker] for link, (name, _) in inputs.items()} | read
    statistics = observe_channels(
        model, [*tensors.values(), *inputs.values()], items, readers=read, engine=engine, progress=progress
    )
    chosen = {}
    for link, readers in links.items():
        seen, before = statistics.get(tensors[link]), statistics.get(inputs[link]) if link in inputs else None
        if seen is None:
            continue
        made = [Reader(channel_weight(nodes[name]), name in one_scale) for name in readers]
        maker = None if before is None else _maker(nodes[link.maker], before)
        exponents = best_exponents(seen, made, link.interval, maker, of_tokens=link.axis == LAST)
        if exponents.any():
            chosen[link.maker] = tuple(int(k) for k in exponents)
    return chosen


def best_exponents(
    seen: ChannelStatistics,
    readers: Sequence[Reader],
    interval: tuple[float, float],
    maker: Maker | None = None,
    *,
    of_tokens: bool = False,
) -> NDArray[np.int64]:
    """Return the exponents of a link, all 0 where scaling is not worthwhile.

    Args:
        seen: of the tensor.
        readers: the layers that read it in int8.
        interval: the ends that the activation before them cuts values off at.
        maker: the layer that makes the channels, where that costs its weights something.
        of_tokens: whether the channels are those of tokens or vectors, which reach what was seen, and limits are tried.
    """
    low, high = reached = _reach(seen, *interval, 0 if of_tokens else _DEVIATIONS)
    widths = high - low
    alive = widths > _NEGLIGIBLE * widths.max(initial=0)
    ratio = np.log2(widths.max(initial=0), where=alive, out=np.zeros_like(widths))
    ratio -= np.log2(widths, where=alive, out=np.zeros_like(widths))

    def error(exponents: NDArray[np.int64]) -> float:
        factors = np.exp2(exponents.astype(np.float64))
        reading = sum(
            predicted_error(reader.weight, seen, reached, factors, one_scale=reader.one_scale) for reader in readers
        )
        return reading + (0.0 if maker is None else _maker_error(maker, seen, readers, factors))

    best = np.zeros(len(widths), np.int64)
    # One that is not worthwhile is none.
    least = WORTHWHILE * error(best)
    for strength, limit in itertools.product(_STRENGTHS, (*(_LIMITS if of_tokens else ()), _LARGEST)):
        exponents = np.minimum(np.floor(strength * ratio).astype(np.int64), limit)
        predicted = error(exponents)
        if predicted < least:
            best, least = exponents, predicted
    return best


def _maker_error(maker: Maker, seen: ChannelStatistics, readers: Sequence[Reader], factors: PerChannel) -> float:
    """Return what rounding the maker's weights costs, in the unit of ``predicted_error``."""
    step = float((maker.peaks * factors).max()) / WEIGHT_STEPS
    weighs = sum(np.sum(reader.weight**2, axis=(1, 3)).reshape(-1) for reader in readers)
    return step**2 * maker.energy * float(np.sum(seen.share * weighs / factors**2))


def _maker(node: ir.Node, before: ChannelStatistics) -> Maker:
    weight = constant(node.inputs[1])
    assert weight is not None  # a layer's
    rows = np.abs(layout_of(node).rows(weight).astype(np.float64))
    kernel = int(np.prod(rows.shape[2:]))
    energy = kernel * float(before.square.sum()) / layout_of(node).group
    return Maker(rows.reshape(len(rows), -1).max(axis=1), energy)


def _input(node: ir.Node) -> ChannelsOf:
    operator, value = operator_of(node), node.inputs[0]
    assert operator is not None and value is not None  # a layer
    return value.name or "", 1 if operator.spatial(node) else LAST


def _reach(seen: ChannelStatistics, least: float, most: float, deviations: float) -> tuple[PerChannel, PerChannel]:
    """Return what channels are taken to reach down and up to, 0 included, between the ends of an activation."""
    spread = deviations * np.sqrt(np.maximum(seen.square - seen.mean**2, 0))
    low = np.maximum(np.minimum(seen.low, seen.mean - spread), least)
    high = np.minimum(np.maximum(seen.high, seen.mean + spread), most)
    return np.minimum(low, 0), np.maximum(high, 0)
