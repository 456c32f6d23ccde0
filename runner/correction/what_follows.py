"""What is done to a layer's output, channel by channel, before anything else reads it.

It decides what an error costs: where a Relu cuts everything below 0 off, the values far below it may be as wrong as they like.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from runner.correction.affine import Clipping, Outputs
from runner.graph.added_bias import biased
from runner.graph.constants import constant
from runner.graph.layers import Layer

Activation = Callable[[Outputs], Outputs]


def clipping(node: ir.Node, layer: Layer) -> Clipping:
    """Return what clips the output of a layer, with its bias, before anything else reads it."""
    output = biased(node).outputs[0]
    readers = list(output.consumers())
    if len(readers) != 1 or output.is_graph_output():
        return Clipping()
    reader = readers[0]
    if reader.op_type == "Relu":
        return Clipping(0.0, _end_after(reader, layer))
    if reader.op_type != "Clip":
        return Clipping()
    ends = [constant(value) for value in reader.inputs[1:]]
    low, high = (None if end is None else float(end.reshape(-1)[0]) for end in (*ends, None, None)[:2])
    return Clipping(-np.inf if low is None else low, np.inf if high is None else high)


def activation(node: ir.Node, layer: Layer) -> Activation:
    """Return the activation that alone reads a layer's output, with its bias; what clips it, or nothing, where there is none.

    Outputs have the shape (channels, positions).
    """
    output = biased(node).outputs[0]
    if output.is_graph_output():
        return Clipping()
    readers = {reader.op_type: reader for reader in output.consumers()}
    if set(readers) == {"Sigmoid", "Mul"} and _multiplies(readers["Mul"], output, readers["Sigmoid"]):
        return lambda y: y * _sigmoid(y)
    if set(readers) == {"HardSigmoid", "Mul"} and _multiplies(readers["Mul"], output, readers["HardSigmoid"]):
        gate = readers["HardSigmoid"].attributes
        slope, middle = (gate.get_float(name, default) for name, default in (("alpha", 0.2), ("beta", 0.5)))
        return lambda y: np.asarray(y * np.clip(slope * y + middle, 0, 1), np.float32)
    if len(readers) == 1 and len(output.uses()) == 1:
        alone: dict[str, Activation] = {"Sigmoid": _sigmoid, "Tanh": np.tanh, "HardSwish": _hard_swish}
        found = alone.get(next(iter(readers)))
        if found is not None:
            return found
    return clipping(node, layer)


def _multiplies(mul: ir.Node, value: ir.Value, gate: ir.Node) -> bool:
    return len(value.uses()) == 2 and set(mul.inputs) == {value, gate.outputs[0]}


def _sigmoid(y: Outputs) -> Outputs:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-y)), np.float32)


def _hard_swish(y: Outputs) -> Outputs:
    return np.asarray(y * np.clip(y / 6 + 0.5, 0, 1), np.float32)


def _end_after(relu: ir.Node, layer: Layer) -> float | np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return what a Min cuts each channel of ``layer`` off at after its Relu: so equalization writes a Clip."""
    readers = list(relu.outputs[0].consumers())
    if len(readers) != 1 or relu.outputs[0].is_graph_output() or readers[0].op_type != "Min":
        return np.inf
    ends = [constant(value) for value in readers[0].inputs[1:]]
    end = ends[0] if len(ends) == 1 else None
    if end is None or end.shape != (layer.channels, *[1] * layer.spatial):
        return np.inf
    return np.asarray(end, np.float32).reshape(-1, 1)
