"""The operators whose nodes can be layers: the one list of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from runner.graph.layout import Layout
from runner.graph.operators.average_pool import AVERAGE_POOL
from runner.graph.operators.conv import CONV
from runner.graph.operators.conv_transpose import CONV_TRANSPOSE
from runner.graph.operators.gemm import GEMM
from runner.graph.operators.matmul import MATMUL
from runner.graph.operators.operator import Operator

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {operator.op_type: operator for operator in (CONV, CONV_TRANSPOSE, GEMM, MATMUL, AVERAGE_POOL)}
)


def operator_of(node: ir.Node) -> Operator | None:
    """Return the operator whose nodes can be layers that a node is of; None where it is of none."""
    return OPERATORS.get(node.op_type) if node.domain == "" else None


def layout_of(node: ir.Node) -> Layout:
    """Return how a node of one of these operators stores its weight."""
    return OPERATORS[node.op_type].layout(node)
