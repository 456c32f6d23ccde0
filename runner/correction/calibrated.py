"""What corrections start from: a calibrated model with its layers in int8, rounded to nearest."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runner.calibration.collect import Calibration
from runner.graph.layers import Layer, LayeredModel
from runner.record import QuantizedLayers


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """A model whose layers are to be corrected.

    Attributes:
        model: the prepared float model at a runnable opset, with its layers.
        form: their quantized form, rounded to nearest.
        seen: what calibration saw of the layers' inputs.
        symmetric: names of the layers whose input has zero point 0 because the user or the format wants it so.
    """

    model: LayeredModel
    form: QuantizedLayers
    seen: Calibration
    symmetric: Collection[str] = ()

    def is_symmetric(self, layer: Layer) -> bool:
        """Return whether a layer's input has zero point 0."""
        return layer.symmetric or layer.name in self.symmetric
