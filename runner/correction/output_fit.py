"""``bias`` and ``scale``: fit a layer's quantized output to the float one, behind what clips both (``affine.py``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runner.correction.affine import fit_layer
from runner.correction.layer_state import LayerForm, LayerState
from runner.correction.output_adjustment import adjusted
from runner.correction.positions import some_positions
from runner.graph.layers import Layer
from runner.record import QuantizedLayer

# Positions, over all items, that a fit looks at. Chance errs by one over their root; how items differ, by more than that.
_POSITIONS = 5_000


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
        takes_factor = _takes_factor(layer)
        fit = fit_layer(
            found,
            wanted,
            state.clipping,
            with_factor=self.with_factor and takes_factor,
            firsts=firsts,
            callers=state.engine.callers,
        )
        if fit is None:
            return quantized
        fit = fit.shrunk()
        if not (np.isfinite(fit.shift).all() and np.isfinite(fit.factor).all()):
            return quantized
        try:
            return adjusted(layer, quantized, fit.shift, fit.factor if takes_factor else None)
        except ValueError:
            return quantized

    @staticmethod
    def _some(state: LayerState, outputs: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], list[int]]:
        items = [outputs[item] for item in state.comparable]
        return some_positions(items.__getitem__, state.layer, len(items), _POSITIONS, state.engine.callers)


def _takes_factor(layer: Layer) -> bool:
    # What stands in a float Add behind the layer would have to be fitted again for other scales.
    return layer.per_channel and not layer.bias_behind
