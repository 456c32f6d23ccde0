"""The models of plans: each layer in the form of its treatment.

The forms of most corrections do not depend on other layers: falling back is leaving out. Corrections that answer for what the
layers before give are made for one plan; leave a layer float, and those behind it make up for errors that are gone. So a
treatment's form is either layers, or a function of the plan that makes them.
"""

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
# The layers of a treatment; or what makes them for a plan.
Form = QuantizedLayers | Callable[[Plan], QuantizedLayers]

# The treatment in which no layer depends on another, where that of ``INT8`` is made for a plan.
INDEPENDENT = "int8+own"


def as_it_is(model: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
    """Return the form itself: falling back is leaving out."""
    return form


def nothing_else() -> QuantizedLayers:
    """Return no layers: of a source whose forms never depend on the plan."""
    return QuantizedLayers({})


@dataclass(frozen=True, slots=True, eq=False)
class PlannedModels:
    """Makes the quantized form and the simulation model of any plan.

    Attributes:
        float_model: prepared, at a runnable opset.
        forms: the form that each treatment of a layer is taken from; the one of ``INT8`` has every layer and the tensors.
            Repaired ones, the gentlest first, are added once they are wanted.
        simulation: how a plan's model runs.
        planned: what the target makes of a plan's form.
        independent: gives layers that do not depend on each other, where those of ``INT8`` do.
    """

    float_model: LayeredModel
    forms: dict[str, Form]
    simulation: Simulation = field(default_factory=IntegerSimulation)
    planned: Planned = as_it_is
    independent: Callable[[], QuantizedLayers] = nothing_else

    @property
    def repaired(self) -> tuple[str, ...]:
        """The treatments by stronger forms of the layers, the gentlest first."""
        return tuple(treatment for treatment in self.forms if treatment not in (INT8, INDEPENDENT))

    def form(self, plan: Plan) -> QuantizedLayers:
        """Return a plan's quantized form."""
        return self.planned(self.float_model, planned_form(self.forms, plan))

    def model(self, plan: Plan, *, own_session: bool) -> ir.Model:
        """Return a plan's simulation model; ``own_session`` as in ``Simulation.model``."""
        return self.simulation.model(self.float_model, self.form(plan), own_session=own_session)

    def left_out(self, plan: Plan) -> Plan:
        """Return a plan of the same int8 layers that a group can be left out of without changing the others."""
        if all(isinstance(self.forms[treatment], QuantizedLayers) for treatment in plan.used):
            return plan
        if isinstance(self.forms[INT8], QuantizedLayers):
            return plan.with_repair(INT8)
        if INDEPENDENT not in self.forms:
            self.forms[INDEPENDENT] = self.independent()
        return plan.with_repair(INDEPENDENT)


def planned_form(forms: Mapping[str, Form], plan: Plan) -> QuantizedLayers:
    """Return the form of a plan: each int8 layer from the form of its treatment.

    Args:
        forms: by treatment; the one of ``INT8`` has every layer and the tensors.
        plan: what is done to each layer.
    """
    made = {treatment: _made(forms[treatment], plan) for treatment in plan.used or (INT8,)}
    layers = {name: made[treatment].layers[name] for name, treatment in plan.treatments if treatment != FLOAT}
    return QuantizedLayers(layers, {} if plan.float_tensors else next(iter(made.values())).tensors)


def _made(form: Form, plan: Plan) -> QuantizedLayers:
    return form if isinstance(form, QuantizedLayers) else form(plan)
