"""One layer of the layerwise pass, as corrections find it: what it reads and gives over the items, float and quantized."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runner.calibration.quantize import check_sums
from runner.correction.calibrated import Calibrated
from runner.correction.layerwise_pass import LayerwisePass
from runner.correction.output_adjustment import adjusted_outputs
from runner.graph.added_bias import takes_bias
from runner.graph.layers import Layer
from runner.graph.smoothing import balanced, smoothed_rows
from runner.record import QuantizedLayer


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
        quantized: the layer's form as the corrections made so far leave it.
        float_outputs: what the float layer gives, an entry an item.
        comparable: the items for which the quantized layer's input has the float one's shape. A detector that quantization
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
        self.comparable = [
            item
            for item in range(layerwise.items)
            if layerwise.input(layer, item).shape == layerwise.float_input(layer, item).shape
        ]
        self._outputs: list[NDArray[np.float32]] | None = None

    @property
    def items(self) -> int:
        """How many items there are to look at."""
        return self._pass.items

    def input(self, item: int) -> NDArray[np.float32]:
        """Return what the quantized layer rounds: its input, smoothed where the layer is."""
        return balanced(self._pass.input(self.layer, item), self.quantized.record.balance_factors, self.layer)

    def outputs(self) -> list[NDArray[np.float32]]:
        """Return what the quantized layer gives as it stands, an entry an item."""
        if self._outputs is None:
            session = self._pass.quantized_session(self.layer, self.quantized)
            self._outputs = self._pass.each(
                lambda item: session.run({self.layer.input: self._pass.input(self.layer, item)})[0]
            )
        return self._outputs

    def accept(self, made: QuantizedLayer) -> None:
        """Take another form of the layer; one whose integer sums are illegal is left."""
        before = self.quantized
        if made is before:
            return
        try:
            check_sums(self.layer, made)
        except ValueError:
            return
        self.quantized = made
        same_sums = made.weight is before.weight and made.record.activation == before.record.activation
        if self._outputs is not None and same_sums and self._pass.quantized_upstream:
            self._outputs = adjusted_outputs(self._outputs, self.layer, before, made, self.engine.callers)
        else:
            self._outputs = None

    def weight(self, layer: Layer | None = None) -> NDArray[np.float64]:
        """Return the float weight, smoothed where the layer is, shape (channels, weights); or that of another layer."""
        other = layer or self.layer
        factors = self.start.form.layers[other.name].record.balance_factors
        return smoothed_rows(self._pass.node(other), other, factors).astype(np.float64).reshape(other.channels, -1)

    def fits_bias(self, layer: Layer | None = None) -> bool:
        """Return whether a bias makes up for the layer's mean errors; or for those of another layer."""
        return self._bias_is_fitted and takes_bias(self._pass.node(layer or self.layer))
