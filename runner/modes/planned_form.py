"""The quantized layers of a plan: each taken from the form of its treatment."""

from __future__ import annotations

from collections.abc import Mapping

from runner.record import QuantizedLayers
from runner.search.plan import FLOAT, INT8, Plan


def planned_form(forms: Mapping[str, QuantizedLayers], plan: Plan) -> QuantizedLayers:
    """Return the form of a plan: each int8 layer from the form of its treatment.

    Args:
        forms: by treatment; the one of ``INT8`` has every layer and the tensors.
        plan: what is done to each layer.
    """
    layers = {name: forms[treatment].layers[name] for name, treatment in plan.treatments if treatment != FLOAT}
    return QuantizedLayers(layers, {} if plan.float_tensors else forms[INT8].tensors)
