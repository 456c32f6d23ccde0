"""Which inputs of other nodes are rounded beside those of layers, so that a runtime stays in integers from layer to layer."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from runner.graph.layers import FoundLayers
from runner.graph.tensors import TensorInput, why_not_rounded

JOINING = ("Add",)


def rounded_inputs(model: ir.Model, types: Collection[str] = JOINING) -> tuple[TensorInput, ...]:
    """Return the computed float inputs of nodes of some types, in graph order.

    Args:
        model: prepared and typed.
        types: of operators; one with an input that is a constant, or no float, is left alone.
    """
    found = []
    for node in model.graph:
        if node.op_type not in types or node.domain != "":
            continue
        data = node.inputs[:1] if node.op_type == "Resize" else node.inputs
        if not any(map(why_not_rounded, data)):
            found += [
                TensorInput(node.name or "", node.op_type, index, value.name or "")
                for index, value in enumerate(data)
                if value is not None
            ]
    return tuple(found)


def _none(model: ir.Model, found: FoundLayers) -> tuple[TensorInput, ...]:
    return ()


def _adds(model: ir.Model, found: FoundLayers) -> tuple[TensorInput, ...]:
    return rounded_inputs(model, ("Add", "GlobalAveragePool", "ReduceMean"))


PLACEMENTS = {"layers": _none, "fused": _adds}
