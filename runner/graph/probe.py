"""A copy of a model that also gives chosen inner tensors as outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir


def with_outputs(model: ir.Model, names: Sequence[str]) -> ir.Model:
    """Return a copy whose outputs are the model's own followed by the named tensors that are not among them already."""
    probed = model.clone()
    graph = probed.graph
    values = {value.name: value for node in graph for value in node.outputs}
    values.update({value.name: value for value in graph.inputs})
    own = {value.name for value in graph.outputs}
    for name in dict.fromkeys(names):
        if name in own:
            continue
        value = values[name]
        if value.type is None:
            value.type = ir.TensorType(ir.DataType.FLOAT)
        graph.outputs.append(value)
    return probed
