"""``rounding=compensated``: the integers of a weight that cost the layer's output least, by GPTQ over its second moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runner.arithmetic import rounded
from runner.correction.gptq import least_error
from runner.correction.layer_state import LayerState
from runner.correction.moments import Moments, Products, gather, products
from runner.correction.parallel import each_of
from runner.correction.patches import Patches, Rows, has_patches
from runner.correction.positions import by_channel, unit_of_squares
from runner.graph.added_bias import float_bias
from runner.graph.constants import constant
from runner.record import QuantizedLayer

# Positions, over all items, that moments are summed over. Chance errs by one over their root.
_POSITIONS = 60_000
# Items that the moments of a large image are taken over, at least.
_LEAST_ITEMS = 16
# Parts that moments are summed in, side by side: each holds sums as large as H.
_PARTS = 4


def gptq_rounded(state: LayerState) -> QuantizedLayer:
    """Return the layer with the integers that cost its output least; as it is where there is nothing to tell them by."""
    layer = state.layer
    if not has_patches(layer):
        return state.quantized
    weight = state.weight()
    unit = unit_of_squares(weight)  # of weights and outputs: both may be too large for squares in float32
    weight = weight / unit
    moments = _moments(state, weight, unit)
    if moments is None:
        return state.quantized
    scales = np.broadcast_to(np.asarray(state.quantized.record.weight_scales, np.float64), (layer.channels,))
    target = moments.target(weight)
    target /= scales.reshape(*target.shape[:2], 1) / unit
    codes = least_error(target, moments.inputs, moments.inverse, state.engine.callers, layer.largest_code)
    stored = constant(state.node.inputs[1])
    assert stored is not None  # a layer's weight
    shape = layer.layout.rows(stored).shape
    integers = layer.layout.stored(codes.reshape(shape).astype(np.int8), stored.shape)
    return replace(state.quantized, weight=integers)


def _moments(state: LayerState, weight: NDArray[np.float64], unit: float) -> Moments | None:
    """Return the moments of the layer's rounded input and of what its output lacks, both in units; None without any.

    Args:
        state: the layer.
        weight: its float weight in units, shape (channels, weights).
        unit: of weights and outputs.
    """
    layer, params = state.layer, state.quantized.record.activation
    cut = Patches(state.start.model.graph, state.node, layer, state.engine)
    sizes = {item: len(by_channel(state.float_outputs[item], layer)) for item in state.comparable}
    if not any(sizes.values()):
        return None
    positions = max(1, sum(sizes.values()) // len(sizes))
    items = min(len(sizes), max(_LEAST_ITEMS, -(-_POSITIONS // positions)))
    step = max(1, items * positions // _POSITIONS)
    bias = float_bias(state.node)
    column = np.zeros((1, 1), np.float32) if bias is None else bias[:, np.newaxis]

    def sample(item: int) -> tuple[Rows, NDArray[np.float32]]:
        # The first position moves from item to item, so that no column of the image is left out.
        where = slice(item % step, None, step)
        rows = cut(state.input(item), where, lambda x: rounded(x, params.scale, params.zero_point))
        real = by_channel(state.float_outputs[item], layer).T[:, where] - column
        return rows, real if unit == 1 else real / unit

    def summed(part: list[int]) -> Products:
        rows, real = zip(*(sample(item) for item in part), strict=True)
        return products(Rows.joined(rows), np.concatenate(real, axis=1))

    # Of those that have a position at all.
    some = [item for item, size in sizes.items() if size > item % step][:items]
    parts = [some[first::_PARTS] for first in range(min(len(some), _PARTS))]
    sums = each_of(summed, parts, state.engine.callers)
    if not all(np.isfinite(each.outputs).all() for each in sums):
        return None  # the float outputs leave float32
    return gather(sums, weight, centred=state.fits_bias(), callers=state.engine.callers)
