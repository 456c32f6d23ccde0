"""What the graph itself says of its outputs."""

from __future__ import annotations

import onnx_ir as ir

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
