"""``bias`` and ``scale``: fit a layer's quantized output to the float one, behind what clips both (``affine.py``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.correction.affine import Fit, fit_outputs
from runner.correction.layer_state import LayerForm, LayerState
from runner.correction.output_adjustment import adjusted
from runner.correction.parallel import each_of
from runner.correction.positions import some_positions, unit_of_squares
from runner.correction.what_follows import clipping
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

    def __call__(self, state: LayerState, form: LayerForm) -> QuantizedLayer:
        """Return a form of the layer with the fit in its bias and weight scales, or as it is where that would be illegal."""
        layer, quantized = state.layer, form.quantized
        if not state.fits_bias() or not state.comparable:
            return quantized
        found, firsts = self._some(state, form.outputs)
        wanted, _ = self._some(state, state.float_outputs)
        if not len(wanted) or not (np.isfinite(wanted).all() and np.isfinite(found).all()):
            return quantized
        clips, with_factor = clipping(state.node, layer), self.with_factor and _takes_factor(layer)
        # Outputs whose squares float32 does not hold are fitted in units in which it does.
        unit = unit_of_squares(wanted)
        if unit != 1:
            found, wanted, clips = found / unit, wanted / unit, clips.in_units(unit)
        blocks = [slice(first, first + _CHANNELS) for first in range(0, layer.channels, _CHANNELS)]
        fits = each_of(
            lambda block: fit_outputs(
                found[:, block], wanted[:, block], clips.of(block), with_factor=with_factor, firsts=firsts
            ),
            blocks,
            state.engine.callers,
        )
        fit = Fit.of(fits).shrunk()
        shift = fit.shift * unit
        if not (np.isfinite(shift).all() and np.isfinite(fit.factor).all()):
            return quantized
        try:
            return adjusted(layer, quantized, shift, fit.factor if _takes_factor(layer) else None)
        except ValueError:
            return quantized

    @staticmethod
    def _some(state: LayerState, outputs: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], list[int]]:
        items = [outputs[item] for item in state.comparable]
        return some_positions(items.__getitem__, state.layer, len(items), _POSITIONS, state.engine.callers)


def _takes_factor(layer: Layer) -> bool:
    # What stands in a float Add behind the layer would have to be fitted again for other scales.
    return layer.per_channel and not layer.bias_behind
