"""An Einsum of data and a constant matrix as the MatMul that it is, so that it is a layer like any other product.

``nchw,ck->nkhw`` is a sum over one axis of the data, whose place another axis takes: Transpose, MatMul, Transpose, each only
where something has to be moved. The same products are summed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from runner.graph.builder import Builder
from runner.graph.constants import constant, replace_node, string_attribute

_TERMS = re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)")


@dataclass(frozen=True, slots=True)
class Product:
    """How an Einsum is a product with a matrix.

    Attributes:
        before: axes of the data, the one that is summed over last.
        turned: whether the matrix is stored as [N, K].
        behind: axes of the product, in the order of the output.
    """

    before: tuple[int, ...]
    turned: bool
    behind: tuple[int, ...]


def product(equation: str) -> Product | None:
    """Return how an equation is a product of data and a matrix; None where it is not."""
    match = _TERMS.fullmatch(equation.replace(" ", ""))
    if match is None:
        return None
    data, matrix, output = match.groups()
    if len(data) < 2 or len(matrix) != 2 or any(len(set(term)) != len(term) for term in (data, matrix, output)):
        return None
    summed = [label for label in matrix if label in data and label not in output]
    made = [label for label in matrix if label not in data and label in output]
    kept = [label for label in data if label not in summed]
    if len(summed) != 1 or len(made) != 1 or set(output) != {*kept, *made}:
        return None
    order = [*kept, *summed]
    return Product(
        tuple(data.index(label) for label in order),
        matrix[0] == made[0],
        tuple([*kept, *made].index(label) for label in output),
    )


def write_products(model: ir.Model) -> list[str]:
    """Write each Einsum of data and a constant float32 matrix as a MatMul of the same name; return the names."""
    written = []
    for node in list(model.graph):
        if node.op_type != "Einsum" or node.domain != "" or len(node.inputs) != 2:
            continue
        data, matrix = node.inputs[0], constant(node.inputs[1])
        how = product(string_attribute(node, "equation", ""))
        if data is None or how is None or constant(data) is not None or matrix is None or matrix.dtype != np.float32:
            continue
        _write(model.graph, node, data, np.asarray(matrix, np.float32), how)
        written.append(node.name or "")
    return written


def _write(graph: ir.Graph, einsum: ir.Node, data: ir.Value, matrix: np.ndarray, how: Product) -> None:
    build, name = Builder(), einsum.name or ""
    weight = build.constant(f"{name}.weight", np.ascontiguousarray(matrix.T if how.turned else matrix))
    value = _moved(build, data, how.before, f"{name}.before")
    value = build.op("MatMul", [value, weight], f"{name}.product", ir.DataType.FLOAT)
    layer = build.nodes[-1]
    value = _moved(build, value, how.behind, f"{name}.behind")
    build.register(graph)
    replace_node(graph, einsum, build.nodes, value)
    layer.name = name


def _moved(build: Builder, value: ir.Value, axes: tuple[int, ...], name: str) -> ir.Value:
    if axes == tuple(range(len(axes))):
        return value
    return build.op("Transpose", [value], name, ir.DataType.FLOAT, {"perm": list(axes)})
