"""Take each layer's mean output error off in its bias: all layers in one pass, each quantized alone, on float inputs.

The bias of a MatMul is the constant of the float Add behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from runner.arithmetic import dequant_scale, quantize_bias
from runner.calibration.isolated import COUNT, MEAN_ERROR, isolated_pass
from runner.calibration.quantize import check_sums, int32_bias
from runner.correction.chance import Channels, likely
from runner.dataset.item import Dataset
from runner.engine import Engine
from runner.graph.added_bias import takes_bias
from runner.graph.layers import Layer, LayeredModel
from runner.record import QuantizedLayer, QuantizedLayers


def without_mean_errors(
    model: LayeredModel,
    form: QuantizedLayers,
    dataset: Dataset,
    indices: Sequence[int],
    *,
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> QuantizedLayers:
    """Return the form with biases that leave no layer a mean error on float inputs, as far as the items can tell.

    Args:
        model: the prepared float model at a runnable opset.
        form: their quantized form.
        dataset: calibration data.
        indices: which items of it.
        engine: runs the model.
        progress: told the number of items done.
    """
    biased = QuantizedLayers({name: layer for name, layer in form.layers.items() if takes_bias(model.node(name))})
    if not biased.layers:
        return form
    errors: dict[str, list[Channels]] = {name: [] for name in biased.layers}
    passes = isolated_pass(model, biased, dataset, indices, engine=engine, reductions=(MEAN_ERROR,), progress=progress)
    for sums in passes:
        for name, reduced in sums.items():
            if reduced[COUNT]:
                errors[name].append(reduced[MEAN_ERROR.name])
    shifts = {name: likely_mean(np.array(items)) for name, items in errors.items() if items}
    return QuantizedLayers(
        {name: shifted(model.layer(name), layer, shifts.get(name)) for name, layer in form.layers.items()}, form.tensors
    )


def likely_mean(items: Channels) -> Channels:
    """Return the mean of each channel, drawn towards 0 by what chance adds to it.

    Args:
        items: each item's mean, shape (items, channels).

    Returns:
        Shape (channels,).
    """
    mean: Channels = items.mean(axis=0)
    if len(items) < 2:
        return mean
    return likely(mean, items.var(axis=0, ddof=1) / len(items))


def shifted(layer: Layer, quantized: QuantizedLayer, shift: Channels | None) -> QuantizedLayer:
    """Return the layer with a real ``shift`` of its output in its bias, or as it is where that would be illegal."""
    if shift is None or not np.isfinite(shift).all():  # sums that left float32
        return quantized
    if layer.bias_behind:
        return replace(quantized, shift=shift.astype(np.float32))
    record = quantized.record
    deq = np.broadcast_to(dequant_scale(record.activation.scale, np.asarray(record.weight_scales)), (layer.channels,))
    bias = 0.0 if quantized.bias is None else quantized.bias * deq.astype(np.float64)
    try:
        made = replace(quantized, bias=int32_bias(quantize_bias(bias + shift, deq)))
        check_sums(layer, made)
    except ValueError:
        return quantized
    return made
