"""Gemm in its plain form ``x @ W + b``, which ``plain_gemm`` makes of others."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.constants import constant, float_attribute, integer_attribute
from runner.graph.layout import Layout, Matrix, OutputsFirst
from runner.graph.limits import Limits
from runner.graph.operators.operator import Operator
from runner.graph.operators.parameters import has_bias, weight_of, why_not_its_bias
from runner.graph.operators.product_cost import product_cost
from runner.wording import say


def _why_not(node: ir.Node, _limits: Limits) -> str | None:
    if integer_attribute(node, "transA", 0):
        return say("transA is 1")
    biased = has_bias(node)
    if float_attribute(node, "alpha", 1.0) != 1.0 or (biased and float_attribute(node, "beta", 1.0) != 1.0):
        return say("alpha or beta is not 1")
    bias = constant(node.inputs[2]) if biased else None
    if bias is not None:
        columns = _layout(node).channels(weight_of(node).shape)
        if bias.size not in (1, columns) or (bias.ndim == 2 and bias.shape[0] != 1):
            return say(
                "the bias has shape {shape}, which is no vector over the {columns} outputs",
                shape=list(bias.shape),
                columns=columns,
            )
    return why_not_its_bias(node)


def _layout(node: ir.Node) -> Layout:
    return OutputsFirst() if integer_attribute(node, "transB", 0) else Matrix()


GEMM = Operator(
    op_type="Gemm",
    why_not=_why_not,
    layout=_layout,
    spatial=lambda _node: 0,
    cost=product_cost,
    has_patches=True,
    integer_operator="MatMulInteger",
)
