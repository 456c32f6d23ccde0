"""Which layers are left float together.

Layers that read one tensor under one scale and zero point share one AscendQuant. While one of them is int8 the tensor is
rounded for it, so leaving another float neither spares the device that work nor undoes the rounding's part in the loss:
they are one group, with one price and one loss contribution.

Two layers one behind the other are two groups. The deploy format has an AscendDequant behind every layer, and its output is
float: no layer's integers reach another layer.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.graph.layers import LayeredModel
from runner.graph.macs import LayerCost
from runner.graph.smoothing import rounded_tensor
from runner.ranges import ActivationParams
from runner.record import QuantizedLayers
from runner.search.plan import LayerGroup


def layer_groups(model: LayeredModel, form: QuantizedLayers, costs: Mapping[str, LayerCost]) -> tuple[LayerGroup, ...]:
    """Return the groups of the layers of a form, in graph order of their first layers.

    Args:
        model: with its layers.
        form: the quantized ones.
        costs: of each layer.
    """
    shared: dict[tuple[str, ActivationParams], list[str]] = {}
    for name, quantized in form.layers.items():
        record = quantized.record
        tensor = rounded_tensor(model.layer(name), record.balance_factors)
        shared.setdefault((tensor, record.activation), []).append(name)
    return tuple(LayerGroup(tuple(names), sum(costs[name].macs for name in names)) for names in shared.values())
