"""One layer of the layerwise pass, as corrections find it: what it reads and gives over the items, float and quantized.

Some of the items are held back: no correction looks at them. A form of the layer is judged by its error on these alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runner.calibration.quantize import check_sums
from runner.correction.calibrated import Calibrated
from runner.correction.held_back import HeldBack
from runner.correction.layerwise_pass import LayerwisePass
from runner.correction.output_adjustment import adjusted_outputs
from runner.correction.parallel import each_of
from runner.correction.what_follows import activation, clipping
from runner.graph.added_bias import takes_bias
from runner.graph.layers import Layer
from runner.graph.smoothing import balanced, smoothed_rows
from runner.record import QuantizedLayer
from runner.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A form of the layer that has run on the items held back.

    Attributes:
        quantized: the form.
        outputs: what it gives for these items, by item.
        error: its share of noise there, with the bias that it is still to get (``held_back.py``).
        session: runs it on others.
    """

    quantized: QuantizedLayer
    outputs: Mapping[int, NDArray[np.float32]]
    error: float
    session: Session


@dataclass(frozen=True, slots=True, eq=False)
class LayerForm:
    """A form of the layer, and what it gives.

    Attributes:
        quantized: the form.
        outputs: what it gives, an entry an item.
    """

    quantized: QuantizedLayer
    outputs: list[NDArray[np.float32]]


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
        clipping: what clips the layer's output before anything else reads it.
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
        self.clipping = clipping(self.node, layer)
        self._held_back = HeldBack.of(
            layer,
            {item: self.float_outputs[item] for item in layerwise.held_back if item in comparable},
            activation(self.node, layer),
            self.clipping,
            self.engine.callers,
        )

    def input(self, item: int) -> NDArray[np.float32]:
        """Return what the quantized layer rounds: its input, smoothed where the layer is."""
        return balanced(self._pass.input(self.layer, item), self.quantized.record.balance_factors, self.layer)

    def candidate(self, quantized: QuantizedLayer) -> Candidate | None:
        """Return how a form of the layer does on the items held back; None where its integer sums are illegal."""
        if not self._is_legal(quantized):
            return None
        session, items = self._pass.quantized_session(self.layer, quantized), self._held_back.items
        outputs = dict(zip(items, self._run(session, items), strict=True))
        return Candidate(quantized, outputs, self._held_back.error(outputs, bias_to_come=self.fits_bias()), session)

    def form(self, candidate: Candidate) -> LayerForm:
        """Return what a form gives for all items."""
        outputs = dict(candidate.outputs)
        rest = [item for item in range(self._pass.items) if item not in outputs]
        outputs |= zip(rest, self._run(candidate.session, rest), strict=True)
        return LayerForm(candidate.quantized, [outputs[item] for item in range(self._pass.items)])

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

        items = self._held_back.items
        before = {item: form.outputs[item] for item in items}
        after = dict(zip(items, adjust([array.copy() for array in before.values()]), strict=True))
        old, new = (self._held_back.error(outputs, bias_to_come=False) for outputs in (before, after))
        if not new < old:
            return form
        outputs = [after.get(item, array) for item, array in enumerate(form.outputs)]
        adjust([array for item, array in enumerate(outputs) if item not in after])
        return LayerForm(made, outputs)

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

    def _run(self, session: Session, items: Sequence[int]) -> list[NDArray[np.float32]]:
        return each_of(
            lambda item: session.run({self.layer.input: self._pass.input(self.layer, item)})[0],
            items,
            self.engine.callers,
        )
