"""Constants that the graph computes, worked out before anything is read.

Exporters leave arithmetic around weights and scales: a weight is transposed or clipped before it is rounded, a scale is
``2 ** log2_t`` (TQT) or ``|parameter|`` (LSQ). onnxruntime works it out here, so the bits are those of the source as it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.errors import InternalError, ModelError
from runner.graph.constants import Array, constant, free_of, make_constant, value_names
from runner.session import REFERENCE, Session

# Another answer at each run, or no tensors.
_NOT_CONSTANT = (
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout"),
    *("Optional", "OptionalGetElement", "OptionalHasElement", "SplitToSequence", "ConcatFromSequence"),
)
# A constant may grow to this many values (a mask, a grid of places); what is larger is left to the graph.
_MOST_GROWN = 1 << 16
_INT64 = np.dtype(np.int64)
# What onnxruntime can be handed from numpy; bfloat16, float8 and int4 it cannot.
_HANDED = "biufO"


def fold_constants(model: ir.Model) -> None:
    """Make initializers of what nodes compute from initializers alone; QuantizeLinear and DequantizeLinear stay.

    Changes the model it is given. A node that onnxruntime does not take on its own stays as it is.
    """
    graph, taken = model.graph, value_names(model.graph)
    for node in list(graph):
        if (
            is_quantize(node)
            or is_dequantize(node)
            or not foldable(node)
            or any(o.is_graph_output() for o in node.outputs)
        ):
            continue
        arrays = [None if value is None else constant(value) for value in node.inputs]
        if any(value is not None and array is None for value, array in zip(node.inputs, arrays, strict=True)):
            continue
        results = evaluated(node, arrays, model.opset_imports)
        largest = max([_MOST_GROWN, *(array.size for array in arrays if array is not None)])
        if results is None or any(array.size > largest for array in results):
            continue
        for output, array in zip(node.outputs, results, strict=True):
            name = free_of(taken, f"{output.name or node.name}.folded")
            taken.add(name)
            value = make_constant(name, array)
            graph.register_initializer(value)
            output.replace_all_uses_with(value)
        graph.remove(node, safe=True)


def evaluated(
    node: ir.Node, arrays: Sequence[Array | None], opset_imports: Mapping[str, int], outputs: int | None = None
) -> list[Array] | None:
    """Return what a node computes from the given inputs; None where onnxruntime does not take it on its own.

    Args:
        node: in any graph, which is left as it is.
        arrays: an input each, None where it has none.
        opset_imports: of its model.
        outputs: how many of its outputs are wanted; all by default.
    """
    if any(array is not None and array.dtype.kind not in _HANDED for array in arrays):
        return None
    values = [None if a is None else make_constant(f"input{i}", a) for i, a in enumerate(arrays)]
    wanted = len(node.outputs) if outputs is None else outputs
    # Of no stated type: what moves floats in the graph may be asked to move integers here.
    given = [ir.Value(name=f"output{i}") for i in range(wanted)]
    copy = ir.Node(
        node.domain, node.op_type, values, attributes=list(node.attributes.values()), outputs=given, name="folded"
    )
    # Fed, not stored: onnxruntime infers types from inputs, so what the exporter left unsaid is no matter.
    fed = [v for v in values if v is not None]
    for value in fed:
        value.const_value = None
    body = ir.Graph(fed, given, nodes=[copy], opset_imports=dict(opset_imports), name="folded")
    try:
        session = Session(ir.Model(body, ir_version=10), REFERENCE)
        feeds = {f"input{i}": np.ascontiguousarray(a).reshape(a.shape) for i, a in enumerate(arrays) if a is not None}
        return [np.asarray(array) for array in session.run(feeds)]
    except (InternalError, ModelError):
        return None


def foldable(node: ir.Node) -> bool:
    """Return whether a node computes the same tensors from the same inputs, and nothing inside it says otherwise."""
    if node.domain not in ("", "ai.onnx") or node.op_type in _NOT_CONSTANT or node.op_type.startswith("Sequence"):
        return False
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return bool(node.inputs) and not any(attribute.type in graphs for attribute in node.attributes.values())
