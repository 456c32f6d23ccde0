"""``bias=isolated``: take each layer's mean output error off in its bias: all in one pass, each layer alone on float input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from runner.calibration.layer_by_layer import COUNT, MEAN_ERROR, layer_by_layer
from runner.calibration.quantize import check_sums
from runner.correction.calibrated import Calibrated
from runner.correction.output_adjustment import adjusted
from runner.correction.shrinkage import PerChannel, shrunk
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.added_bias import takes_bias
from runner.graph.layers import Layer
from runner.record import QuantizedLayer, QuantizedLayers

# Parts of the items that a shift is judged on, each by one that the others give.
_FOLDS = 5


def correct_biases(
    start: Calibrated, items: Subset, *, engine: Engine, progress: Callable[[int], None] = lambda done: None
) -> QuantizedLayers:
    """Return the form with biases that leave no layer a mean error on float inputs, as far as the items can tell.

    A layer whose shift does not help on items that it was not taken from keeps its bias.

    Args:
        start: the form to correct, and where it comes from.
        items: calibration data.
        engine: runs the model.
        progress: told the number of items done.
    """
    form, nodes = start.form, {node.name: node for node in start.model.graph.graph}
    biased = QuantizedLayers({name: layer for name, layer in form.layers.items() if takes_bias(nodes[name])})
    if not biased.layers:
        return form
    errors: dict[str, list[PerChannel]] = {name: [] for name in biased.layers}
    passes = layer_by_layer(start.model, biased, items, engine=engine, reductions=(MEAN_ERROR,), progress=progress)
    for sums in passes:
        for name, reduced in sums.items():
            if reduced[COUNT]:
                errors[name].append(reduced[MEAN_ERROR.name])
    shifts = {name: shrunk_mean(np.array(means)) for name, means in errors.items() if means and helps(np.array(means))}
    return QuantizedLayers(
        {name: shifted(start.model.layer(name), layer, shifts.get(name)) for name, layer in form.layers.items()},
        form.tensors,
    )


def helps(items: PerChannel) -> bool:
    """Return whether a shift lowers the squared error on items that it was not taken from, in all: cross-validation.

    A shift s leaves ``sum (d - s)^2`` of errors d, which is less by ``2 s sum d - n s^2``: means are enough to tell.

    Args:
        items: each item's mean error, shape (items, channels); of a single item a shift always helps.
    """
    if len(items) < 2:
        return True
    gain = 0.0
    for fold in range(min(len(items), _FOLDS)):
        left_out = np.arange(len(items)) % _FOLDS == fold
        shift = shrunk_mean(items[~left_out])
        gain += float(np.sum(2 * shift * items[left_out] - shift**2))
    return gain > 0


def shrunk_mean(items: PerChannel) -> PerChannel:
    """Return the mean of each channel, drawn towards 0 by what chance adds to it.

    Args:
        items: each item's mean, shape (items, channels).

    Returns:
        Shape (channels,).
    """
    mean: PerChannel = items.mean(axis=0)
    if len(items) < 2:
        return mean
    return shrunk(mean, items.var(axis=0, ddof=1) / len(items))


def shifted(layer: Layer, quantized: QuantizedLayer, shift: PerChannel | None) -> QuantizedLayer:
    """Return the layer with a real ``shift`` of its output in its bias, or as it is where that would be illegal."""
    if shift is None or not np.isfinite(shift).all():  # sums that left float32
        return quantized
    try:
        made = adjusted(layer, quantized, shift)
        check_sums(layer, made)
    except ValueError:
        return quantized
    return made
