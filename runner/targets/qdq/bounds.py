"""What a tensor can hold at most, where the node that makes it says so.

onnxruntime drops a Relu or Clip between a convolution and a QuantizeLinear, and makes one integer kernel of the three, only
where the codes reach no further than the Clip lets values. An observer that looks for the range with the least error may
choose one a little beyond; the codes out there would mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from runner.graph.constants import constant
from runner.ranges import Range

# Each value behind them is one of their input, or the zero of a padding.
_PASSING = ("MaxPool", "Pad", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Identity")


def bounds(model: ir.Model, tensors: Iterable[str]) -> dict[str, Range]:
    """Return the bounds of those of the named tensors that a Relu or a Clip bounds.

    Args:
        model: at opset 13 or later.
        tensors: names of values.
    """
    made = {output.name: node for node in model.graph for output in node.outputs}
    found = {name: _bound(made.get(name)) for name in tensors}
    return {name: bound for name, bound in found.items() if bound is not None}


def _bound(node: ir.Node | None) -> Range | None:
    while node is not None and node.op_type in _PASSING and node.domain == "":
        if node.op_type == "Pad" and not _pads_zero(node):
            return None
        source = node.inputs[0]
        node = None if source is None else source.producer()
    if node is None or node.domain != "":
        return None
    if node.op_type == "Relu":
        return Range(0.0, math.inf)
    if node.op_type != "Clip":
        return None
    ends = [_end(node, 1, -math.inf), _end(node, 2, math.inf)]
    # A range that holds no zero is widened to it all the same.
    return None if None in ends or ends == [-math.inf, math.inf] else Range(*(end for end in ends if end is not None))


def _end(clip: ir.Node, index: int, default: float) -> float | None:
    value = clip.inputs[index] if index < len(clip.inputs) else None
    if value is None:
        return default
    array = constant(value)
    return None if array is None else float(np.asarray(array, np.float32).reshape(()))


def _pads_zero(pad: ir.Node) -> bool:
    value = pad.inputs[2] if len(pad.inputs) > 2 else None
    array = np.zeros(()) if value is None else constant(value)
    return array is not None and not np.any(array)
