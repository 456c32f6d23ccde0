"""Correct the layers: one after the other, each on what those before it give, or all in one pass.

A correction is given a layer (``LayerState``: what the float and the quantized layer read and give over the calibration
items) and returns its quantized form, another one or the same. It is kept where it lowers the error of the layer's output on
items that no correction looks at; and what all of them made of the layers where it lowers that of the model's outputs
(``at_outputs.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from threadpoolctl import threadpool_limits

from runner.correction.at_outputs import least_harmful
from runner.correction.bias_correction import correct_biases
from runner.correction.calibrated import Calibrated
from runner.correction.layer_state import Candidate, LayerForm, LayerState
from runner.correction.layerwise_pass import LayerwisePass, held_back
from runner.correction.options import Correction
from runner.correction.output_fit import OutputFit
from runner.correction.output_range import OutputRange
from runner.correction.parallel import both
from runner.correction.weight_rounding import gptq_rounded
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayer, QuantizedLayers

# The version of this stage's meaning: raise it when the same form and data would give other integers.
VERSION = 11

# Items, evenly spaced, that mean errors alone are taken over: a pass over float layers and their quantized copies costs three
# evaluations an item, and what chance adds to the means of fewer items is allowed for.
_PASS_ITEMS = 50
# Items that forms are compared on at the model's outputs, at most.
_JUDGED_ITEMS = 25


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
    finished: Mapping[str, QuantizedLayer] = MappingProxyType({}),
) -> QuantizedLayers:
    """Return the form with better ranges, integers and biases.

    Args:
        start: the form to correct, and where it comes from.
        items: calibration data.
        options: which corrections.
        engine: runs the model; how many threads work.
        progress: told the number of layers done; where all are corrected together, their share of the items done.
        finished: forms of the first layers that are corrected already, on the same items by the same options.
    """
    # The callers share the cores out already; and how many threads a product has must not decide its last bit.
    with threadpool_limits(1, user_api="blas"):
        if options.of_layers == Correction(bias="isolated"):
            return _in_one_pass(start, items, engine, progress)
        return _layer_after_layer(start, items, options, engine, progress, finished)


def least_harmful_of(
    start: Calibrated, forms: Sequence[QuantizedLayers], items: Subset, engine: Engine
) -> QuantizedLayers:
    """Return the one of some forms, or the one rounded to nearest, that does the outputs least harm on items held back.

    Args:
        start: the form rounded to nearest, and where it comes from.
        forms: the one that is expected to be best first.
        items: calibration data.
        engine: runs the model.
    """
    judged = held_back(items)
    judged = judged.at(range(min(len(judged), _JUDGED_ITEMS)))
    return least_harmful(start.model, [*forms, start.form], judged, engine)


def _layer_after_layer(
    start: Calibrated,
    items: Subset,
    options: Correction,
    engine: Engine,
    progress: Callable[[int], None],
    finished: Mapping[str, QuantizedLayer],
) -> QuantizedLayers:
    sequential = options.bias == "sequential"
    layerwise = LayerwisePass(start, items, engine=engine, quantized_upstream=sequential, finished=finished)
    ranges = OutputRange(start, finished) if options.range == "output" else None
    fit = OutputFit(with_factor=options.scale) if options.bias != "none" else None
    corrections = _corrections(options, ranges)
    corrected = dict(finished)
    for layer in layerwise.layers():
        state = LayerState(start, layerwise, layer, bias_is_fitted=fit is not None)
        if ranges is not None:
            state.quantized = ranges.shared(state)
        best = _best(state, corrections, fit)
        if ranges is not None:
            ranges.settle(layer.name, best.quantized)
        corrected[layer.name] = best.quantized
        layerwise.finish(layer, best.quantized, state.float_outputs, best.outputs if sequential else None)
        progress(len(corrected))
    return QuantizedLayers({name: corrected[name] for name in start.form.layers}, start.form.tensors)


def _corrections(options: Correction, ranges: OutputRange | None) -> list[LayerCorrection]:
    """Return what is tried before the bias is fitted, in this order."""
    chosen: list[LayerCorrection] = [] if ranges is None else [ranges]
    if options.rounding == "compensated":
        chosen.append(gptq_rounded)
    return chosen


def _best(state: LayerState, corrections: list[LayerCorrection], fit: OutputFit | None) -> LayerForm:
    """Return the layer's form after each correction that helps; the next one starts from those that did."""
    start = state.quantized
    first, others = corrections[:1], corrections[1:]
    # How the layer does without a correction is not asked before the first one is made.
    best, made = both(lambda: state.candidate(start), lambda: [make(state) for make in first], state.engine.callers)
    assert best is not None  # calibration made sure that its sums are legal
    for quantized in made:
        best = _better(state, best, quantized)
    for correction in others:
        state.quantized = best.quantized
        best = _better(state, best, correction(state))
    form = state.form(best)
    return form if fit is None else state.fitted(form, fit)


def _better(state: LayerState, best: Candidate, made: QuantizedLayer) -> Candidate:
    """Return a corrected form if it does better than the best so far."""
    other = None if made is best.quantized else state.candidate(made)
    return other if other is not None and other.error < best.error else best


def _in_one_pass(start: Calibrated, items: Subset, engine: Engine, progress: Callable[[int], None]) -> QuantizedLayers:
    judged = set(held_back(items).indices) if len(items) > 1 else set()
    others = [place for place, index in enumerate(items.indices) if index not in judged]
    some = items.at(others[:: -(-len(others) // _PASS_ITEMS)])
    layers = len(start.form.layers)
    return correct_biases(start, some, engine=engine, progress=lambda done: progress(layers * done // len(some)))
