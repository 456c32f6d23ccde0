"""``rounding=compensated``: the integers of a weight that cost the layer's output least, by GPTQ over its second moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runner.correction.gptq import least_error
from runner.correction.layer_state import LayerState
from runner.correction.moments import Moments, Products, gather, products
from runner.correction.patches import Rows, has_patches
from runner.correction.positions import unit_of_squares
from runner.correction.samples import Samples
from runner.correction.wide_rounding import is_wide, rounded_in_blocks
from runner.graph.smoothing import input_channels
from runner.record import QuantizedLayer


def gptq_rounded(state: LayerState) -> QuantizedLayer:
    """Return the layer with the integers that cost its output least; as it is where there is nothing to tell them by."""
    layer = state.layer
    samples = Samples.of(state) if has_patches(layer) else None
    if samples is None:
        return state.quantized
    stored = state.quantized.weight
    shape = layer.layout.rows(stored).shape
    codes = rounded_in_blocks(samples) if is_wide(layer, shape) else _rounded(samples)
    if codes is None:
        return state.quantized
    integers = layer.layout.stored(codes.reshape(shape).astype(np.int8, copy=False), stored.shape)
    return replace(state.quantized, weight=integers)


def _rounded(samples: Samples) -> NDArray[np.float64] | None:
    """Return the codes of a whole weight, (channels, weights) in any shape; None without moments."""
    state = samples.state
    weight = state.weight()
    unit = unit_of_squares(weight)  # of weights and outputs: both may be too large for squares in float32
    weight /= unit
    moments = _moments(samples, weight, unit)
    if moments is None:
        return None
    scales = np.broadcast_to(np.asarray(state.quantized.record.weight_scales, np.float64), (state.layer.channels,))
    target = moments.target(weight)
    target /= scales.reshape(*target.shape[:2], 1) / unit
    return least_error(target, moments.inputs, moments.inverse, state.engine.callers, state.layer.largest_code)


def _moments(samples: Samples, weight: NDArray[np.float64], unit: float) -> Moments | None:
    """Return the moments of the layer's rounded input and of what its output lacks, both in units; None without any.

    Args:
        samples: of the layer.
        weight: its float weight in units, shape (channels, weights).
        unit: of weights and outputs.
    """
    state = samples.state

    def summed(items: list[int]) -> Products:
        rows = Rows.joined([samples.rows(item) for item in items])
        real = np.concatenate([samples.real(item) for item in items], axis=1)
        return products(rows, real if unit == 1 else np.asarray(real / unit, np.float32))

    inputs = max(weight.shape[1], input_channels(state.node, state.layer))
    sums = samples.each_part(summed, Products.plus, inputs + len(weight))
    if not all(np.isfinite(each.outputs).all() for each in sums):
        return None  # the float outputs leave float32
    return gather(sums, weight, centred=state.fits_bias(), callers=state.engine.callers)
