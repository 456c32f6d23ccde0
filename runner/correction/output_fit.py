"""``bias`` and ``scale``: fit a layer's quantized output to the float one, behind what clips both (``affine.py``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.correction.affine import Clipping, Fit, fit_outputs
from runner.correction.layer_state import LayerState
from runner.correction.output_adjustment import adjusted
from runner.correction.parallel import each_of
from runner.correction.positions import some_positions, unit_of_squares
from runner.graph.added_bias import biased
from runner.graph.constants import constant
from runner.graph.layers import Layer
from runner.record import QuantizedLayer

# Positions, over all items, that a fit looks at. Chance errs by one over their root.
_POSITIONS = 10_000
# Channels that are fitted at once: few enough for their positions to stay in the processor's cache.
_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class OutputFit:
    """Gives a layer the bias that fits its output best.

    Attributes:
        with_factor: whether to fit a factor a channel too, where each has a weight scale of its own.
    """

    with_factor: bool

    def __call__(self, state: LayerState) -> QuantizedLayer:
        """Return the layer with the fit in its bias and weight scales, or as it is where that would be illegal."""
        layer = state.layer
        if not state.fits_bias() or not state.comparable:
            return state.quantized
        found, firsts = self._some(state, state.outputs())
        wanted, _ = self._some(state, state.float_outputs)
        if not len(wanted) or not (np.isfinite(wanted).all() and np.isfinite(found).all()):
            return state.quantized
        clipping, with_factor = _clipping(state.node, layer), self.with_factor and _takes_factor(layer)
        # Outputs whose squares float32 does not hold are fitted in units in which it does.
        unit = unit_of_squares(wanted)
        if unit != 1:
            found, wanted, clipping = found / unit, wanted / unit, clipping.in_units(unit)
        blocks = [slice(first, first + _CHANNELS) for first in range(0, layer.channels, _CHANNELS)]
        fits = each_of(
            lambda block: fit_outputs(
                found[:, block], wanted[:, block], clipping.of(block), with_factor=with_factor, firsts=firsts
            ),
            blocks,
            state.engine.callers,
        )
        fit = Fit.of(fits).shrunk()
        shift = fit.shift * unit
        if not (np.isfinite(shift).all() and np.isfinite(fit.factor).all()):
            return state.quantized
        try:
            return adjusted(layer, state.quantized, shift, fit.factor if _takes_factor(layer) else None)
        except ValueError:
            return state.quantized

    @staticmethod
    def _some(state: LayerState, outputs: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], list[int]]:
        items = [outputs[item] for item in state.comparable]
        return some_positions(items.__getitem__, state.layer, len(items), _POSITIONS, state.engine.callers)


def _takes_factor(layer: Layer) -> bool:
    # What stands in a float Add behind the layer would have to be fitted again for other scales.
    return layer.per_channel and not layer.bias_behind


def _clipping(node: ir.Node, layer: Layer) -> Clipping:
    """Return what clips the output of a layer, with its bias, before anything else reads it."""
    output = biased(node).outputs[0]
    readers = list(output.consumers())
    if len(readers) != 1 or output.is_graph_output():
        return Clipping()
    reader = readers[0]
    if reader.op_type == "Relu":
        return Clipping(0.0, _end_after(reader, layer))
    if reader.op_type != "Clip":
        return Clipping()
    ends = [constant(value) for value in reader.inputs[1:]]
    low, high = (None if end is None else float(end.reshape(-1)[0]) for end in (*ends, None, None)[:2])
    return Clipping(-np.inf if low is None else low, np.inf if high is None else high)


def _end_after(relu: ir.Node, layer: Layer) -> float | NDArray[np.float32]:
    """Return what a Min cuts each channel of ``layer`` off at after its Relu: so equalization writes a Clip."""
    readers = list(relu.outputs[0].consumers())
    if len(readers) != 1 or relu.outputs[0].is_graph_output() or readers[0].op_type != "Min":
        return np.inf
    ends = [constant(value) for value in readers[0].inputs[1:]]
    end = ends[0] if len(ends) == 1 else None
    if end is None or end.shape != (layer.channels, *[1] * layer.spatial):
        return np.inf
    return np.asarray(end, np.float32).reshape(-1, 1)
