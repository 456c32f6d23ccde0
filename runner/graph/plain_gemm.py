"""Gemm as the deploy format has it: ``x @ W + b``, nothing transposed, no factors, a bias of one value an output.

* alpha goes into the weight, one rounding of each where it is no power of two, beta into the bias likewise;
* with transA the data is transposed by a node before it, with transB the constant weight is stored as [K, N];
* a bias that is a matrix, or computed by the graph, becomes a float Add behind it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.behind import put_behind
from runner.graph.builder import Builder
from runner.graph.constants import (
    Array,
    add_initializer,
    constant,
    float_attribute,
    integer_attribute,
    replace_constant,
)

# Before it a Gemm has to have a bias.
_BIAS_IS_OPTIONAL = 11


def make_gemms_plain(model: ir.Model) -> list[str]:
    """Make every Gemm with a constant float32 weight plain; return the names of those that were not. Changes the model.

    One whose weight or bias would not stay finite keeps its factors.
    """
    changed = []
    for node in list(model.graph):
        if node.op_type == "Gemm" and node.domain == "" and _make_plain(model, node):
            changed.append(node.name or "")
    return changed


def untranspose_gemm_weight(graph: ir.Graph, gemm: ir.Node) -> None:
    """Store the constant weight of a Gemm as [K, N], so that transB is 0."""
    weight = constant(gemm.inputs[1])
    if weight is None or not integer_attribute(gemm, "transB", 0):
        return
    replace_constant(graph, gemm, 1, np.ascontiguousarray(weight.T))
    gemm.attributes["transB"] = ir.AttrInt64("transB", 0)


def _make_plain(model: ir.Model, gemm: ir.Node) -> bool:
    graph = model.graph
    weight = constant(gemm.inputs[1])
    untranspose_gemm_weight(graph, gemm)
    if weight is None or weight.dtype != np.float32 or constant(gemm.inputs[0]) is not None:
        return False
    if not _has_factors(gemm) and not integer_attribute(gemm, "transA", 0) and not _is_added_behind(gemm):
        return False
    alpha, beta = (float_attribute(gemm, key, 1.0) for key in ("alpha", "beta"))
    addend = gemm.inputs[2] if len(gemm.inputs) > 2 else None
    value = constant(addend)
    if value is not None and value.dtype != np.float32:
        return False
    scaled, bias = _times(np.asarray(constant(gemm.inputs[1])), alpha), None if value is None else _times(value, beta)
    if not np.all(np.isfinite(scaled)) or (bias is not None and not np.all(np.isfinite(bias))):
        return False
    if alpha != 1:
        replace_constant(graph, gemm, 1, scaled)
    if integer_attribute(gemm, "transA", 0):
        _transpose_before(graph, gemm)
    behind = addend if _is_added_behind(gemm) and beta != 0 else None
    if beta == 0 or behind is not None:
        _leave_out_bias(model, gemm)
    elif bias is not None and beta != 1:
        replace_constant(graph, gemm, 2, bias)
    for key in ("alpha", "beta", "transA", "transB"):
        gemm.attributes.pop(key, None)
    if behind is not None:
        _add_behind(graph, gemm, behind, bias, beta)
    return True


def _has_factors(gemm: ir.Node) -> bool:
    has_bias = len(gemm.inputs) > 2 and gemm.inputs[2] is not None
    return float_attribute(gemm, "alpha", 1.0) != 1 or (has_bias and float_attribute(gemm, "beta", 1.0) != 1)


def _is_added_behind(gemm: ir.Node) -> bool:
    """Return whether what a Gemm adds is no constant of one value an output, nor one in all."""
    if len(gemm.inputs) < 3 or gemm.inputs[2] is None:
        return False
    bias, weight = constant(gemm.inputs[2]), constant(gemm.inputs[1])
    if bias is None or weight is None:
        return True
    return bias.size != 1 and bias.shape[-1] != bias.size


def _times(values: Array, factor: float) -> NDArray[np.float32]:
    """Return ``fl32(factor * values)``."""
    if factor == 1:
        return np.asarray(values, np.float32)
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(values, np.float64) * factor).astype(np.float32)


def _transpose_before(graph: ir.Graph, gemm: ir.Node) -> None:
    source = gemm.inputs[0]
    assert source is not None  # a layer reads an activation
    build = Builder()
    turned = build.op("Transpose", [source], f"{gemm.name}.transpose", ir.DataType.FLOAT, {"perm": [1, 0]})
    build.register(graph)
    graph.insert_before(gemm, build.nodes)
    gemm.replace_input_with(0, turned)


def _leave_out_bias(model: ir.Model, gemm: ir.Node) -> None:
    if len(gemm.inputs) < 3:
        return
    if model.opset_imports[""] >= _BIAS_IS_OPTIONAL:
        gemm.resize_inputs(2)
        return
    weight = constant(gemm.inputs[1])
    assert weight is not None  # checked by _make_plain
    nothing = np.zeros(weight.shape[1], np.float32)
    gemm.replace_input_with(2, add_initializer(model.graph, f"{gemm.name}.bias", nothing))


def _add_behind(
    graph: ir.Graph, gemm: ir.Node, addend: ir.Value, bias: NDArray[np.float32] | None, beta: float
) -> None:
    """Put a float Add of ``beta * addend`` behind a Gemm; ``bias`` is that product where the addend is a constant."""
    before, behind = Builder(), Builder()
    if beta != 1 and bias is not None:
        addend = behind.constant(f"{gemm.name}.addend", bias)
    elif beta != 1:
        factor = before.constant(f"{gemm.name}.beta", np.asarray(beta, np.float32))
        addend = before.op("Mul", [addend, factor], f"{gemm.name}.scaled", ir.DataType.FLOAT)
        before.register(graph)
        graph.insert_before(gemm, before.nodes)
    put_behind(graph, gemm, behind, behind.op("Add", [gemm.outputs[0], addend], f"{gemm.name}.add", ir.DataType.FLOAT))
