"""What the weights of a layer multiply: one row a position of the output, one column a weight.

For Gemm and MatMul these are the rows of the input. For a convolution they are cut out of the input by another convolution,
whose kernels hold a single 1 each: strides, padding, dilations and ``auto_pad`` are the layer's own, so nothing about them is
said twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.constants import constant
from runner.graph.layers import Layer
from runner.graph.weight_layout import channels_first
from runner.session import Session

_X, _PATCHES = "x", "patches"


def has_patches(layer: Layer) -> bool:
    """Return whether the rows can be made; of a transposed convolution they cannot in this way."""
    return layer.op_type in ("Conv", "Gemm", "MatMul")


class Patches:
    """Cuts the rows of one layer out of its input.

    Args:
        model: holds the layer; for its opset.
        node: the layer's.
        layer: what it is.
    """

    def __init__(self, model: ir.Model, node: ir.Node, layer: Layer) -> None:
        rows = channels_first(np.asarray(constant(node.inputs[1])), layer.op_type, layer.group)
        self._layer = layer
        self.weights = int(np.prod(rows.shape[1:]))
        cut = layer.spatial and not _is_pointwise(node, rows.shape[2:])
        self._session = Session(_cutter(model, node, layer, rows.shape)) if cut else None

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the rows of one item's input, shape (positions, groups, weights of one output channel)."""
        if self._session is not None:
            (x,) = self._session.run({_X: x})
        return by_channel(x, self._layer).reshape(-1, self._layer.group, self.weights)


def by_channel(y: NDArray[Any], layer: Layer) -> NDArray[Any]:
    """Return a layer's input or output as (positions, channels); of a single item a view."""
    if layer.spatial:
        return np.moveaxis(y, 1, 0).reshape(y.shape[1], -1).T
    return y.reshape(-1, y.shape[-1])


def _is_pointwise(node: ir.Node, kernel: tuple[int, ...]) -> bool:
    """Return whether each position of the output reads that position of the input and no other."""
    strides, pads = (node.attributes.get_ints(name, ()) for name in ("strides", "pads"))
    return all(size == 1 for size in (*kernel, *strides)) and not any(pads)


def _cutter(model: ir.Model, node: ir.Node, layer: Layer, shape: tuple[int, ...]) -> ir.Model:
    """Return a model of one convolution [N, C, ...] -> [N, C * places, ...]; ``shape`` is that of the weight."""
    inputs, kernel = shape[1] * layer.group, shape[2:]
    places = int(np.prod(kernel))
    single = np.tile(np.eye(places, dtype=np.float32), (inputs, 1)).reshape(inputs * places, 1, *kernel)
    attributes = [attribute for name, attribute in node.attributes.items() if name != "group"]
    float_type = ir.TensorType(ir.DataType.FLOAT)
    x = ir.Value(name=_X, type=float_type, shape=ir.Shape([None] * (2 + layer.spatial)))
    weight = ir.Value(name="single", type=float_type, shape=ir.Shape(single.shape), const_value=ir.tensor(single))
    output = ir.Value(name=_PATCHES, type=float_type)
    conv = ir.Node(
        "", "Conv", [x, weight], attributes=[*attributes, ir.AttrInt64("group", inputs)], outputs=[output], name="cut"
    )
    graph = ir.Graph(
        [x], [output], nodes=[conv], initializers=[weight], opset_imports=dict(model.opset_imports), name="cutter"
    )
    return ir.Model(graph, ir_version=model.ir_version)
