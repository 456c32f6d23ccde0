"""Write a weight once that several layers have in the same numbers: tied embeddings, unrolled recurrences.

Every layer has a weight of its own while it is quantized, for each may come to other integers, or stay float. Those that
came to the same ones need not be stored for each. Scales, biases and the parameters of AscendDequant stay a layer's own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.operators import operator_of

_WEIGHT = 1
# Below it a second copy costs less than what tells of it.
_SMALLEST_BYTES = 1024
# So many numbers, spread over a weight, tell most weights of one shape apart.
_SAMPLE = 256


def share_weights(model: ir.Model) -> list[str]:
    """Let layers whose weights hold the same bits read one initializer; return the names of those that went.

    Changes the model it is given. Where something other than a layer reads the same numbers, its initializer is the one kept.
    """
    # By identity: a value says nothing of its numbers.
    weights = dict.fromkeys(_weights(model.graph))
    known: dict[tuple[object, ...], list[ir.Value]] = {}
    shapes = {_shape(value) for value in weights}
    others = [value for value in model.graph.initializers.values() if value not in weights and _shape(value) in shapes]
    for value in others:
        if not value.is_graph_input():
            known.setdefault(_key(value), []).append(value)
    gone = []
    for value in weights:
        alike = known.setdefault(_key(value), [])
        kept = next((other for other in alike if np.array_equal(_bytes(other), _bytes(value))), None)
        if kept is None:
            alike.append(value)
            continue
        value.replace_all_uses_with(kept)
        gone.append(value.name or "")
        del model.graph.initializers[value.name or ""]
    return gone


def _weights(graph: ir.Graph) -> Iterator[ir.Value]:
    """Yield the initializers that layers alone read, as their weights, in the order they are stored in."""
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < _SMALLEST_BYTES or value.is_graph_output() or value.is_graph_input():
            continue
        uses = value.uses()
        if uses and all(use.idx == _WEIGHT and operator_of(use.node) is not None for use in uses):
            yield value


def _shape(value: ir.Value) -> tuple[object, ...]:
    tensor = value.const_value
    return () if tensor is None else (tensor.dtype, tuple(tensor.shape))


def _key(value: ir.Value) -> tuple[object, ...]:
    numbers = _numbers(value).reshape(-1)
    return (*_shape(value), numbers[:: max(1, numbers.size // _SAMPLE)].tobytes())


def _bytes(value: ir.Value) -> NDArray[np.uint8]:
    return np.ascontiguousarray(_numbers(value)).reshape(-1).view(np.uint8)


def _numbers(value: ir.Value) -> NDArray[np.generic]:
    assert value.const_value is not None  # a value without numbers has no shape to be looked up by
    return np.asarray(value.const_value.numpy())
