"""One layer of the layerwise pass, as corrections find it: what it reads and gives over the items, float and quantized.

Some of the items are held back: no correction looks at them. A form of the layer is judged by its error on these alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runner.calibration.quantize import check_sums
from runner.correction.calibrated import Calibrated
from runner.correction.layerwise_pass import LayerwisePass
from runner.correction.output_adjustment import adjusted_outputs
from runner.correction.positions import by_channel
from runner.correction.what_follows import activation
from runner.graph.added_bias import takes_bias
from runner.graph.layers import Layer
from runner.graph.smoothing import balanced, smoothed_rows
from runner.record import QuantizedLayer


@dataclass(frozen=True, slots=True, eq=False)
class LayerForm:
    """A form of the layer, and what it gives.

    Attributes:
        quantized: the form.
        outputs: what it gives, an entry an item.
        error: its share of noise on the items held back: sum (f - q)^2 / sum f^2 behind the activation that follows.
    """

    quantized: QuantizedLayer
    outputs: list[NDArray[np.float32]]
    error: float


class Fitting(Protocol):
    """Fits the bias of a form of the layer, and its weight scale."""

    def __call__(self, state: LayerState, form: LayerForm) -> QuantizedLayer:
        """Return the fitted form; the form's own where there is nothing to make better."""
        ...


class LayerState:
    """The layer that the pass has come to.

    Args:
        start: the model, its layers, and what calibration saw of them.
        layerwise: the pass.
        layer: that it has come to.
        bias_is_fitted: whether mean errors of the output go into the layer's bias in the end, if it has a place for one.

    Attributes:
        start: as given.
        layer: as given.
        node: the layer's.
        engine: how many threads work; runs parts of the model.
        quantized: the form of the layer that the next correction starts from.
        float_outputs: what the float layer gives, an entry an item.
        items: those that corrections look at.
        comparable: those of them for which the quantized layer's input has the float one's shape. A detector that quantization
            lets keep other rows than the float model gives a layer other positions to compare.
    """

    def __init__(self, start: Calibrated, layerwise: LayerwisePass, layer: Layer, *, bias_is_fitted: bool) -> None:
        self.start, self.layer, self.engine = start, layer, layerwise.engine
        self._pass, self._bias_is_fitted = layerwise, bias_is_fitted
        self.node = layerwise.node(layer)
        self.quantized = start.form.layers[layer.name]
        session = layerwise.float_session()
        self.float_outputs = layerwise.each(
            lambda item: session.run({layer.input: layerwise.float_input(layer, item)})[0]
        )
        comparable = {
            item
            for item in range(layerwise.items)
            if layerwise.input(layer, item).shape == layerwise.float_input(layer, item).shape
        }
        self.items = layerwise.fitted
        self.comparable = [item for item in self.items if item in comparable]
        self._held_back = [item for item in layerwise.held_back if item in comparable]
        self._activation = activation(self.node, layer)

    def input(self, item: int) -> NDArray[np.float32]:
        """Return what the quantized layer rounds: its input, smoothed where the layer is."""
        return balanced(self._pass.input(self.layer, item), self.quantized.record.balance_factors, self.layer)

    def form(self, quantized: QuantizedLayer) -> LayerForm | None:
        """Return what a form of the layer gives; None where its integer sums are illegal."""
        if not self._is_legal(quantized):
            return None
        session = self._pass.quantized_session(self.layer, quantized)
        outputs = self._pass.each(lambda item: session.run({self.layer.input: self._pass.input(self.layer, item)})[0])
        return LayerForm(quantized, outputs, self._error(outputs))

    def fitted(self, form: LayerForm, fit: Fitting) -> LayerForm:
        """Return a form with its bias and weight scale fitted, or as it is where that is no better on the items held back.

        Args:
            form: its outputs are modified in place, and the form is of no use any more, where another one is returned.
            fit: gives the fitted form.
        """
        made = fit(self, form)
        if made is form.quantized or not self._is_legal(made):
            return form

        def adjust(outputs: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
            return adjusted_outputs(outputs, self.layer, form.quantized, made, self.engine.callers)

        held_back = set(self._held_back)
        outputs = list(form.outputs)
        for item, changed in zip(
            self._held_back, adjust([outputs[item].copy() for item in self._held_back]), strict=True
        ):
            outputs[item] = changed
        error = self._error(outputs)
        if not error < form.error:
            return form
        adjust([array for item, array in enumerate(outputs) if item not in held_back])
        return LayerForm(made, outputs, error)

    def weight(self, layer: Layer | None = None) -> NDArray[np.float64]:
        """Return the float weight, smoothed where the layer is, shape (channels, weights); or that of another layer."""
        other = layer or self.layer
        factors = self.start.form.layers[other.name].record.balance_factors
        return smoothed_rows(self._pass.node(other), other, factors).astype(np.float64).reshape(other.channels, -1)

    def fits_bias(self, layer: Layer | None = None) -> bool:
        """Return whether a bias makes up for the layer's mean errors; or for those of another layer."""
        return self._bias_is_fitted and takes_bias(self._pass.node(layer or self.layer))

    def _is_legal(self, quantized: QuantizedLayer) -> bool:
        try:
            check_sums(self.layer, quantized)
        except ValueError:
            return False
        return True

    def _error(self, outputs: list[NDArray[np.float32]]) -> float:
        """Return the share of noise on the items held back; infinite where there is none that can be compared."""
        signal = noise = 0.0
        for item in self._held_back:
            real, found = (
                self._activation(by_channel(y, self.layer).T) for y in (self.float_outputs[item], outputs[item])
            )
            signal += float(np.sum(np.square(real, dtype=np.float64)))
            noise += float(np.sum(np.square(np.subtract(real, found, dtype=np.float64))))
        share = noise / signal if signal else noise
        return share if self._held_back and math.isfinite(share) else math.inf
