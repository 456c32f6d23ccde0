"""The models of plans: each layer in the form of its treatment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from runner.convert.simulation import IntegerSimulation, Simulation
from runner.graph.layers import LayeredModel
from runner.record import QuantizedLayers
from runner.search.plan import FLOAT, INT8, Plan

# The form of a plan as the target writes it.
Planned = Callable[[LayeredModel, QuantizedLayers], QuantizedLayers]


def as_it_is(model: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
    """Return the form itself: falling back is leaving out."""
    return form


@dataclass(frozen=True, slots=True, eq=False)
class PlannedModels:
    """Makes the quantized form and the simulation model of any plan.

    Attributes:
        float_model: prepared, at a runnable opset.
        forms: the form that each treatment of a layer is taken from; the one of ``INT8`` has every layer and the tensors.
            Repaired ones, the gentlest first, are added once they are wanted.
        simulation: how a plan's model runs.
        planned: what the target makes of a plan's form.
    """

    float_model: LayeredModel
    forms: dict[str, QuantizedLayers]
    simulation: Simulation = field(default_factory=IntegerSimulation)
    planned: Planned = as_it_is

    @property
    def repaired(self) -> dict[str, QuantizedLayers]:
        """The stronger forms of the layers, by treatment, the gentlest first."""
        return {treatment: form for treatment, form in self.forms.items() if treatment != INT8}

    def form(self, plan: Plan) -> QuantizedLayers:
        """Return a plan's quantized form."""
        return self.planned(self.float_model, planned_form(self.forms, plan))

    def model(self, plan: Plan, *, own_session: bool) -> ir.Model:
        """Return a plan's simulation model; ``own_session`` as in ``Simulation.model``."""
        return self.simulation.model(self.float_model, self.form(plan), own_session=own_session)


def planned_form(forms: Mapping[str, QuantizedLayers], plan: Plan) -> QuantizedLayers:
    """Return the form of a plan: each int8 layer from the form of its treatment.

    Args:
        forms: by treatment; the one of ``INT8`` has every layer and the tensors.
        plan: what is done to each layer.
    """
    layers = {name: forms[treatment].layers[name] for name, treatment in plan.treatments if treatment != FLOAT}
    return QuantizedLayers(layers, {} if plan.float_tensors else forms[INT8].tensors)
