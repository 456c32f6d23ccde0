"""How a quantized model runs while plans are searched for: the graph that stands for it, and the session it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.graph.layers import LayeredModel
from runner.record import QuantizedLayers
from runner.session import SIMULATION, Profile


class Simulation(Protocol):
    """What a target's answers are measured with; a value, told apart by its class and fields."""

    @property
    def profile(self) -> Profile:
        """Return how onnxruntime may rewrite the model."""
        ...

    def model(self, float_model: LayeredModel, form: QuantizedLayers, *, own_session: bool) -> ir.Model:
        """Return the model with its quantized layers.

        Args:
            float_model: prepared, at opset 13 or later.
            form: what is quantized.
            own_session: whether it runs in a session of ``profile`` and is no file for anybody else.
        """
        ...


@dataclass(frozen=True, slots=True)
class IntegerSimulation:
    """The deploy graph's integers in operators of any onnxruntime, see ``fake_quant_model``."""

    @property
    def profile(self) -> Profile:
        """Return the profile in which nothing but what the graph says is computed."""
        return SIMULATION

    def model(self, float_model: LayeredModel, form: QuantizedLayers, *, own_session: bool) -> ir.Model:
        """Return the fake-quant model."""
        return fake_quant_model(float_model, form, multiply=own_session)
