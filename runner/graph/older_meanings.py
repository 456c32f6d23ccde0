"""What operators meant before opset 13, kept where onnx's version converter, which raises them, would lose it.

* Upsample, and Resize before opset 11, read at ``x / scale`` and take the pixel before (the one behind, where a nearest Resize
  makes the image smaller); the newer Resize reads at half pixels unless it is told.
* Hardmax before opset 13 looks at all axes from ``axis`` on as one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.builder import Builder
from runner.graph.constants import constant, integer_attribute, replace_node, string_attribute

_RESIZES = ("Resize", "Upsample")
# From here on a Resize says where it reads.
_SAYS_WHERE = 11


def write_out(model: ir.Model) -> None:
    """Write what would change its meaning in operators that keep theirs; changes the model, at an opset below 13."""
    for node in list(_nodes(model)):
        if node.op_type == "Hardmax" and node.graph is not None:
            _over_one_axis(node)


def say_where(source: ir.Model, raised: ir.Model) -> None:
    """Give what became of each old Resize and Upsample its name, and the attributes that say what it meant.

    Args:
        source: at its own opset.
        raised: the same at a newer one, its values called as in the source; changed.

    Raises:
        ModelError: a nearest Resize makes one axis larger and another smaller, which no newer Resize does in the same way.
    """
    if source.opset_imports[""] >= _SAYS_WHERE:
        return
    made = {output.name: node for node in _nodes(raised) for output in node.outputs}
    for node in _nodes(source):
        new = made.get(node.outputs[0].name)
        if node.op_type not in _RESIZES or new is None:
            continue
        new.name = node.name
        new.attributes["coordinate_transformation_mode"] = ir.AttrString("coordinate_transformation_mode", "asymmetric")
        if string_attribute(node, "mode", "nearest") == "nearest":
            new.attributes["nearest_mode"] = ir.AttrString("nearest_mode", _which_pixel(node))


def _which_pixel(node: ir.Node) -> str:
    found = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    scales = np.ones(1) if found is None or node.op_type == "Upsample" else np.asarray(found, np.float64)
    if np.all(scales >= 1):
        return "floor"
    if np.all(scales <= 1):
        return "ceil"
    raise ModelError(
        f"model.path: Resize '{node.name}' makes one axis larger and another smaller, by the nearest pixel in the way of opset "
        "10, which later opsets cannot say. Export the model at opset 11 or later."
    )


def _over_one_axis(node: ir.Node) -> None:
    graph, data = node.graph, node.inputs[0]
    if not isinstance(graph, ir.Graph) or data is None:
        return
    build, name = Builder(), node.name or "hardmax"
    shape = build.op("Shape", [data], f"{name}.shape", ir.DataType.INT64)
    axis = {"axis": integer_attribute(node, "axis", 1)}
    flat = build.op("Flatten", [data], f"{name}.flat", ir.DataType.FLOAT, axis)
    rows = build.op("Hardmax", [flat], f"{name}.rows", ir.DataType.FLOAT, {"axis": 1})
    result = build.op("Reshape", [rows, shape], f"{name}.shaped", ir.DataType.FLOAT)
    build.register(graph)
    replace_node(graph, node, build.nodes, result)


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    return (node for node in model.graph.all_nodes() if node.domain == "")
