"""Model outputs as coarse as 8 bits, although they are given in float."""

from __future__ import annotations

import onnx_ir as ir

from runner.convert.qdq.activations.pairs import Pairs
from runner.convert.qdq.nodes import is_quantize

# From few values they make few: what comes out of them is as coarse as what goes in.
_VALUE_BY_VALUE = (
    *("Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Tanh"),
    *("Cast", "Identity", "Reshape", "Flatten", "Squeeze"),
)


def coarse_outputs(graph: ir.Graph, pairs: Pairs) -> tuple[str, ...]:
    """Return the outputs whose values are codes, come from a pair, or from the function of one value that stands behind it."""
    found = []
    for output in graph.outputs:
        value: ir.Value | None = output
        while value is not None and pairs.nearest(value) is None and not is_quantize(value.producer()):
            node = value.producer()
            value = node.inputs[0] if node is not None and node.op_type in _VALUE_BY_VALUE else None
        if value is not None:
            found.append(output.name or "")
    return tuple(found)
