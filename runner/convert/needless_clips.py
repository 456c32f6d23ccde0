"""Activations that clip what is rounded next anyway: left out of the runner's own sessions, with the same bits.

A code is ``clip(round(fl32(fl32(x * r) + offset)), -128, 127)``: no step of it falls where ``x`` rises. So where the lower end
of a Relu or Clip has the code -128, everything below has it too, and likewise the upper end with 127. What is clipped has to be
numbers, as what a quantized layer gives is.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.arithmetic import QMAX, QMIN, quantize
from runner.convert.simulate import Simulator
from runner.graph.constants import constant


def leave_out_clips(graph: ir.Graph, simulator: Simulator) -> None:
    """Let layers read what the quantized layers before them give, where what clips it in between changes no code.

    Args:
        graph: is changed.
        simulator: made the nodes of its quantized layers.
    """
    for node in list(graph):
        ends = _ends(node)
        source = node.inputs[0] if node.inputs else None
        if ends is None or source is None or source.producer() not in simulator.dequantized:
            continue
        output = node.outputs[0]
        params = [simulator.roundings.get(use.node) for use in output.uses()]
        if output.is_graph_output() or not params:
            continue
        if all(each is not None and _codes(ends, each.scale, each.zero_point) == (QMIN, QMAX) for each in params):
            output.replace_all_uses_with(source)
            graph.remove(node, safe=True)


def _codes(ends: tuple[float, float], scale: float, zero_point: int) -> tuple[int, int]:
    with np.errstate(over="ignore"):  # an end may be float32's own
        low, high = quantize(np.array(ends, np.float32), scale, zero_point).tolist()
    return low, high


def _ends(node: ir.Node) -> tuple[float, float] | None:
    """Return between what a node clips its input; None where it does something else, or it is not known."""
    if node.op_type == "Relu" and node.domain == "":
        return 0.0, np.inf
    if node.op_type != "Clip" or node.domain != "":
        return None
    ends = [-np.inf, np.inf]
    for place, value in enumerate(node.inputs[1:3]):
        if value is not None:
            array = constant(value)
            if array is None or array.size != 1:
                return None
            ends[place] = float(array.reshape(-1)[0])
    return (ends[0], ends[1]) if ends[0] <= ends[1] else None
