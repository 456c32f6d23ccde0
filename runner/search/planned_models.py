"""The models of plans: each layer in the form of its treatment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from runner.convert.fake_quant import fake_quant_model
from runner.graph.layers import LayeredModel
from runner.record import QuantizedLayers
from runner.search.plan import FLOAT, INT8, Plan


@dataclass(frozen=True, slots=True, eq=False)
class PlannedModels:
    """Makes the quantized form and the simulation model of any plan.

    Attributes:
        float_model: prepared, at a runnable opset.
        forms: the form that each treatment of a layer is taken from; the one of ``INT8`` has every layer and the tensors.
            Repaired ones, the gentlest first, are added once they are wanted.
    """

    float_model: LayeredModel
    forms: dict[str, QuantizedLayers]

    @property
    def repaired(self) -> dict[str, QuantizedLayers]:
        """The stronger forms of the layers, by treatment, the gentlest first."""
        return {treatment: form for treatment, form in self.forms.items() if treatment != INT8}

    def form(self, plan: Plan) -> QuantizedLayers:
        """Return a plan's quantized form."""
        return planned_form(self.forms, plan)

    def model(self, plan: Plan, *, multiply: bool) -> ir.Model:
        """Return a plan's simulation model; ``multiply`` as in ``fake_quant_model``."""
        return fake_quant_model(self.float_model, self.form(plan), multiply=multiply)


def planned_form(forms: Mapping[str, QuantizedLayers], plan: Plan) -> QuantizedLayers:
    """Return the form of a plan: each int8 layer from the form of its treatment.

    Args:
        forms: by treatment; the one of ``INT8`` has every layer and the tensors.
        plan: what is done to each layer.
    """
    layers = {name: forms[treatment].layers[name] for name, treatment in plan.treatments if treatment != FLOAT}
    return QuantizedLayers(layers, {} if plan.float_tensors else forms[INT8].tensors)
