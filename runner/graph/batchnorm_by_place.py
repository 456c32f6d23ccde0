"""BatchNormalization of opset 7 and 8 with ``spatial`` 0: parameters of their own for every place of the image.

No convolution can hold them, and no later opset has them, so it becomes the Mul and Add that it is.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from runner.graph.batchnorm import Affine, affine_of
from runner.graph.builder import Builder
from runner.graph.constants import integer_attribute, replace_node

WHY_LEFT = "its parameters differ from place to place (spatial is 0), so it is not folded; it is written as Mul and Add"


def write_out_batchnorm_by_place(model: ir.Model) -> list[str]:
    """Replace each such BatchNormalization by Mul and Add; return the names of those replaced. Changes the model.

    Where the parameters are vectors over the channels after all, only the attribute goes.
    """
    replaced = []
    for node in list(model.graph):
        if node.op_type != "BatchNormalization" or node.domain != "" or integer_attribute(node, "spatial", 1):
            continue
        affine = affine_of(node)
        if affine is not None and affine.factor.ndim == 1:
            del node.attributes["spatial"]
        elif affine is not None:
            _replace(model.graph, node, affine)
            replaced.append(node.name or "")
    return replaced


def _replace(graph: ir.Graph, node: ir.Node, affine: Affine) -> None:
    build = Builder()
    name = node.name or ""
    factor = build.constant(f"{name}.factor", affine.factor.astype(np.float32))
    shift = build.constant(f"{name}.shift", affine.shift.astype(np.float32))
    scaled = build.op("Mul", [node.inputs[0], factor], f"{name}.scaled", ir.DataType.FLOAT)
    shifted = build.op("Add", [scaled, shift], f"{name}.shifted", ir.DataType.FLOAT)
    build.register(graph)
    replace_node(graph, node, build.nodes, shifted)
