"""Correct the layers once, in int8 all of them: one after the other, each on what those before it give, or all in one pass.

A correction is given a layer (``LayerState``: what the float and the quantized layer read and give over the calibration
items) and returns its quantized form, another one or the same. ``_corrections`` lists them in the order in which they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from threadpoolctl import threadpool_limits

from runner.correction.bias_correction import correct_biases
from runner.correction.calibrated import Calibrated
from runner.correction.layer_state import LayerState
from runner.correction.layerwise_pass import LayerwisePass
from runner.correction.options import Correction
from runner.correction.output_fit import OutputFit
from runner.correction.output_range import OutputRange
from runner.correction.weight_rounding import gptq_rounded
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayer, QuantizedLayers

# The version of this stage's meaning: raise it when the same form and data would give other integers.
VERSION = 9

# Items, evenly spaced, that mean errors alone are taken over: a pass over float layers and their quantized copies costs three
# evaluations an item, and what chance adds to the means of fewer items is allowed for.
_PASS_ITEMS = 50


class LayerCorrection(Protocol):
    """Makes one layer better; one whose integers turn out illegal is not taken."""

    def __call__(self, state: LayerState) -> QuantizedLayer:
        """Return the layer's form, ``state.quantized`` where there is nothing to make better."""
        ...


def correct(
    start: Calibrated,
    items: Subset,
    *,
    options: Correction,
    engine: Engine,
    progress: Callable[[int], None] = lambda done: None,
) -> QuantizedLayers:
    """Return the form with better ranges, integers and biases.

    A layer whose corrected integers would be illegal keeps those that it had.

    Args:
        start: the form to correct, and where it comes from.
        items: calibration data.
        options: which corrections.
        engine: runs the model; how many threads work.
        progress: told the number of layers done; where all are corrected together, their share of the items done.
    """
    # The callers share the cores out already; and how many threads a product has must not decide its last bit.
    with threadpool_limits(1, user_api="blas"):
        if options.of_layers == Correction(bias="isolated"):
            return _in_one_pass(start, items, engine, progress)
        return _layer_after_layer(start, items, options, engine, progress)


def _corrections(start: Calibrated, options: Correction) -> list[LayerCorrection]:
    chosen: list[LayerCorrection] = []
    if options.range == "output":
        chosen.append(OutputRange(start))
    if options.rounding == "compensated":
        chosen.append(gptq_rounded)
    if options.bias != "none":
        chosen.append(OutputFit(with_factor=options.scale))
    return chosen


def _layer_after_layer(
    start: Calibrated, items: Subset, options: Correction, engine: Engine, progress: Callable[[int], None]
) -> QuantizedLayers:
    sequential = options.bias == "sequential"
    layerwise = LayerwisePass(start, items, engine=engine, quantized_upstream=sequential)
    corrections = _corrections(start, options)
    corrected: dict[str, QuantizedLayer] = {}
    for layer in layerwise.layers():
        state = LayerState(start, layerwise, layer, bias_is_fitted=options.bias != "none")
        for correction in corrections:
            state.accept(correction(state))
        corrected[layer.name] = state.quantized
        layerwise.finish(layer, state.quantized, state.float_outputs, state.outputs() if sequential else None)
        progress(len(corrected))
    return QuantizedLayers(corrected, start.form.tensors)


def _in_one_pass(start: Calibrated, items: Subset, engine: Engine, progress: Callable[[int], None]) -> QuantizedLayers:
    some = items.at(range(0, len(items), -(-len(items) // _PASS_ITEMS)))
    layers = len(start.form.layers)
    return correct_biases(start, some, engine=engine, progress=lambda done: progress(layers * done // len(some)))
