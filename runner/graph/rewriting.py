"""What calibration found worth doing to the float model before it is quantized: it computes the same after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from runner.graph.cross_layer_equalization import Exponents, equalized
from runner.graph.pixel_codes import Levels, with_whole_pixels


@dataclass(frozen=True, slots=True, eq=False)
class Rewriting:
    """How to rewrite a prepared model; false where it stays as it is.

    Attributes:
        pixels: of ``runner.graph.pixel_codes``.
        exponents: of ``runner.graph.cross_layer_equalization``.
    """

    pixels: Mapping[str, Levels] = field(default_factory=dict)
    exponents: Exponents = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.pixels or self.exponents)


def rewritten(model: ir.Model, rewriting: Rewriting) -> ir.Model:
    """Return the model rewritten.

    Raises:
        ValueError: the rewriting is of another model.
    """
    if rewriting.pixels:
        model = with_whole_pixels(model, rewriting.pixels)
    return equalized(model, rewriting.exponents) if rewriting.exponents else model
