"""Smoothing: divide input channels by factors (``runner.graph.smoothing``), chosen as by AMCT's DMQ balancer from peaks.

    f_c = actmax_c ** strength / wmax_c ** (1 - strength)

with actmax_c the largest magnitude of input channel c over the items, and wmax_c that of the weights that meet it. The
smoothed channel then reaches ``(actmax_c * wmax_c) ** (1 - strength)``, its weights ``(actmax_c * wmax_c) ** strength``: a
channel that is wide only because its weights are small no longer takes the codes of all others.

What the input gains the weights lose, and more so in all but depthwise layers. A layer whose strength is ``auto`` gets the one
that is predicted to cost its output least, and none where none is worth the ``Mul``. ``sparing`` asks for more: it is for the
few layers, most of them depthwise, whose channels differ so much that one range serves nearly none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.arithmetic import FLT_EPSILON
from runner.correction.channels import (
    WORTHWHILE,
    ChannelsOf,
    ChannelStatistics,
    observe_channels,
    predicted_error,
)
from runner.correction.options import AUTO, SPARING, Strength
from runner.correction.shrinkage import PerChannel
from runner.dataset.item import evenly_spaced
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import Layer
from runner.graph.smoothing import Factors, smoothed_rows, weight_peaks

# The version of this stage's meaning: raise it when the same model and data would give other factors.
VERSION = 4

# A record takes what lies between these, not the ends themselves.
_LEAST = np.nextafter(np.float32(FLT_EPSILON), np.float32(1))
_MOST = np.nextafter(np.float32(1 / FLT_EPSILON), np.float32(1))

# What is tried for ``auto``, within what AMCT takes.
_STRENGTHS = (0.25, 0.5, 0.75)
# What is left of a layer's predicted error, at most.
_WORTHWHILE: Mapping[str, float] = {AUTO: WORTHWHILE, SPARING: 0.1}
# Items to look at for ``sparing`` alone: a factor of ten shows in few, and that there is nothing near it in fewer.
_LOOKED_AT, _GLANCED_AT = 32, 8
# What a glance may be off by.
_NEAR = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Smoothing:
    """How the inputs of layers are smoothed, by their names; a layer whose input stays is in neither.

    Attributes:
        strengths: migration strengths.
        factors: of the input channels.
    """

    strengths: Mapping[str, float] = field(default_factory=dict)
    factors: Factors = field(default_factory=dict)


def items_to_look_at(strengths: Mapping[str, Strength], items: Subset) -> Subset:
    """Return the calibration items that ``choose_smoothing`` passes over: all of them, or a few where those tell."""
    if any(strength != SPARING for strength in strengths.values()):
        return items
    return items.at(evenly_spaced(min(_LOOKED_AT, len(items)), len(items)))


def choose_smoothing(
    model: ir.Model,
    layers: Sequence[Layer],
    strengths: Mapping[str, Strength],
    items: Subset,
    *,
    symmetric: Collection[str] = (),
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> Smoothing:
    """Return the factors of the layers to smooth; one whose factors are all alike has none.

    Where only what is plainly worth it is wanted, a few items tell which layers are looked at over all of them.

    Args:
        model: the prepared float model at a runnable opset.
        layers: its layers.
        strengths: layer name -> migration strength, of those to smooth.
        items: see ``items_to_look_at``.
        symmetric: names of the layers whose input has zero point 0.
        engine: runs the model.
        progress: told the number of items done.

    Raises:
        ModelError: an activation holds a value that is not finite.
    """
    wanted = [layer for layer in layers if layer.name in strengths]
    look = _Look(model, layers, symmetric, engine)
    glanced = 0
    if len(items) > _GLANCED_AT and all(strengths[layer.name] == SPARING for layer in wanted):
        glance = items.at(evenly_spaced(_GLANCED_AT, len(items)))
        near = look.smoothing(wanted, strengths, glance, progress, near=_NEAR)
        wanted, glanced = [layer for layer in wanted if layer.name in near.factors], len(glance)
    if not wanted:
        progress(len(items))
        return Smoothing()
    return look.smoothing(wanted, strengths, items, lambda done: progress(max(done, glanced)))


@dataclass(frozen=True, slots=True)
class _Look:
    """What ``choose_smoothing`` is given that stays the same while it looks at some items, or at all."""

    model: ir.Model
    layers: Sequence[Layer]
    symmetric: Collection[str]
    engine: Engine

    def smoothing(
        self,
        wanted: Sequence[Layer],
        strengths: Mapping[str, Strength],
        items: Subset,
        progress: Callable[[int], None],
        *,
        near: float = 1.0,
    ) -> Smoothing:
        """Return the factors of some layers after a pass over some items; of those that come ``near`` to being worth it too."""
        nodes = {node.name: node for node in self.model.graph}
        tensors = [_input(layer) for layer in wanted]
        readers = {name: [layer.name for layer in self.layers if layer.input == name] for name, _ in tensors}
        statistics = observe_channels(
            self.model, tensors, items, readers=readers, engine=self.engine, progress=progress
        )
        chosen: dict[str, float] = {}
        factors: dict[str, tuple[float, ...]] = {}
        for layer, tensor in zip(wanted, tensors, strict=True):
            if tensor not in statistics:
                continue
            node, seen, strength = nodes[layer.name], statistics[tensor], strengths[layer.name]
            if isinstance(strength, str):
                even = layer.symmetric or layer.name in self.symmetric
                worthwhile = near * _WORTHWHILE[strength]
                strength = best_strength(node, layer, seen, symmetric=even, worthwhile=worthwhile)
            if strength == 0:
                continue
            found = smoothing_factors(seen.peaks, weight_peaks(node, layer), strength)
            # One factor for all channels would only change the two scales by as much.
            if np.any(found != found[0]):
                chosen[layer.name], factors[layer.name] = strength, tuple(float(factor) for factor in found)
        return Smoothing(chosen, factors)


def best_strength(
    node: ir.Node, layer: Layer, seen: ChannelStatistics, *, symmetric: bool, worthwhile: float = WORTHWHILE
) -> float:
    """Return the migration strength that is predicted to cost the layer's output least; 0 where none is worthwhile.

    Args:
        node: the layer's.
        layer: what it is.
        seen: of its input.
        symmetric: whether the input has zero point 0.
        worthwhile: what may be left of the predicted error.
    """
    rows = smoothed_rows(node, layer, ()).astype(np.float64)
    weight = rows.reshape(layer.group, -1, rows.shape[1], int(np.prod(rows.shape[2:])))
    peaks = seen.peaks
    interval = (-peaks, peaks) if symmetric else (np.minimum(seen.low, 0), np.maximum(seen.high, 0))

    def error(factors: PerChannel) -> float:
        return predicted_error(weight, seen, interval, factors, one_scale=not layer.per_channel)

    best, least = 0.0, worthwhile * error(np.ones_like(peaks))
    for strength in _STRENGTHS:
        made = error(1 / smoothing_factors(peaks, weight_peaks(node, layer), strength).astype(np.float64))
        if made < least:
            best, least = strength, made
    return best


def smoothing_factors(
    inputs: NDArray[np.float64], weights: NDArray[np.float64], strength: float
) -> NDArray[np.float32]:
    """Return the factor of each channel, within what a record takes; all three arrays have shape (channels,).

    Args:
        inputs: the largest magnitude of each channel.
        weights: the largest magnitude of the weights that meet it.
        strength: how much of what channels differ by goes to the weights.
    """
    # AMCT takes what is below FLT_EPSILON for 0.
    reads, weighs = inputs >= FLT_EPSILON, weights >= FLT_EPSILON
    both = reads & weighs
    factors = np.ones(inputs.shape)
    if both.any():
        factors[both] = inputs[both] ** strength / weights[both] ** (1 - strength)
        # AMCT's w_outlier and act_outlier, read as the largest smoothed weight and the largest smoothed activation of the
        # channels that have both: a channel without input gets weights that just reach the one, a channel without weights
        # an activation that just reaches the other. Neither widens a range, and neither reaches the output.
        outlier_weight = np.max(weights[both] * factors[both])
        outlier_input = np.max(inputs[both] / factors[both])
        factors[~reads & weighs] = outlier_weight / weights[~reads & weighs]
        factors[reads & ~weighs] = inputs[reads & ~weighs] / outlier_input
    return np.clip(factors.astype(np.float32), _LEAST, _MOST)


def _input(layer: Layer) -> ChannelsOf:
    return layer.input, 1 if layer.spatial else -1
