"""Product with a constant matrix on the right, or with a batch of them."""

from __future__ import annotations

import onnx_ir as ir

from runner.graph.constants import constant
from runner.graph.layout import Layout, Matrix
from runner.graph.limits import Limits
from runner.graph.operators.operator import Operator
from runner.graph.operators.parameters import weight_of
from runner.graph.operators.product_cost import product_cost
from runner.graph.operators.windows import sizes
from runner.wording import say


def _why_not(node: ir.Node, limits: Limits) -> str | None:
    weight = weight_of(node)
    if weight.ndim == 1:
        return say("the weight is a vector: a product with one output has nothing to gain")
    if weight.ndim > limits.matrix_axes:
        return say(
            "the weight has {ndim} axes, not {wanted}",
            ndim=weight.ndim,
            wanted=" or ".join(map(str, range(2, limits.matrix_axes + 1))),
        )
    if weight.ndim > 2 and len(sizes(node.inputs[0])) == 1:
        return say("a vector times a batch of matrices is not quantized")
    return None


def _layout(node: ir.Node) -> Layout:
    weight = constant(node.inputs[1])
    return Matrix() if weight is None else Matrix(weight.ndim)


MATMUL = Operator(
    op_type="MatMul",
    why_not=_why_not,
    layout=_layout,
    spatial=lambda _node: 0,
    cost=product_cost,
    output_axis=-1,
    bias="add behind",
    has_patches=True,
    integer_operator="MatMulInteger",
    constant_data=say(
        "the first input is a constant; only a constant second one is a weight. W @ x would take a Transpose of the data "
        "before the layer and one behind; export it as x @ W where that is wanted"
    ),
    computed_weight=say("both inputs are computed: a product of two variables is not quantized"),
)
