"""Types and shapes of a graph's values, by onnx's inference."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.graph.constants import bodies

_MAKE_SEQUENCES = (
    *("SplitToSequence", "SequenceConstruct", "SequenceInsert", "SequenceErase", "SequenceEmpty", "SequenceMap"),
    *("Optional", "OptionalGetElement"),
)


def infer_types(model: ir.Model, *, data_prop: bool = True) -> None:
    """Give values the types and shapes that follow from the inputs'; what cannot be inferred stays unknown.

    onnx-ir takes the element type of a sequence for the type of a tensor, so sequences get back what they had.

    Args:
        model: changed in place.
        data_prop: whether to work out what sizes are computed to be.
    """
    before = {value: value.type for node in model.graph.all_nodes() for value in node.outputs}
    silenced = logging.getLogger("onnx_ir.passes.common.shape_inference")
    level = silenced.level
    silenced.setLevel(logging.ERROR)
    try:
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=data_prop)(model)
    finally:
        silenced.setLevel(level)
    for value in _sequences(model, before):
        value.type = before[value]


def _sequences(model: ir.Model, types: dict[ir.Value, ir.TypeProtocol | None]) -> set[ir.Value]:
    found = {value for value, kind in types.items() if kind is not None and not isinstance(kind, ir.TensorType)}
    grew = True
    while grew:
        count = len(found)
        for node in model.graph.all_nodes():
            if node.op_type in _MAKE_SEQUENCES or (node.op_type == "Identity" and node.inputs[0] in found):
                found.update(node.outputs)
            for attribute in node.attributes.values():
                for body in bodies(attribute):
                    # A Loop's body begins with its condition.
                    given = body.outputs[1:] if node.op_type == "Loop" else body.outputs
                    found.update(out for out, inner in zip(node.outputs, given, strict=False) if inner in found)
        grew = len(found) > count
    return found & types.keys()
