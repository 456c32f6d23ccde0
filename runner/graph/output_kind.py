"""What the graph itself says of its outputs."""

from __future__ import annotations

import onnx_ir as ir

_NUMBERS = frozenset(
    (
        ir.DataType.FLOAT,
        ir.DataType.DOUBLE,
        ir.DataType.FLOAT16,
        ir.DataType.BOOL,
        ir.DataType.INT8,
        ir.DataType.INT16,
        ir.DataType.INT32,
        ir.DataType.INT64,
        ir.DataType.UINT8,
        ir.DataType.UINT16,
        ir.DataType.UINT32,
        ir.DataType.UINT64,
    )
)
_TRANSPARENT = ("Identity", "QuantizeLinear", "DequantizeLinear", "Cast", "Reshape", "Flatten", "Squeeze")


def ends_in_softmax(model: ir.Model) -> bool:
    """Return whether the only output is a Softmax, also behind rounding to 8 bits.

    Probabilities rounded to multiples of 1/256 no longer sum to 1, so their values do not show what they are.
    """
    if len(model.graph.outputs) != 1:
        return False
    node = model.graph.outputs[0].producer()
    while node is not None and node.op_type in _TRANSPARENT:
        value = node.inputs[0]
        node = None if value is None else value.producer()
    return node is not None and node.op_type == "Softmax"


def other_outputs(model: ir.Model) -> dict[str, str]:
    """Return the type, as onnxruntime writes it, of each output that is no tensor of numbers, by name."""
    types = {output.name or "": output.type for output in model.graph.outputs}
    return {name: _shown(type_) for name, type_ in types.items() if type_ is not None and not _is_numbers(type_)}


def _is_numbers(type_: ir.TypeProtocol) -> bool:
    return isinstance(type_, ir.TensorType) and type_.dtype in _NUMBERS


def _shown(type_: ir.TypeProtocol) -> str:
    if isinstance(type_, ir.SequenceType):
        return f"seq({_shown(type_.elem_type)})"
    if isinstance(type_, ir.OptionalType):
        return f"optional({_shown(type_.elem_type)})"
    return f"tensor({type_.dtype.name.lower()})"
